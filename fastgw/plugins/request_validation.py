"""request-validation: refuse requests whose headers or body are not what a JSON Schema asks for.

Owns the configuration, how a body is read, and that no body holds up a worker: what takes long is judged on a thread, and there
is a bound to how long. Must not know JSON Schema (json_schema), nor how a body is gathered (native/gather).
"""

import asyncio
import json
import math
import re
from collections.abc import Awaitable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Annotated, Any, Final, NamedTuple
from urllib.parse import unquote_plus

from msgspec import Meta

from fastgw import _core
from fastgw.errors import Fault, Path
from fastgw.plugins.contract import Env, Plugin, PluginConf
from fastgw.plugins.json_schema import ExhaustedError, JsonSchema, schema_faults
from fastgw.plugins.phrases import phrase
from fastgw.schema.rules import any_of

__all__ = ["Conf", "RequestValidation"]

_MOST_BODY: Final = 67108864
# A step takes some 3 us, a KiB of JSON 20 us.
_QUICK_BYTES: Final = 32768
_QUICK_STEPS: Final = 1000
_HEADER_STEPS: Final = 5000
_MOST_STEPS: Final = 100_000
_MOST_WAITING: Final = 32
_MOST_ARGS: Final = 10_000
_FORM: Final = "application/x-www-form-urlencoded"
_SAME_VALUE: Final = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else")

Pair = tuple[str, Any]


class Conf(PluginConf, frozen=True, kw_only=True):
    """request-validation: what requests must be like.

    header_schema: a JSON Schema of the headers, an object of texts by name; one that comes several times is a list
    body_schema: a JSON Schema of the body
    rejected_code: the status of a refused request
    rejected_msg: the body of a refusal; what is wrong when left out
    max_req_body_size: bytes of the longest body that is looked at; a longer one is refused with 413
    """

    header_schema: dict[str, Any] | None = None
    body_schema: dict[str, Any] | None = None
    rejected_code: Annotated[int, Meta(ge=200, le=599)] = 400
    rejected_msg: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    max_req_body_size: Annotated[int, Meta(ge=1, le=_MOST_BODY)] = 1048576

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """A schema, and a sound one."""
        yield from any_of(present, "header_schema", "body_schema")
        for name in ("header_schema", "body_schema"):
            if name in good:
                yield from (fault.under(Path((name,))) for fault in schema_faults(good[name]))


class RequestValidation(Plugin):
    """Refuses what a schema does not take."""

    name = "request-validation"
    version = 0.1
    # Is it what the upstream takes, in `rewrite`.
    priority = 2800
    phases = ("rewrite",)
    conf = Conf

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """One Python step."""
        return [_core.PythonStep(self.name, "rewrite", _Validator(conf).rewrite, None, keeps_time=True)]


class _Verdict(NamedTuple):
    """Of a body: what is wrong with it, and what is to go upstream in its place."""

    reason: str | None = None
    body: bytes | None = None


class _Validator:
    """One configuration at work."""

    def __init__(self, conf: Conf) -> None:
        self._conf = conf
        self._headers = None if conf.header_schema is None else JsonSchema(_lower(conf.header_schema))
        names = sorted(_names(_lower(conf.header_schema)))
        self._known = {**{_folded(name): name for name in names}, **{name: name for name in names}}
        self._body = None if conf.body_schema is None else JsonSchema(conf.body_schema)
        self._slow = None if conf.body_schema is None else JsonSchema(conf.body_schema)  # for the thread

    def rewrite(self, _: None, request: _core.Request) -> _core.Reply | Awaitable[_core.Reply | None] | None:
        """None lets the request pass."""
        if self._headers is not None:
            try:
                reason = self._headers.reason(self._told(request), _HEADER_STEPS)
            except ExhaustedError:
                reason = "headers that take too long to judge"
            except _TwinError as error:
                reason = str(error)
            if reason is not None:
                return self._refused(reason)
        return None if self._body is None else self._of_body(request)

    def _told(self, request: _core.Request) -> dict[str, Any]:
        """Headers by name, as the upstream gets them: what Connection names stays here, and of two spellings of a name that the
        schema has, which one upstream takes for one and another does not, the upstream might believe the other."""
        kept = {name.lower() for name in request.nominated()}
        found: dict[str, Any] = {}
        for field, value in request.headers:
            name = field.lower()
            if name in kept:
                continue
            meant = self._known.get(name) or self._known.get(_folded(name), name)
            if meant != name:
                raise _TwinError(f'header "{name}" is another spelling of "{meant}"')
            _put(found, name, value)
        return found

    async def _of_body(self, request: _core.Request) -> _core.Reply | None:
        types = [value for _, value in request.fields("content-type")]
        if len(types) > 1:  # of two the upstream might believe the other
            return self._refused("duplicate Content-Type")
        form = bool(types) and types[0].partition(";")[0].strip().lower() == _FORM
        body = await request.body(self._conf.max_req_body_size)
        if body is None:
            return _core.Reply(413, {"error_msg": phrase(413)}, reason="request-validation.too_large")
        try:
            verdict = await self._judged(body, form)
        except _BusyError:
            error = {"error_msg": "too many bodies are validated at the moment"}
            return _core.Reply(503, error, {"Retry-After": "1"}, reason="request-validation.busy")
        if verdict.reason is not None:
            return self._refused(verdict.reason)
        if verdict.body is not None:
            _core.replace_body(request, verdict.body)
        return None

    async def _judged(self, body: bytes, form: bool) -> _Verdict:
        if self._body is not None and len(body) <= _QUICK_BYTES:
            try:
                return _judge(self._body, body, form, _QUICK_STEPS)
            except ExhaustedError:
                pass  # it is no quick one
        return await _thread().ask(self._slow, body, form)

    def _refused(self, reason: str) -> _core.Reply:
        text = reason if self._conf.rejected_msg is None else self._conf.rejected_msg
        return _core.Reply(self._conf.rejected_code, text, reason="request-validation.refused")


