"""What the limit plugins share: the answer to a request that is over the limit, templates of keys and numbers, shadow.

Must not know any one of the plugins.
"""

from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec
from msgspec import field

from fastgw import _core
from fastgw.errors import Fault, Path
from fastgw.plugins.contract import Meta, PluginConf
from fastgw.schema.rules import broken

__all__ = ["MOST", "LimitMeta", "LimitedConf", "key_template", "number", "number_faults", "rejected_body"]

MOST: Final = 2**53 - 1  # the largest whole number that every JSON reader keeps exact


class LimitMeta(Meta, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is common to every plugin, as `_meta` in its configuration; of limits one thing more.

    shadow: the limit counts and tells the log what it would have done, and does nothing to requests
    """

    shadow: bool = False


class LimitedConf(PluginConf, frozen=True, kw_only=True):
    """Base of the configurations of limit plugins.

    _meta: what is common to every limit plugin
    """

    meta: LimitMeta = field(default=LimitMeta(), name="_meta")

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """Where shadow stands: who believes that a limit only looks on must not be taken by surprise."""
        if "shadow" in present:
            yield broken("shadow", "expected in _meta")


@lru_cache(maxsize=1024)
def key_template(text: str, kind: Literal["var", "var_combination", "constant"]) -> _core.Template:
    """The template of a key: one for all that count by the same; a copy for each consumer would be a cache miss for each."""
    return _core.Template(text, kind)


def number(value: int | str) -> int | _core.Template:
    """A number as configured: itself, also when it is written as text, or the template that gives it for each request."""
    template = key_template(str(value), "var_combination")
    return template if template.varies else int(value)


def number_faults(good: Mapping[str, Any], **lawful: tuple[int, int]) -> Iterator[Fault]:
    """Members whose text no request can make a number, each with the least and the most that it may be."""
    for name, (least, most) in lawful.items():
        text = good.get(name)
        if not isinstance(text, str) or key_template(text, "var_combination").varies:
            continue
        if not (text.isascii() and text.isdecimal() and least <= int(text) <= most):
            message = f"expected a whole number from {least} to {most}, or text with $variables that gives one"
            yield Fault(Path((name,)), message, "type", ("int",), "str")


def rejected_body(message: str | None) -> bytes:
    """The body that carries a configured message; empty where the status must speak for itself."""
    return msgspec.json.encode({"error_msg": message}) + b"\n" if message else b""
