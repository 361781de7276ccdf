"""What the tests of forward-auth share: the other server, a gateway's configuration with it, and what it was asked.

Must not know what any test claims.
"""

from collections.abc import Callable
from typing import Any

from tests.support.upstreams import Answering
from tests.support.wire import Address

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
DOWN = b'{"error_msg":"Forbidden"}\n'
SPELLINGS = ("X-User", "x_user", "X.User")


def answer(*fields: str, status: str = "200 OK", body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status}", *fields, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def config(upstream: Address, auth: Address | str, **conf: Any) -> dict[str, Any]:
    """A route /a with forward-auth."""
    more = {name: conf.pop(name) for name in ("access_log", "limits", "workers", "trusted_addresses") if name in conf}
    uri = auth if isinstance(auth, str) else f"{auth.url}/check?x=1"
    plugins = {"forward-auth": {"uri": uri, **conf}}
    node = {"type": "roundrobin", "nodes": {str(upstream): 1}}
    return {"routes": [{"id": "r", "uri": "/a*", "upstream": node, "plugins": plugins}], **more}


def fields(request: bytes) -> list[tuple[str, str]]:
    """Of a request as the other server got it, with lower-case names."""
    head = request.partition(b"\r\n\r\n")[0].decode("latin-1")
    return [(name.lower(), value) for name, _, value in (line.partition(": ") for line in head.split("\r\n")[1:])]


class Auth(Answering):
    """The other server; `asked` are the requests it got."""

    def __init__(self, respond: bytes | Callable[[bytes], bytes] = OK) -> None:
        self.asked: list[bytes] = []

        def note(request: bytes) -> bytes:
            self.asked.append(request)
            return respond if isinstance(respond, bytes) else respond(request)

        super().__init__(note)
