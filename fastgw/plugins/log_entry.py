"""What loggers say of a request: the entry that APISIX's have by default, or one of a format.

Owns: the attributes that loggers share, what an entry is made of, which bodies are kept for it. Must not know where entries go.
Credentials are in no entry by default: values of headers and arguments that carry them are `***`.
"""

import json
import re
import socket
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime, timezone
from typing import Annotated, Any, Final
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta

from fastgw import __version__, _core
from fastgw.errors import Fault, Path
from fastgw.plugins.concealed import is_concealed
from fastgw.plugins.contract import PluginConf
from fastgw.plugins.data_mask import REQUEST_BODY
from fastgw.schema.expression import expression_faults, parsed

__all__ = ["Bodies", "LogConf", "LogMetadata", "Recorder", "conditions_of", "format_faults", "variable"]

_DEEPEST: Final = 5
_MOST_BODY: Final = 1 << 26
_LEAST_GATHERED: Final = 524288
_HIDDEN: Final = "***"
_ANSWER_HEADERS: Final = "logged_answer_headers"
_KEEPERS: Final = "logged_request_body_by"
_ONE: Final = re.compile(r"\$(?:\{(\w+)\}|(\w+))")

Bytes = Annotated[int, Meta(ge=1, le=_MOST_BODY)]
Expression = Annotated[list[list[Any]], Meta(min_length=1)]
Account = Mapping[str, Any]
Value = Callable[["_core.Request", Account, "Bodies"], Any]


class LogConf(PluginConf, frozen=True, kw_only=True):
    """What all loggers have.

    log_format: what an entry says, instead of what it does by default: names, and texts with $variables, also in objects
    log_format_extra: what it says beside that
    include_req_body: whether the body of the request is in it
    include_req_body_expr: under which condition
    include_resp_body: whether the body of the answer is in it
    include_resp_body_expr: under which condition
    max_req_body_bytes: bytes of a request's body that are in it
    max_resp_body_bytes: bytes of an answer's body that are in it
    """

    log_format: dict[str, Any] | None = None
    log_format_extra: dict[str, Any] | None = None
    include_req_body: bool = False
    include_req_body_expr: Expression | None = None
    include_resp_body: bool = False
    include_resp_body_expr: Expression | None = None
    max_req_body_bytes: Bytes = 524288
    max_resp_body_bytes: Bytes = 524288

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """Formats and conditions must make sense."""
        yield from format_faults(good)
        for name in ("include_req_body_expr", "include_resp_body_expr"):
            if name in good:
                yield from (fault.under(Path((name,))) for fault in expression_faults(good[name]))


class LogMetadata(PluginConf, frozen=True, kw_only=True):
    """What all uses of a logger share.

    log_format: the format of those that have none of their own
    log_format_extra: what their entries say beside that
    """

    log_format: dict[str, Any] | None = None
    log_format_extra: dict[str, Any] | None = None

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """Formats must make sense."""
        yield from format_faults(good)


def format_faults(good: Mapping[str, Any]) -> Iterator[Fault]:
    """The faults of the formats among these members."""
    for name in ("log_format", "log_format_extra"):
        if name in good:
            yield from _format_faults(good[name], Path((name,)), 1)


def _format_faults(value: Any, path: Path, depth: int) -> Iterator[Fault]:
    if isinstance(value, dict):
        if depth > _DEEPEST:
            yield Fault(path, f"expected at most {_DEEPEST} objects in each other")
            return
        for name, each in value.items():
            yield from _format_faults(each, path.to(name), depth + 1)
    elif value is not None and not isinstance(value, str | int | float):
        yield Fault(path, "expected text, number, true, false, null or object")


def conditions_of(conf: Mapping[str, Any]) -> Iterator[tuple[Path, list[Any]]]:
    """The conditions in a raw, sound configuration, each with its place."""
    for name in ("include_req_body_expr", "include_resp_body_expr"):
        if name in conf:
            yield Path((name,)), conf[name]


# ---- an entry ----------------------------------------------------------------------------------------


