"""One probe of one address: connect, speak TLS if asked to, send a request, read the status.

Owns: what is sent, what counts as what, the time that a probe may take. Must not know which addresses are checked, how often,
what follows. Of an answer the status alone is read, as in lua-resty-healthcheck; interim answers are passed over.
"""

import asyncio
import errno
import ssl
from collections.abc import Callable
from typing import Final

from fastgw.health.targets import Target
from fastgw.schema.checks import ActiveCheck

__all__ = ["HTTP_FAILURE", "SUCCESS", "TCP_FAILURE", "TIMEOUT", "Trust", "probe"]

SUCCESS: Final = "success"
HTTP_FAILURE: Final = "http_failure"
TCP_FAILURE: Final = "tcp_failure"
TIMEOUT: Final = "timeout_failure"

LONGEST_S: Final = 86400.0  # of a timeout
MOST_LINE: Final = 16384  # bytes of a line of the answer's head
MOST_INTERIM: Final = 16
# A probe that ends so much later than it should have: it is this process that was not given the processor, or was stopped, and
# the answer may have been here in time.
LATE_S: Final = 0.25
# What this process or its host lacks: it says nothing of the node, and would say it of all nodes at once.
OURS_TO_BLAME: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL))
USER_AGENT: Final = "fastgw"
_OURS: Final = frozenset({"connection", "content-length", "transfer-encoding"})

Trust = Callable[[bool], ssl.SSLContext]
"""How TLS is spoken, with the certificate verified or not."""


async def probe(target: Target, active: ActiveCheck, trust: Trust) -> str | None:
    """What it showed, one of the names above; None: nothing that counts."""
    loop = asyncio.get_running_loop()
    patience = min(active.timeout, LONGEST_S)
    end = loop.time() + patience
    asking = asyncio.create_task(_ask(target, active, trust))
    asking.add_done_callback(_done)
    try:
        await asyncio.wait({asking}, timeout=patience)
    finally:
        asking.cancel()
    if asking.done() and not asking.cancelled():
        try:
            return _meaning(asking.result(), active)
        except OSError as exc:  # ssl's errors as well
            return None if exc.errno in OURS_TO_BLAME and not isinstance(exc, ssl.SSLError) else TCP_FAILURE
        except (EOFError, UnicodeError):  # UnicodeError: no server name that TLS can ask for
            return TCP_FAILURE
        except (ValueError, asyncio.LimitOverrunError):  # no status line, or one without end
            return HTTP_FAILURE
    return None if loop.time() - end > LATE_S else TIMEOUT


def _done(asking: asyncio.Task[int | None]) -> None:
    """One that was given up may end by something else than that."""
    if not asking.cancelled():
        asking.exception()


def _meaning(status: int | None, active: ActiveCheck) -> str | None:
    """None for a status: it was enough to connect."""
    if status is None or status in active.healthy.http_statuses:
        return SUCCESS
    return HTTP_FAILURE if status in active.unhealthy.http_statuses else None


async def _ask(target: Target, active: ActiveCheck, trust: Trust) -> int | None:
    tls = trust(active.https_verify_certificate) if active.type == "https" else None
    name = _server_name(target.host) if tls is not None else None
    if target.path:
        reader, writer = await asyncio.open_unix_connection(target.path, ssl=tls, server_hostname=name, limit=MOST_LINE)
    else:
        reader, writer = await asyncio.open_connection(target.ip, target.port, ssl=tls, server_hostname=name, limit=MOST_LINE)
    try:
        if active.type == "tcp":
            return None
        writer.write(_request(target, active))
        return await _status(reader)
    finally:
        writer.transport.abort()


def _server_name(host: str) -> str:
    return host[1:-1] if host.startswith("[") else host


def _request(target: Target, active: ActiveCheck) -> bytes:
    fields = [each.partition(":") for each in active.req_headers or ()]
    given = {name.strip().lower() for name, _, _ in fields}
    body = active.http_req_body.encode()
    lines = [f"{active.http_method} {active.http_path} HTTP/1.1"]
    if "host" not in given:
        lines.append(f"Host: {f'[{target.host}]' if target.host.count(':') > 1 and target.host[0] != '[' else target.host}")
    if "user-agent" not in given:
        lines.append(f"User-Agent: {USER_AGENT}")
    lines += [f"{name.strip()}: {value.strip()}" for name, _, value in fields if name.strip().lower() not in _OURS]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1", "replace") + body


async def _status(reader: asyncio.StreamReader) -> int:
    for _ in range(MOST_INTERIM):
        status = _status_of(await reader.readuntil(b"\n"))
        if status >= 200:
            return status
        while await reader.readuntil(b"\n") not in (b"\r\n", b"\n"):
            pass
    raise ValueError("too many interim answers")


def _status_of(line: bytes) -> int:
    version, _, rest = line.partition(b" ")
    code = rest[:3]
    if not version.startswith(b"HTTP/1.") or len(code) != 3 or not code.isdigit():
        raise ValueError("no status line")
    return int(code)
