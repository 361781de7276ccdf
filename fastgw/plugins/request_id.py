"""request-id: give every request an id that the upstream, the client and the log can name it by.

Owns the configuration. Must not know how ids are made (native/request_id).
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta

from fastgw import _core
from fastgw.errors import Fault
from fastgw.plugins.contract import Env, Plugin, PluginConf
from fastgw.schema.base import HeaderName, Nested, whole
from fastgw.schema.rules import broken

__all__ = ["Conf", "RangeId", "RequestId"]

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_NANOID = ("_-" + _LETTERS, 21)  # 126 bits, as nanoid's own


class RangeId(Nested, frozen=True, kw_only=True):
    """What range_id makes ids of.

    length: how many characters an id has
    char_set: the characters it may have
    """

    length: Annotated[int, Meta(ge=6, le=256)] = 16
    char_set: Annotated[
        str, Meta(min_length=6, max_length=256, pattern=whole(r"^[\x21-\x7E]+$"), title="printable ASCII without spaces")
    ] = _LETTERS


class Conf(PluginConf, frozen=True, kw_only=True):
    """request-id: where the id goes and what it looks like.

    header_name: the header that carries it, from the client, to the upstream and back; not one that the gateway sets itself
    include_in_response: whether the answer carries it too, refusals included
    algorithm: how a new id is made
    range_id: what the algorithm range_id makes ids of
    """

    header_name: HeaderName = "X-Request-Id"
    include_in_response: bool = True
    algorithm: Literal["uuid", "nanoid", "range_id", "ksuid", "uuidv7"] = "uuid"
    range_id: RangeId = RangeId()

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """Not a header by which messages are framed or consumers are known."""
        if "header_name" in good:
            try:
                _core.RequestIdStep("rewrite", header_name=good["header_name"])
            except ValueError:
                yield broken("header_name", "expected a header that the gateway does not set itself")


class RequestId(Plugin):
    """Finds or makes the id of a request."""

    name = "request-id"
    version = 0.1
    # What everything later may name. Before all that may answer, so that a refusal has it too.
    priority = 12015
    phases = ("rewrite", "header_filter")
    conf = Conf

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """A native step on the way in, and one on the way out."""
        chars, length = _NANOID if conf.algorithm == "nanoid" else (conf.range_id.char_set, conf.range_id.length)
        step = _core.RequestIdStep(
            "rewrite",
            header_name=conf.header_name,
            algorithm="chars" if conf.algorithm in ("nanoid", "range_id") else conf.algorithm,
            length=length,
            chars=chars.encode(),
        )
        if not conf.include_in_response:
            return [step]
        return [step, _core.RequestIdStep("header_filter", header_name=conf.header_name)]
