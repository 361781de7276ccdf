"""mocking: answer in an upstream's place, with an example or with random data that fits a schema.

Owns the configuration, and what is made of a schema. Must not know how an answer is sent.
"""

import asyncio
import random
import re
from collections.abc import Awaitable, Collection, Iterator, Mapping
from typing import Annotated, Any, Final
from xml.sax import saxutils

import msgspec
from msgspec import Meta

from fastgw import __version__, _core
from fastgw.errors import Fault, Path
from fastgw.plugins.contract import Env, Plugin, PluginConf
from fastgw.plugins.header_ops import HeaderValue, header_faults, text_of
from fastgw.schema.rules import any_of, broken

__all__ = ["Conf", "Mocking"]

_TYPES: Final = ("application/xml", "application/json", "text/plain", "text/html", "text/xml")
_LEAST_STATUS: Final = 200
_LAST_STATUS: Final = 599
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # of a variable out of a body, say: such a header is left out
_DEEP: Final = 4  # arrays in arrays have one item from here on: their number must not multiply


class Conf(PluginConf, frozen=True, kw_only=True):
    """mocking: what is answered.

    delay: seconds before the answer
    response_status: the status
    content_type: the type of the body
    response_example: the body; $variables are filled in
    response_schema: a JSON Schema that the body fits by chance, where there is no example
    response_headers: headers of the answer; $variables in values are filled in
    with_mock_header: whether the answer says, as x-mock-by, that it is none of an upstream
    """

    delay: Annotated[int, Meta(ge=0, le=86400)] = 0
    response_status: Annotated[int, Meta(ge=100)] = 200
    content_type: str = "application/json;charset=utf8"
    response_example: str | None = None
    response_schema: dict[str, Any] | None = None
    response_headers: Annotated[dict[str, HeaderValue], Meta(min_length=1)] | None = None
    with_mock_header: bool = True

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """Something to answer with; a status and a type that can be sent."""
        yield from any_of(present, "response_example", "response_schema")
        if not _LEAST_STATUS <= good.get("response_status", _LEAST_STATUS) <= _LAST_STATUS:
            message = f"not supported; expected a final status, {_LEAST_STATUS} to {_LAST_STATUS} (RFC 9110 section 15)"
            yield Fault(Path(("response_status",)), message, "unsupported")
        kind = good.get("content_type", _TYPES[1])
        if kind.partition(";")[0] not in _TYPES or not (kind.isascii() and kind.isprintable()):
            yield broken("content_type", f"expected one of {', '.join(_TYPES)}", "unsupported content type!")
        headers = good.get("response_headers", {})
        yield from header_faults(headers, Path(("response_headers",)))
        for name, value in headers.items():
            text = text_of(value)
            if name.lower() == "content-type" and ("$" in text or not (text.isascii() and text.isprintable())):
                yield Fault(Path(("response_headers", name)), "expected a type without variables, in printable ASCII")


class Mocking(Plugin):
    """Answers in an upstream's place."""

    name = "mocking"
    version = 0.1
    # What is done to try clients out.
    priority = 10900
    phases = ("access",)
    conf = Conf

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """A Python step: what is mocked is not in a hurry."""
        return [_core.PythonStep(self.name, "access", _Mock(conf).answer, conf, keeps_time=True)]


class _Mock:
    """The answers of one configuration."""

    def __init__(self, conf: Conf) -> None:
        headers = {name: text_of(value) for name, value in (conf.response_headers or {}).items()}
        types = [value for name, value in headers.items() if name.lower() == "content-type"]
        self._type = types[-1] if types else conf.content_type
        self._example = None if conf.response_example is None else _core.Template(conf.response_example, "var_combination")
        self._headers = [
            (name, _core.Template(value, "var_combination")) for name, value in headers.items() if name.lower() != "content-type"
        ]

    def answer(self, conf: Conf, request: _core.Request) -> _core.Reply | Awaitable[_core.Reply]:
        """The answer, or one to wait for."""
        return self._later(conf, request) if conf.delay else self._now(conf, request)

    async def _later(self, conf: Conf, request: _core.Request) -> _core.Reply:
        await asyncio.sleep(conf.delay)
        return self._now(conf, request)

    def _now(self, conf: Conf, request: _core.Request) -> _core.Reply:
        if self._example is not None:
            body = request.text(self._example).encode("latin-1")
        else:
            body = _shown(_made(conf.response_schema or {}), conf.content_type.partition(";")[0])
        headers = [(name, text) for name, value in self._headers if not _CONTROL.search(text := request.text(value))]
        if conf.with_mock_header:
            headers.append(("x-mock-by", f"fastgw/{__version__}"))
        reason = "mocking.answered" if conf.response_status >= 400 else ""
        return _core.Reply(conf.response_status, body, headers, content_type=self._type, reason=reason)


def _made(schema: Mapping[str, Any], depth: int = 0) -> Any:
    """Something by chance that fits, as far as APISIX knows schemas: types, properties, items, examples."""
    kind = str(schema.get("type", "object" if depth == 0 else "")).lower()
    if kind == "object":
        properties = schema.get("properties")
        return {name: _made(each, depth + 1) for name, each in properties.items()} if isinstance(properties, dict) else {}
    if kind == "array":
        items = schema.get("items")
        count = random.randint(1, 3) if depth < _DEEP else 1  # noqa: S311 (no secret)
        return [_made(items, depth + 1) for _ in range(count)] if isinstance(items, dict) else None
    return _scalar(kind, schema.get("example"))


def _scalar(kind: str, example: Any) -> Any:
    if kind == "string":
        letters = random.choices("abcdefghijklmnopqrstuvwxyz", k=random.randint(1, 10))  # noqa: S311
        return example if isinstance(example, str) else "".join(letters)
    if kind == "boolean":
        return example if isinstance(example, bool) else random.random() < 0.5  # noqa: S311
    number = isinstance(example, int | float) and not isinstance(example, bool)
    if kind == "number":
        return example if number else random.random() * 10000  # noqa: S311
    if kind == "integer":
        return int(example) if number else random.randint(1, 10000)  # noqa: S311
    return None


def _shown(value: Any, kind: str) -> bytes:
    return f"{_xml('data', value)}\n".encode() if kind.endswith("/xml") else msgspec.json.encode(value)


def _xml(name: str, value: Any) -> str:
    """An element for each member; a list is that many of them. A name that no element can have is an attribute."""
    if isinstance(value, list):
        return "".join(_xml(name, each) for each in value)
    if isinstance(value, dict):
        inner = "".join(_xml(key, each) for key, each in value.items())
    else:
        inner = "" if value is None else saxutils.escape(str(value).lower() if isinstance(value, bool) else str(value))
    if name.isidentifier() and name.isascii():
        return f"<{name}>{inner}</{name}>"
    return f"<member name={saxutils.quoteattr(name)}>{inner}</member>"
