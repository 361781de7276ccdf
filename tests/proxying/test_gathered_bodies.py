"""Many long bodies at once that a route has to see: together they have a bound, and nothing else suffers."""

import contextlib
import socket
from pathlib import Path
from typing import Any

from tests.support import wire
from tests.support.gateway import Gateway
from tests.support.upstreams import Answering
from tests.support.waiting import until

MIB = 1 << 20
FORM = "Content-Type: application/x-www-form-urlencoded"


def config(upstream: wire.Address, log: Path) -> dict[str, Any]:
    node = {"type": "roundrobin", "nodes": {str(upstream): 1}}
    route = {"uri": "/form", "vars": [["post_arg_a", "==", "1"]], "upstream": node}
    return {
        "routes": [{"id": "form", **route}, {"id": "rest", "uri": "/*", "upstream": node}],
        "limits": {"gathered_bytes": MIB},
        "access_log": {"path": str(log)},
    }


def head(target: str, size: int, *fields: str) -> bytes:
    return "\r\n".join([f"POST {target} HTTP/1.1", "Host: h", FORM, f"Content-Length: {size}", *fields, "", ""]).encode()


def test_a_worker_holds_no_more_than_it_may(directory: Path) -> None:
    log = directory / "access.log"
    body = b"a=1&" + b"x" * (MIB - 100_000)
    with Answering() as upstream, Gateway(directory, config(upstream.address, log)) as gateway:
        with contextlib.closing(wire.connect(gateway.data)) as first:
            first.sendall(head("/form", len(body), "Expect: 100-continue"))
            assert wire.read_until(first, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            first.sendall(body[:-1])

            def refused() -> wire.Response | None:  # once the first one's bytes are here
                with contextlib.closing(wire.connect(gateway.data)) as sock:
                    sock.sendall(head("/form", 200_000, "Expect: 100-continue"))
                    if sock.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 100":
                        return None
                    return wire.read_response(sock, "POST")

            answer = until(refused, "a refusal")
            assert answer is not None
            assert (answer.status, answer.json()["reason"]) == (503, "body.busy")
            assert answer.headers["retry-after"] == "1"
            short = wire.raw(gateway.data, head("/form", 1000, "Connection: close") + b"a=1&" + b"x" * 996)
            assert short.startswith(b"HTTP/1.1 200 ")
            other = wire.raw(gateway.data, head("/other", 2 * MIB, "Connection: close") + b"x" * (2 * MIB))
            assert other.startswith(b"HTTP/1.1 200 ")  # of which nothing is gathered
            first.sendall(body[-1:])
            assert wire.read_response(first, "POST").status == 200
            assert any(each.endswith(body) for each in upstream.received)
        again = wire.raw(gateway.data, head("/form", len(body), "Connection: close") + body)
        assert again.startswith(b"HTTP/1.1 200 ")
        assert gateway.api("GET", "stats").json()["refused"]["body.busy"] == 1
        until(lambda: '"refused":"body.busy"' in log.read_text(), "its line")
