"""Upstreams that say which one they are, and a route to them.

Owns: what the tests of proxying share. Must not know what they claim.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from tests.support.gateway import Gateway
from tests.support.upstreams import Answering


def saying(name: str) -> Callable[[bytes], bytes]:
    """An answer that is the upstream's name."""
    return lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(name), name.encode())


@contextlib.contextmanager
def named(*names: str) -> Iterator[dict[str, Answering]]:
    """An upstream of each name."""
    nodes = {name: Answering(saying(name)) for name in names}
    with contextlib.ExitStack() as stack:
        for node in nodes.values():
            stack.enter_context(node)
        yield nodes


def to(nodes: Any, **fields: Any) -> dict[str, Any]:
    """A configuration with one route to these nodes."""
    return {"routes": [{"id": "r", "uri": "/*", "upstream": {"nodes": nodes, **fields}}]}


def asked(gateway: Gateway, target: str = "/", **fields: str) -> str:
    """The name of the upstream that answers."""
    response = gateway.get(target, headers={name.replace("_", "-"): value for name, value in fields.items()})
    assert response.status == 200, response
    return response.body.decode()
