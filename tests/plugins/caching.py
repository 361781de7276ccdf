"""An upstream that answers as the request says, each time with another body, and one way to ask a cache in front of it."""

import re
from typing import Any

from tests.plugins.mirror import Answer, parse
from tests.support import wire
from tests.support.gateway import Gateway
from tests.support.upstreams import Answering
from tests.support.wire import Address

HOUR = "Cache-Control: max-age=3600"
STATUS = "Apisix-Cache-Status"
MEMORY: dict[str, Any] = {"cache_strategy": "memory", "cache_zone": "memory_cache"}


class Saying(Answering):
    """`X-Say: A: b | C: d` of the request are header lines of the answer, X-Status its status; the body counts the answers."""

    def __init__(self) -> None:
        super().__init__(self.say)
        self.answers = 0

    def say(self, request: bytes) -> bytes:
        self.answers += 1
        told = dict(re.findall(r"(?im)^(x-say|x-status|x-body): (.*)\r$", request.decode("latin-1")))
        given = {name.lower(): value for name, value in told.items()}
        lines = [line.strip() for line in given.get("x-say", "").split("|") if line.strip()]
        status, body = given.get("x-status", "200"), given.get("x-body", f"answer {self.answers}").encode()
        method = request.partition(b" ")[0]
        head = [f"HTTP/1.1 {status} As Asked", *lines, "X-Method: " + method.decode()]
        if status not in ("204", "304"):
            head.append(f"Content-Length: {len(body)}")
        raw = "\r\n".join([*head, "", ""]).encode("latin-1")
        return raw if method == b"HEAD" or status in ("204", "304") else raw + body


def cached(upstream: Address, **confs: dict[str, Any]) -> dict[str, Any]:
    """A route /<name>* for each configuration of the plugin."""
    node = {"type": "roundrobin", "nodes": {str(upstream): 1}}
    routes = [{"id": n, "uri": f"/{n}*", "upstream": node, "plugins": {"proxy-cache": c}} for n, c in confs.items()]
    return {"routes": routes}


def fetch(gateway: Gateway, target: str, *fields: str, say: str = "", method: str = "GET", body: bytes = b"") -> Answer:
    """One request on a connection of its own."""
    lines = [f"{method} {target} HTTP/1.1", "Host: test", "Connection: close", *fields]
    if say:
        lines.append(f"X-Say: {say}")
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return parse(wire.raw(gateway.data, "\r\n".join([*lines, "", ""]).encode("latin-1") + body))


def status(answer: Answer) -> str:
    """What it says of the cache."""
    found = answer.header(STATUS)
    assert len(found) == 1, answer.head
    return found[0]
