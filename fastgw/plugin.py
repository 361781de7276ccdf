"""What a plugin of one's own is made of: `from fastgw.plugin import Plugin, PluginConf, Reply, Request`.

Owns the names that plugins may rely on; docs/writing-a-plugin.md tells of them. Whatever else the package has may change.

    Plugin        its base: `name`, `priority`, `phases`, `conf`, and a method per phase
    PluginConf    base of its configuration, a msgspec Struct
    Request       the request at hand, read only where it is asked for
    Reply         an answer of the plugin's own
    Meta          what every configuration may have as `_meta`
    PHASES        the names of the phases, in the order in which a request meets them
    Env           what `provision` may ask of the configuration it is part of
    Step, PythonStep    what `provision` gives: one piece of work in one phase
    Fault, Path   what `PluginConf.rules` says of members that do not fit each other
    PluginError   raised where a plugin breaks the contract
    PluginTimeout raised in a plugin that takes too long; no Exception
"""

from fastgw._core import PluginError, PluginTimeout, PythonStep, Reply, Request, Step
from fastgw.errors import Fault, Path
from fastgw.plugins.contract import PHASES, Env, Meta, Plugin, PluginConf

__all__ = [
    "PHASES",
    "Env",
    "Fault",
    "Meta",
    "Path",
    "Plugin",
    "PluginConf",
    "PluginError",
    "PluginTimeout",
    "PythonStep",
    "Reply",
    "Request",
    "Step",
]
