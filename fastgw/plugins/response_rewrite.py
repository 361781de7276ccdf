"""response-rewrite: give answers another status, other headers, another body, or replace text in their bodies.

Owns the configuration, and what regular expressions make of a body. Must not know how an answer is framed (native/reshape), nor
how its body is collected (native/collect).
"""

import base64
import binascii
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Annotated, Any, Final, Literal

import re2
from msgspec import Meta

from fastgw import _core
from fastgw.errors import Fault, Path
from fastgw.plugins.codings import brotli, decoded
from fastgw.plugins.contract import Env, Plugin, PluginConf
from fastgw.plugins.header_ops import changes, changes_faults
from fastgw.schema.base import Nested, Text
from fastgw.schema.expression import expression_faults, parsed
from fastgw.schema.rules import at_most_one, broken

__all__ = ["Conf", "Filter", "ResponseRewrite"]

_MOST: Final = 1 << 30
_PATTERN_MEMORY: Final = 1 << 20
_GROUP: Final = re.compile(r"\$(?:(\d{1,2})|\{(\d{1,2})\}|(\$))", re.ASCII)
_FLAGS: Final = {"i": "i", "m": "m", "s": "s", "U": "U"}  # of PCRE that RE2 has too
_IGNORED: Final = "jo"  # how PCRE compiles and remembers a pattern


class Filter(Nested, frozen=True, kw_only=True):
    """What is replaced in a body.

    regex: what is looked for
    scope: "once" is the first that is found, "global" all
    replace: what takes its place; $1 is what the first group found, $0 all of it, $$ a dollar sign
    options: letters: i for any case, m for lines, s for dots that match line feeds, u for UTF-8; j and o have no effect
    """

    regex: Text
    scope: Literal["once", "global"] = "once"
    replace: str
    options: str = "jo"

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """Options that there are, and a pattern of RE2's."""
        options = good.get("options", "jo")
        unknown = sorted(set(options) - {*_FLAGS, *_IGNORED, "a", "u"})
        if unknown:
            yield broken("options", f"expected letters of {''.join(_FLAGS)}au{_IGNORED}, found {unknown[0]!r}")
        elif "regex" in good:
            try:
                _compiled(good["regex"], options)
            except (re2.error, UnicodeEncodeError):
                message = "expected a regular expression (of RE2: no look-around, no back-references)"
                yield broken("regex", message, f'regex "{good["regex"]}" validation failed')


def _compiled(regex: str, options: str) -> Any:
    flags = "".join(letter for letter in _FLAGS if letter in options)
    made: Final = re2.Options()
    made.log_errors = False
    made.max_mem = _PATTERN_MEMORY
    if "u" not in options:  # bodies need not be UTF-8
        made.encoding = re2.Options.Encoding.LATIN1
    re2.compile(regex.encode(), made)  # alone first: what surrounds it must not make sense of it
    start = r"\A" if "a" in options else ""
    return re2.compile(f"{start}(?{flags}:{regex})".encode(), made)


def _replacement(text: str) -> Callable[[Any], bytes]:
    """What takes a match's place."""
    pieces: list[bytes | int] = []
    at = 0
    for found in _GROUP.finditer(text):
        pieces.append(text[at : found.start()].encode())
        pieces.append(b"$" if found[3] else int(found[1] or found[2]))
        at = found.end()
    pieces.append(text[at:].encode())

    def replace(match: Any) -> bytes:
        groups = (match.group(), *match.groups())
        return b"".join(
            piece if isinstance(piece, bytes) else groups[piece] or b"" if piece < len(groups) else b"" for piece in pieces
        )

    return replace


class Conf(PluginConf, frozen=True, kw_only=True):
    """response-rewrite: what answers have instead of their own.

    status_code: the status
    body: the body
    body_base64: whether `body` is the body in base64
    headers: what is done with headers, {"add": ["Name: value"], "set": {}, "remove": ["Name"]} or just what is set; $variables
    filters: what is replaced in the body
    vars: a condition; without it answers are rewritten always
    max_resp_body_size: bytes of the longest body in which something is replaced
    """

    status_code: Annotated[int, Meta(ge=200, le=598)] | None = None
    body: str | None = None
    body_base64: bool = False
    headers: dict[str, Any] | None = None
    filters: Annotated[tuple[Filter, ...], Meta(min_length=1)] | None = None
    vars: list[Any] | None = None
    max_resp_body_size: Annotated[int, Meta(ge=1, le=_MOST)] = 67108864

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """One way to another body; base64 that is; sound headers and condition."""
        yield from at_most_one(present, "body", "filters")
        if good.get("body_base64"):
            try:
                if not _body(good["body"], True):
                    raise ValueError
            except (KeyError, ValueError):
                yield broken("body", "expected base64 where body_base64 is true", "invalid base64 content")
        yield from changes_faults(good.get("headers", {}), Path(("headers",)))
        if "vars" in good:
            yield from (fault.under(Path(("vars",))) for fault in expression_faults(good["vars"]))


def _body(text: str, coded: bool) -> bytes:
    """The body; with or without padding, as APISIX takes it."""
    if not coded:
        return text.encode()
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError(str(error)) from error


class _Search:
    """What filters make of a body, called with its coding."""

    def __init__(self, conf: Conf) -> None:
        self._most = conf.max_resp_body_size
        self._filters = [
            (_compiled(each.regex, each.options), _replacement(each.replace), 1 if each.scope == "once" else 0)
            for each in conf.filters or ()
        ]

    def __call__(self, body: bytes, coding: str) -> bytes:
        if coding:
            body = decoded(body, coding, self._most)
        for pattern, replace, count in self._filters:
            body = pattern.sub(replace, body, count)
        return body


class ResponseRewrite(Plugin):
    """Rewrites answers, the gateway's own as well."""

    name = "response-rewrite"
    version = 0.1
    # What becomes of the answer. The codings before it are given behind all of it.
    priority = 899
    phases = ("header_filter", "body_filter")
    conf = Conf

    def conditions(self, conf: Mapping[str, Any]) -> Iterator[tuple[Path, list[Any]]]:
        """When it is done."""
        if "vars" in conf:
            yield Path(("vars",)), conf["vars"]

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """A native step for the head and a body that is known; with filters one that collects the body."""
        search = _Search(conf) if conf.filters else None
        steps: list[_core.Step] = [
            _core.ResponseRewriteStep(
                changes(conf.headers),
                status=conf.status_code or 0,
                body=None if conf.body is None else _body(conf.body, conf.body_base64),
                search=search,
                reads_br=brotli() is not None,
            )
        ]
        if search is not None:
            steps.append(_core.CollectStep(search, conf.max_resp_body_size))
        if conf.vars:
            condition = _core.Expression(parsed(conf.vars))
            steps = [_core.FilteredStep(condition, step) for step in steps]
        return steps
