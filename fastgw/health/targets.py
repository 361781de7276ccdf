"""From an upstream to the addresses of its nodes that are checked.

Owns: whether an object has checks, what a probe connects to and says there, by what number an address is judged. Must not know
when probes run, what becomes of them, how names are resolved. A name stands for all of its addresses: each of them is checked, as
requests go to each of them.
"""

import ipaddress
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

from fastgw._core import Health
from fastgw.pools import Followed, ServiceName
from fastgw.schema.upstream import Node, Upstream, nodes_of
from fastgw.upstreams import DEFAULT_PORTS, UNIX_HOST, place_name

__all__ = ["Found", "Target", "followed", "targets"]

Found = Callable[[Followed], tuple[Any, ...]]
"""What a name or a service is known to stand for; empty while nobody knows."""


class Target(NamedTuple):
    """One address of a node."""

    who: int
    """Its number in the shared table."""
    node: str
    """The node's name, "a.test:80"."""
    ip: str
    """"192.0.2.1"; "unix:/path" of a socket."""
    port: int
    """What is checked; 0 of a socket."""
    host: str
    """Who it is asked for: the Host header and the server name of TLS."""

    @property
    def path(self) -> str:
        """That of its unix socket; empty where it has none."""
        return self.ip[len("unix:") :] if self.ip.startswith("unix:") else ""


def followed(upstream: Upstream, found: Found) -> Iterator[Followed]:
    """What must be looked up before all of its addresses are known."""
    if upstream.service_name is not None:
        yield ServiceName(upstream.service_name)
    for node in _nodes(upstream, found):
        if not node.path and not _is_address(node.host):
            yield node.host


def targets(owner: str, upstream: Upstream, health: Health, found: Found) -> Iterator[Target]:
    """The addresses to check, each once, as far as they are known; none of an upstream without checks."""
    if upstream.checks is None:
        return
    active = upstream.checks.active
    seen: set[int] = set()
    for node in _nodes(upstream, found):
        own = node.port or DEFAULT_PORTS[upstream.scheme]
        name = place_name(node, own)
        rewritten = upstream.upstream_host if upstream.pass_host == "rewrite" else None  # noqa: S105
        host = active.host or rewritten
        for address in _addresses(node, found):
            who = health.who(owner, name, address)
            if who in seen:
                continue
            seen.add(who)
            if node.path:
                yield Target(who, name, node.host, 0, host or UNIX_HOST)
            else:
                yield Target(who, name, address, active.port or own, host or node.host)


def _nodes(upstream: Upstream, found: Found) -> Collection[Node]:
    return nodes_of(upstream) if upstream.service_name is None else found(ServiceName(upstream.service_name))


def _addresses(node: Node, found: Found) -> tuple[str, ...]:
    if node.path:
        return ("",)
    return (node.host,) if _is_address(node.host) else found(node.host)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
