"""client-control: bound the bodies that clients may send.

Owns the configuration. Must not know how a body is counted (native/relay).
"""

from typing import Annotated

from msgspec import Meta

from fastgw import _core
from fastgw.plugins.contract import Env, Plugin, PluginConf

__all__ = ["ClientControl", "Conf"]


class Conf(PluginConf, frozen=True, kw_only=True):
    """client-control: the bound.

    max_body_size: bytes of the longest body; 0: no bound but limits.body_bytes, which always holds
    """

    max_body_size: Annotated[int, Meta(ge=0, le=2**53 - 1)] | None = None


class ClientControl(Plugin):
    """Refuses bodies that are too long."""

    name = "client-control"
    version = 0.1
    # How much may it send. Before anything reads a body.
    priority = 22000
    phases = ("rewrite",)
    conf = Conf

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """One native step, if there is a bound."""
        return [_core.ClientControlStep(conf.max_body_size)] if conf.max_body_size else []
