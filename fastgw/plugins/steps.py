"""From one plugin's configuration to its steps in the chain, with what `_meta` says of them.

Owns: the order in which steps are wrapped. Must not know where configurations stand, nor what steps do.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from fastgw import _core
from fastgw.plugins.contract import Env, Plugin
from fastgw.schema.expression import parsed

__all__ = ["steps_of"]

_JSON: Final = "application/json"
_TEXT: Final = "text/plain; charset=utf-8"


def steps_of(plugin: Plugin, conf: Any, env: Env, watch: Callable[[_core.Step], _core.Step] | None = None) -> list[_core.Step]:
    """The steps of a decoded configuration. watch: what is to take the place of each; it sees only what a filter lets run."""
    made = plugin.provision(conf, env)
    body = conf.meta.error_response
    if body is not None:
        made = [_core.ErrorBodyStep(*_error(body), step) for step in made]
    if watch is not None:
        made = [watch(step) for step in made]
    if conf.meta.filter:
        expression = _core.Expression(parsed(conf.meta.filter))
        made = [_core.FilteredStep(expression, step) for step in made]
    return made


def _error(body: str | dict[str, Any]) -> tuple[bytes, str]:
    """A body and its Content-Type: text as it stands, an object as APISIX writes JSON."""
    return (body.encode(), _TEXT) if isinstance(body, str) else (msgspec.json.encode(body) + b"\n", _JSON)
