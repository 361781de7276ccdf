"""From one plugin's configuration to its steps in the chain, with what `_meta` says of them.

Owns: the order in which steps are wrapped. Must not know where configurations stand, nor what steps do.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from fastgw import _core
from fastgw.plugins import posted as posted_reader
from fastgw.plugins.contract import Env, Plugin
from fastgw.schema.expression import parsed

__all__ = ["asked", "steps_of"]

T = TypeVar("T")

_core.read_posted_by(posted_reader.read)

_JSON: Final = "application/json"
_TEXT: Final = "text/plain; charset=utf-8"


def steps_of(plugin: Plugin, conf: Any, env: Env, watch: Callable[[_core.Step], _core.Step] | None = None) -> list[_core.Step]:
    """The steps of a decoded configuration. watch: what is to take the place of each; it sees only what a filter lets run."""
    posted = _core.posted_count()
    made = asked(plugin, plugin.provision, conf, env)
    if not isinstance(made, list) or not all(isinstance(step, _core.Step) for step in made):
        raise TypeError(f"plugin {plugin.name}: provision: expected a list of steps")
    body = conf.meta.error_response
    if body is not None:
        made = [_core.ErrorBodyStep(*_error(body), step) for step in made]
    if watch is not None:
        made = [watch(step) for step in made]
    expression = _core.Expression(parsed(conf.meta.filter)) if conf.meta.filter else None
    if expression is not None:
        made = [_core.FilteredStep(expression, step) for step in made]
    if _core.posted_count() != posted:  # keys, texts or conditions of it look at the body
        made.insert(0, _core.PostedStep("rewrite" if "rewrite" in plugin.phases else "access", expression))
    return made


def asked(plugin: Plugin, call: Callable[..., T], *args: Any) -> T:
    """What a plugin's method gives. Whatever it raises is a fault of the object it stands in, and of no other."""
    try:
        return call(*args)
    except (ValueError, LookupError, TypeError, OverflowError, msgspec.ValidationError):
        raise  # a fault of the object as it is
    except Exception as error:
        raise ValueError(f"plugin {plugin.name}: {call.__name__}: {type(error).__name__}: {error}") from error


def _error(body: str | dict[str, Any]) -> tuple[bytes, str]:
    """A body and its Content-Type: text as it stands, an object as APISIX writes JSON."""
    return (body.encode(), _TEXT) if isinstance(body, str) else (msgspec.json.encode(body) + b"\n", _JSON)
