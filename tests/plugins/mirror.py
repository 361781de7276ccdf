"""An upstream whose answer's body is the request as it arrived, and one way to ask a gateway in front of it."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from tests.support import wire
from tests.support.gateway import Gateway
from tests.support.upstreams import Answering
from tests.support.wire import Address


class Answer(NamedTuple):
    """What the client got; `sent` is what the upstream saw, empty where it was not asked."""

    status: int
    head: str
    body: bytes
    sent: str

    def header(self, name: str) -> list[str]:
        """Every value of that field in the answer."""
        fields = (line.partition(": ") for line in self.head.split("\r\n"))
        return [value for found, _, value in fields if found.lower() == name.lower()]


def mirror() -> Answering:
    """Answers each request with itself."""
    return Answering(lambda request: b"HTTP/1.1 200 OK\r\nX-Mirror: 1\r\nContent-Length: %d\r\n\r\n%b" % (len(request), request))


def ask(gateway: Gateway | Address, target: str = "/", *fields: str) -> Answer:
    """One GET with these fields, byte by byte as written, on a connection of its own."""
    address = gateway.data if isinstance(gateway, Gateway) else gateway
    lines = [f"GET {target} HTTP/1.1", "Host: test", "Connection: close", *fields, "", ""]
    return parse(wire.raw(address, "\r\n".join(lines).encode()))


def parse(received: bytes) -> Answer:
    head, _, body = received.partition(b"\r\n\r\n")
    text = head.decode("latin-1")
    sent = body.decode("latin-1") if "X-Mirror: 1" in text else ""
    return Answer(int(text.split(" ")[1]), text, body, sent)


def consumer(username: str, *credentials: tuple[str, dict[str, Any]], **fields: Any) -> dict[str, Any]:
    """A consumer of the config file; each credential is its id and its plugins."""
    found: Iterable[dict[str, Any]] = ({"id": id_, "plugins": plugins} for id_, plugins in credentials)
    return {"username": username, "credentials": list(found), **fields}