class _TwinError(Exception):
    """A header of the schema in another spelling; the message says which."""


# ---- on the thread -----------------------------------------------------------------------------------


class _BusyError(Exception):
    """Too many wait."""


class _Thread:
    """Where what takes long is judged, one after the other."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, "validation")
        self._waiting = 0

    async def ask(self, schema: JsonSchema | None, body: bytes, form: bool) -> _Verdict:
        """What _judge says. _BusyError: it was not asked."""
        if self._waiting >= _MOST_WAITING:
            raise _BusyError
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, _at_length, schema, body, form)
        finally:
            self._waiting -= 1


@cache
def _thread() -> _Thread:
    """The worker's own, made when it is first needed: what was started before the fork would not be there."""
    return _Thread()


def _at_length(schema: JsonSchema | None, body: bytes, form: bool) -> _Verdict:
    try:
        return _Verdict() if schema is None else _judge(schema, body, form, _MOST_STEPS)
    except ExhaustedError:
        return _Verdict("a body that takes too long to judge")


def _judge(schema: JsonSchema, body: bytes, form: bool, steps: int) -> _Verdict:
    try:
        value, repeated = (_arguments(body), False) if form else _decoded(body)
    except (ValueError, RecursionError) as error:
        return _Verdict(f"expected {'a form' if form else 'JSON'}: {_said(error)}")
    reason = schema.reason(value, steps)
    if reason is not None or not repeated:
        return _Verdict(reason)
    # Of a name that stands twice in an object the upstream might believe the other value (CVE-2022-25757).
    return _Verdict(None, json.dumps(value, separators=(",", ":")).encode())


# ---- what is judged ----------------------------------------------------------------------------------


def _folded(name: str) -> str:
    """As upstreams that know no other punctuation in names may have it."""
    return re.sub("[^0-9a-z]", "-", name)


def _names(schema: Any) -> set[str]:
    """Of the headers that a schema in lower case speaks of."""
    if not isinstance(schema, dict):
        return set()
    found = {str(name) for member in ("properties", "required", "dependencies") for name in schema.get(member) or ()}
    parts = [schema.get("dependencies"), schema.get("definitions")]
    below = [each for part in parts if isinstance(part, dict) for each in part.values()]
    for name in _SAME_VALUE:
        each = schema.get(name)
        below += each if isinstance(each, list) else [each]
    return found.union(*map(_names, below))


def _put(found: dict[str, Any], name: str, value: Any) -> None:
    if name not in found:
        found[name] = value
    elif isinstance(found[name], list):
        found[name].append(value)
    else:
        found[name] = [found[name], value]


def _lower(schema: Any) -> Any:
    """The schema with the names of headers in lower case, as a request's are."""
    if not isinstance(schema, dict):
        return schema
    made = dict(schema)
    if isinstance(made.get("properties"), dict):
        made["properties"] = {name.lower(): part for name, part in made["properties"].items()}
    if isinstance(made.get("required"), list):
        made["required"] = [name.lower() for name in made["required"]]
    for name in _SAME_VALUE:
        if name in made:
            made[name] = [_lower(each) for each in made[name]] if isinstance(made[name], list) else _lower(made[name])
    if isinstance(made.get("dependencies"), dict):
        made["dependencies"] = {
            name.lower(): [each.lower() for each in part] if isinstance(part, list) else _lower(part)
            for name, part in made["dependencies"].items()
        }
    if isinstance(made.get("definitions"), dict):
        made["definitions"] = {name: _lower(part) for name, part in made["definitions"].items()}
    return made


def _decoded(body: bytes) -> tuple[Any, bool]:
    """A JSON text, and whether a name stands twice in an object of it. What parsers may read in two ways is none."""
    repeated = False

    def pairs(found: list[Pair]) -> dict[str, Any]:
        nonlocal repeated
        made = dict(found)
        repeated = repeated or len(made) != len(found)
        return made

    value = json.loads(body.decode(), object_pairs_hook=pairs, parse_constant=_no_number, parse_float=_float)
    return value, repeated


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no JSON")


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number that is too large")
    return number


def _arguments(body: bytes) -> dict[str, Any]:
    """A form: texts by name, a list of them where a name comes several times, true where it has no value."""
    found: dict[str, Any] = {}
    if body.count(b"&") >= _MOST_ARGS:
        raise ValueError(f"more than {_MOST_ARGS} arguments")
    for part in body.decode(errors="replace").split("&"):
        if part:
            name, equals, text = part.partition("=")
            _put(found, unquote_plus(name), unquote_plus(text) if equals else True)
    return found


def _said(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "no UTF-8"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)[:256]