class Bodies:
    """What was kept of both bodies, as text; None where nothing was."""

    __slots__ = ("answer", "request")

    def __init__(self, request: str | None, answer: str | None) -> None:
        self.request = request
        self.answer = answer


class Recorder:
    """Makes the entries of one configuration, and keeps what they need while a request is on its way."""

    def __init__(self, name: str, conf: LogConf, metadata: LogMetadata, unrouted: str | None = None) -> None:
        """unrouted: the id of the route where there is none."""
        self._name = name
        self._conf = conf
        self._unrouted = unrouted
        fields = conf.log_format or metadata.log_format
        extra = conf.log_format_extra or metadata.log_format_extra
        self._format = None if not fields else _formatted(fields)
        self._extra = None if not extra else _formatted(extra)
        self._keeps_request = conf.include_req_body or _mentions((fields, extra), "request_body")
        self._keeps_answer = conf.include_resp_body or _mentions((fields, extra), "resp_body")
        self._answer_key = f"logged_answer_body_{id(self)}"

    def steps(self, keep: Callable[[bytes], None]) -> list[_core.Step]:
        """The steps of a logger that gives each entry to `keep`."""
        steps: list[_core.Step] = []
        if self._keeps_request:
            steps.append(_when(self._conf.include_req_body_expr, self._step("access", self._keep_request)))
        if self._format is None:
            steps.append(self._step("header_filter", self._keep_headers))
        if self._keeps_answer:
            condition = self._conf.include_resp_body_expr
            steps.append(_when(condition, self._step("body_filter", self._keep_answer)))
        steps.append(self._step("log", lambda _, request: keep(self.entry(request))))
        return steps

    def entry(self, request: _core.Request) -> bytes:
        """The entry as JSON, in one line."""
        account = _core.ledger_account(request)
        bodies = Bodies(self._request_body(request), self._answer_body(request))
        if self._format is None:
            entry = self._default(request, account, bodies)
        else:
            entry = _values(self._format, request, account, bodies)
            if request.route_id is not None:
                entry["route_id"] = request.route_id
                if account["service"] is not None:
                    entry["service_id"] = account["service"]
            for member, body in (("request", bodies.request), ("response", bodies.answer)):
                if body is not None and isinstance(entry.setdefault(member, {}), dict):
                    entry[member].setdefault("body", body)
        if self._extra is not None:
            entry.update(_values(self._extra, request, account, bodies))
        try:
            return msgspec.json.encode(entry)
        except UnicodeEncodeError:  # bytes of a path that are no UTF-8
            return json.dumps(entry, separators=(",", ":")).encode()

    # what is kept meanwhile

    def _step(self, phase: str, call: Callable[..., Any]) -> _core.PythonStep:
        return _core.PythonStep(self._name, phase, call, None)

    async def _keep_request(self, _: None, request: _core.Request) -> None:
        limit = max(self._conf.max_req_body_bytes, _LEAST_GATHERED)
        try:
            body = await request.body(limit)
        except _core.PluginError:
            return  # an application has it
        if body is not None:
            request.ctx[REQUEST_BODY] = body
            request.ctx.setdefault(_KEEPERS, set()).add(id(self))

    def _keep_headers(self, _: None, request: _core.Request) -> None:
        if _ANSWER_HEADERS not in request.ctx:
            request.ctx[_ANSWER_HEADERS] = _core.ledger_answer(request)

    def _keep_answer(self, _: None, request: _core.Request, piece: bytes, last: bool) -> None:
        kept = request.ctx.setdefault(self._answer_key, bytearray())
        kept += piece[: self._conf.max_resp_body_bytes - len(kept)]

    def _request_body(self, request: _core.Request) -> str | None:
        body = request.ctx.get(REQUEST_BODY)
        if body is None or id(self) not in request.ctx.get(_KEEPERS, ()):
            return None
        return _text(body[: self._conf.max_req_body_bytes])

    def _answer_body(self, request: _core.Request) -> str | None:
        body = request.ctx.get(self._answer_key)
        return None if body is None else _text(bytes(body))

    # what it says by default

    def _default(self, request: _core.Request, account: Account, bodies: Bodies) -> dict[str, Any]:
        target = _core.ledger_target(request)
        _, mark, query = target.partition("?")
        uri = request.path + mark + query
        names = dict.fromkeys(name.lower() for name, _ in request.headers)
        headers = [field for name in names for field in request.fields(name)]  # none that a step took out or data-mask hides
        made: dict[str, Any] = {
            "request": {
                "url": f"{request.text(_SCHEME)}://{request.host}:{request.text(_PORT)}{uri}",
                "uri": uri,
                "method": request.method,
                "headers": _headers(headers),
                "querystring": _arguments(query),
                "size": account["head"] + account["received"],
            },
            "response": {
                "status": request.status,
                "headers": _headers(request.ctx.get(_ANSWER_HEADERS, ())),
                "size": account["sent"],
            },
            "server": {"hostname": _HOST, "version": __version__},
            "upstream": account["upstream"] or "",
            "service_id": account["service"] or ("" if request.route_id is not None else request.host),
            "route_id": request.route_id if request.route_id is not None else self._unrouted,
            "client_ip": request.remote_addr,
            "start_time": _began(account),
            **_latencies(account),
        }
        if request.consumer_name is not None:
            made["consumer"] = {"username": request.consumer_name}
        if account["refused"] is not None:
            made["refused"] = account["refused"]
        for member, body in (("request", bodies.request), ("response", bodies.answer)):
            if body is not None:
                made[member]["body"] = body
        return made


