"""The gateway's chain in front of a WSGI application: Flask, Django, or a bare one, under any number of threads and processes.

Owns: how an environ is asked about, what the application is told, how a refusal is sent (PEP 3333). Must not know: how a request
is judged.

    app.wsgi_app = GatewayMiddleware(app.wsgi_app, config="config.json")

Who a request is from is `environ["fastgw.consumer"]`, a Caller or None; see docs/embedding.md.
"""

import json
import logging
import os
import select
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

from fastgw._core import Caller, Gate, Visit
from fastgw.core import Table
from fastgw.embedded import Embedded, Unmatched

__all__ = ["Caller", "GatewayMiddleware"]

Environ = dict[str, Any]
App = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

# Members of an environ that are fields of the request without HTTP_ in front (RFC 3875 section 4.1).
_FIELDS: Final = {"CONTENT_TYPE": b"content-type", "CONTENT_LENGTH": b"content-length"}

WAIT_MS: Final = 100  # then it is looked anyway: what a drain left over makes no descriptor readable

log = logging.getLogger("fastgw.embedded")


class GatewayMiddleware:
    """A WSGI application that judges requests before the one it wraps. Arguments and errors are those of asgi.GatewayMiddleware.

    Processes that count together share a table by its path: the file's `shared_memory.path`, or `table`. The first one makes it,
    the others attach. Without a path only forks share it, as those of a server that loads the application before it forks.
    """

    def __init__(
        self,
        app: App,
        *,
        config: "str | os.PathLike[str] | Mapping[str, Any]",
        table: "str | os.PathLike[str] | Table | None" = None,
        unmatched: Unmatched = "refuse",
    ) -> None:
        self.app = app
        self._embedded = Embedded(config, table=table, unmatched=unmatched, waits=False)
        self._own = threading.local()

    @property
    def table(self) -> Table:
        """Where it counts."""
        return self._embedded.table

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        visit = self._judged(environ)
        if visit.status:
            log.debug("refused: %s", visit.reason)
            start_response(_status(visit.status), _text(visit.headers or []))
            return [visit.body]
        environ["fastgw.consumer"] = visit.caller
        if visit.claims is not None:
            environ["fastgw.claims"] = json.loads(visit.claims)
        if visit.forward is not None:
            _forward(environ, visit.forward)
        if visit.query is not None:
            environ["QUERY_STRING"] = visit.query.decode("latin-1")
        if not visit.open and visit.headers is None:
            return self.app(environ, start_response)

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            return start_response(status, [*headers, *_text(visit.answered(int(status[:3])))], *exc_info)

        try:
            answer = self.app(environ, start)
        except BaseException:
            visit.end()
            raise
        return _Answer(answer, visit) if visit.open else answer

    def _judged(self, environ: Environ) -> Visit:
        # One for each thread, and made anew behind a fork: a child must not drain its parent's timers.
        if getattr(self._own, "pid", None) != os.getpid():
            self._own.gate, self._own.pid = self._embedded.gate(), os.getpid()
            self._own.poll = select.poll()
            self._own.poll.register(self._own.gate.fileno(), select.POLLIN)
        gate: Gate = self._own.gate
        visit = gate.ask(_scope(environ))
        while visit.waiting:
            self._own.poll.poll(WAIT_MS)
            gate.drain()
        return visit


class _Answer:
    """The body of an answer that the chain follows to its end."""

    def __init__(self, body: Iterable[bytes], visit: Visit) -> None:
        self._body = body
        self._visit = visit
        self._size = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._body:
            self._size += len(piece)
            yield piece

    def close(self) -> None:
        try:
            if hasattr(self._body, "close"):
                self._body.close()
        finally:
            self._visit.end(self._size)


def _scope(environ: Environ) -> dict[str, Any]:
    """The request as ASGI would tell of it."""
    headers = [
        (name[5:].replace("_", "-").lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in environ.items()
        if name.startswith("HTTP_")
    ]
    headers += [(field, environ[name].encode("latin-1")) for name, field in _FIELDS.items() if environ.get(name)]
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    client, port = environ.get("REMOTE_ADDR"), environ.get("SERVER_PORT", "")
    return {
        "method": environ["REQUEST_METHOD"],
        # PEP 3333 has bytes as latin-1, which applications read as UTF-8; what is none stays what it is.
        "path": path.encode("latin-1").decode("utf-8", "surrogateescape") or "/",
        "query_string": environ.get("QUERY_STRING", "").encode("latin-1"),
        "headers": headers,
        "client": (client, 0) if client else None,
        "server": (environ.get("SERVER_NAME", ""), int(port) if port.isdigit() else None),
    }


def _forward(environ: Environ, headers: list[tuple[bytes, bytes]]) -> None:
    """The fields as the steps of the chain left them."""
    for name in [name for name in environ if name.startswith("HTTP_")]:
        del environ[name]
    for field, value in headers:
        name = field.decode("latin-1").upper().replace("-", "_")
        if name not in _FIELDS:
            environ[f"HTTP_{name}"] = value.decode("latin-1")


def _text(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


def _status(code: int) -> str:
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return f"{code} Unknown"
