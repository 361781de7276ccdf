"""echo: put text before, behind or in the place of answers' bodies.

Owns the configuration, and what becomes of pieces of a body. Must not know how an answer is framed (native/reshape).
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any

from msgspec import Meta

from fastgw import _core
from fastgw.errors import Fault, Path
from fastgw.plugins.contract import Env, Plugin, PluginConf
from fastgw.plugins.header_ops import HeaderValue, changes, header_faults
from fastgw.schema.rules import any_of

__all__ = ["Conf", "Echo"]


class Conf(PluginConf, frozen=True, kw_only=True):
    """echo: what answers say.

    before_body: text before the body
    body: text in the place of the body
    after_body: text behind the body
    headers: headers of the answer; $variables in values are filled in
    """

    before_body: str | None = None
    body: str | None = None
    after_body: str | None = None
    headers: Annotated[dict[str, HeaderValue], Meta(min_length=1)] | None = None

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """Something to say; sound headers."""
        yield from any_of(present, "before_body", "body", "after_body")
        yield from header_faults(good.get("headers", {}), Path(("headers",)))


class Echo(Plugin):
    """Says something in answers, to try the gateway out."""

    name = "echo"
    version = 0.1
    # What becomes of the answer.
    priority = 412
    phases = ("header_filter", "body_filter")
    conf = Conf

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """A native step where the whole body is known; else one for the head, and one in Python for pieces of the upstream's."""
        around = _Around(conf)
        headers = changes(conf.headers and {"set": conf.headers})
        if conf.body is not None:
            return [_core.ResponseRewriteStep(headers, body=around(conf.body.encode(), ""))]
        return [
            _core.ResponseRewriteStep(headers, search=around, streams=True),
            _core.PythonStep(self.name, "body_filter", around.piece, conf),
        ]


class _Around:
    """The texts around a body."""

    def __init__(self, conf: Conf) -> None:
        self._before = (conf.before_body or "").encode()
        self._after = (conf.after_body or "").encode()

    def __call__(self, body: bytes, coding: str) -> bytes:
        return self._before + body + self._after

    def piece(self, conf: Conf, request: _core.Request, piece: bytes, last: bool) -> bytes:
        """One piece; what stands before is told to the first."""
        mark = f"echo {id(self)}"  # of several such steps each has its own
        if mark not in request.ctx:
            request.ctx[mark] = True
            piece = self._before + piece
        return piece + self._after if last else piece