_HOST: Final = socket.gethostname()
_SCHEME: Final = _core.Template("scheme", "var")
_PORT: Final = _core.Template("server_port", "var")
_PROTOCOL: Final = _core.Template("server_protocol", "var")


def _when(condition: list[list[Any]] | None, step: _core.Step) -> _core.Step:
    return step if condition is None else _core.FilteredStep(_core.Expression(parsed(condition)), step)


def _text(body: bytes) -> str:
    return body.decode(errors="replace")


def _headers(fields: Collection[tuple[str, str]]) -> dict[str, Any]:
    """Values by name in lower case, a list where a name comes several times."""
    made: dict[str, Any] = {}
    for field, value in fields:
        name = field.lower()
        shown = _HIDDEN if is_concealed(name) else _core.ledger_url(value)
        if name not in made:
            made[name] = shown
        elif isinstance(made[name], list):
            made[name].append(shown)
        else:
            made[name] = [made[name], shown]
    return made


def _arguments(query: str) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True, errors="replace"):
        if name not in made:
            made[name] = value
        elif isinstance(made[name], list):
            made[name].append(value)
        else:
            made[name] = [made[name], value]
    return made


# ---- times -------------------------------------------------------------------------------------------


def _latencies(account: Account) -> dict[str, float]:
    """Milliseconds, of the upstream until its head came."""
    whole = (account["now"] - account["start"]) / 1e6
    found = {"latency": whole, "apisix_latency": whole}
    if account["asked"] and account["answered"] >= account["asked"]:
        found["upstream_latency"] = (account["answered"] - account["asked"]) / 1e6
        found["apisix_latency"] = max(0.0, whole - found["upstream_latency"])
    return found


def _began(account: Account) -> int:
    """Milliseconds since 1970."""
    lasted: int = account["now"] - account["start"]
    return (time.time_ns() - lasted) // 1_000_000


# ---- formats -----------------------------------------------------------------------------------------


def _mentions(formats: Any, name: str) -> bool:
    if isinstance(formats, dict | tuple):
        return any(_mentions(each, name) for each in (formats.values() if isinstance(formats, dict) else formats))
    return isinstance(formats, str) and re.search(rf"\$\{{?{name}\b", formats) is not None


def _formatted(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A format with its texts made ready: each a Value, a constant, or such a format."""
    return {
        name: _formatted(each) if isinstance(each, dict) else _value(each) if isinstance(each, str) and "$" in each else each
        for name, each in fields.items()
    }


def _values(fields: Mapping[str, Any], request: _core.Request, account: Account, bodies: Bodies) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, each in fields.items():
        found = _values(each, request, account, bodies) if isinstance(each, dict) else each
        if callable(each):
            found = each(request, account, bodies)
            if found is None:
                continue  # a variable that the request has not
        made[name] = found
    return made


def _value(text: str) -> Value:
    alone = _ONE.fullmatch(text)
    if alone is not None:
        return variable(alone[1] or alone[2])
    parts: list[Value | str] = []
    at = 0
    for found in _ONE.finditer(text):
        parts += [text[at : found.start()], variable(found[1] or found[2])]
        at = found.end()
    parts.append(text[at:])

    def joined(request: _core.Request, account: Account, bodies: Bodies) -> str:
        values = (each if isinstance(each, str) else each(request, account, bodies) for each in parts)
        return "".join("" if value is None else str(value) for value in values)

    return joined


def variable(name: str) -> Value:
    """What a log may tell of a variable: without credentials, whichever plugin takes them; None where there is nothing."""
    own = _VARIABLES.get(name)
    if own is not None:
        return own
    if name.startswith("arg_"):
        return lambda request, account, bodies: _argument(request, name[4:])
    template = _core.Template(name, "var")
    if name.startswith("cookie_"):
        return lambda request, account, bodies: _HIDDEN if request.text(template) else None
    if name.startswith("http_"):
        return lambda request, account, bodies: _unless_concealed(name[5:], request.text(template))
    return lambda request, account, bodies: request.text(template) or None


def _unless_concealed(header: str, value: str) -> str | None:
    """Asked of each request: plugins that are made later may take credentials from it too."""
    return _HIDDEN if value and is_concealed(header) else _core.ledger_url(value) or None


def _argument(request: _core.Request, name: str) -> Any:
    found = _arguments(_core.ledger_target(request).partition("?")[2]).get(name)
    return found[0] if isinstance(found, list) else found


def _seconds(ns: int) -> str:
    return f"{ns / 1e9:.3f}"


def _moment() -> datetime:
    return datetime.now(timezone.utc).astimezone()


def _upstream_time(request: _core.Request, account: Account, bodies: Bodies) -> str | None:
    return _seconds(account["answered"] - account["asked"]) if account["asked"] and account["answered"] else None


def _uri(request: _core.Request, account: Account, bodies: Bodies) -> str:
    _, mark, query = _core.ledger_target(request).partition("?")
    return request.path + mark + query


_VARIABLES: Final[dict[str, Value]] = {
    "time_iso8601": lambda request, account, bodies: _moment().isoformat(timespec="seconds"),
    "time_local": lambda request, account, bodies: _moment().strftime("%d/%b/%Y:%H:%M:%S %z"),
    "msec": lambda request, account, bodies: f"{time.time():.3f}",
    "request": lambda request, account, bodies: f"{request.method} {_core.ledger_target(request)} {request.text(_PROTOCOL)}",
    "request_uri": _uri,
    "real_request_uri": lambda request, account, bodies: _core.ledger_target(request),
    "args": lambda request, account, bodies: _core.ledger_target(request).partition("?")[2] or None,
    "query_string": lambda request, account, bodies: _core.ledger_target(request).partition("?")[2] or None,
    "request_time": lambda request, account, bodies: _seconds(account["now"] - account["start"]),
    "request_length": lambda request, account, bodies: str(account["head"] + account["received"]),
    "body_bytes_sent": lambda request, account, bodies: str(account["sent"]),
    "bytes_sent": lambda request, account, bodies: str(account["sent"]),
    "upstream_addr": lambda request, account, bodies: account["upstream"],
    "upstream_response_time": _upstream_time,
    "refused": lambda request, account, bodies: account["refused"],
    "request_id": lambda request, account, bodies: request.header("x-request-id"),
    "apisix_request_id": lambda request, account, bodies: request.header("x-request-id"),
    "request_body": lambda request, account, bodies: bodies.request,
    "resp_body": lambda request, account, bodies: bodies.answer,
}
