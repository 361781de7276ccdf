"""An upstream as it was written to the one that the core balances over.

Owns: what is left open and what it then is, numbers beyond what the core holds, the retry budget's default, what a node is
called. Must not know: who names an upstream, how a node is chosen or checked.
"""

from collections.abc import Sequence
from typing import Final

from fastgw import _core
from fastgw.pools import Pools, ServiceName
from fastgw.schema.served import MOST_NODES
from fastgw.schema.upstream import Node, RetryBudget, Upstream, nodes_of

__all__ = ["DEFAULT_PORTS", "INT32", "TIMEOUT_S", "UNIX_HOST", "built", "judged", "place_name", "within"]

TIMEOUT_S: Final = 60  # of upstreams that say nothing
DEFAULT_PORTS: Final = {"http": 80, "https": 443}
UNIX_HOST: Final = "localhost"  # who a node without a name is: what nginx says in this place
INT32: Final = 2**31 - 1
MOST_WEIGHT: Final = 2**30  # of all nodes of an upstream together
# On the only node there is, where APISIX knows no bound. Tries that are refused follow each other while nobody else is served.
MOST_RETRIES: Final = 64


def within(number: int) -> int:
    """A number as the core holds it, where APISIX knows no bound; beyond this one all mean the same to people."""
    return max(-INT32, min(number, INT32))


def built(
    upstream: Upstream, pools: Pools, tls: _core.TlsClient | None = None, checks: _core.Checks | None = None
) -> _core.Upstream:
    """The core's upstream; its nodes' connections are those of `pools`. `tls`: how TLS is spoken to them; `checks`: how they are
    judged; None: not at all."""
    known, use = nodes_of(upstream), None
    if upstream.service_name is not None:
        use, known = pools.service(ServiceName(upstream.service_name))
        known = known[:MOST_NODES]
    nodes = [
        (*_place(node, DEFAULT_PORTS[upstream.scheme], pools, tls), weight, within(node.priority))
        for node, weight in zip(known, _weights(known), strict=True)
    ]
    pool, timeout, budget = upstream.keepalive_pool, upstream.timeout, upstream.retry_budget or RetryBudget()
    return _core.Upstream(
        [(place, weight, priority, host) for place, host, weight, priority in nodes],
        pass_host=upstream.pass_host,
        host=(upstream.upstream_host or "").encode(),
        # Of several nodes each is tried once.
        retries=None if upstream.retries is None else min(upstream.retries, len(nodes) if len(nodes) > 1 else MOST_RETRIES),
        connect=timeout.connect if timeout else TIMEOUT_S,
        send=timeout.send if timeout else TIMEOUT_S,
        read=timeout.read if timeout else TIMEOUT_S,
        keepalive_size=within(pool.size) if pool else 320,
        keepalive_idle=pool.idle_timeout if pool else 60,
        keepalive_requests=within(pool.requests) if pool else 1000,
        balance=upstream.type,
        key=_key(upstream) if upstream.type == "chash" else None,
        slow_start=upstream.slow_start,
        retry_timeout=upstream.retry_timeout,
        budget=(budget.ratio, budget.per_second),
        service=use,
        checks=checks,
    )


def judged(upstream: Upstream, owner: str, health: _core.Health | None) -> _core.Checks | None:
    """How the nodes of this object's upstream are judged. health: where that is known; None: nowhere."""
    if upstream.checks is None or health is None:
        return None
    passive = upstream.checks.passive
    if passive is None:
        return _core.Checks(health, owner)
    good, bad = passive.healthy, passive.unhealthy
    reports = (good.http_statuses, good.successes, bad.http_statuses, bad.http_failures, bad.tcp_failures, bad.timeouts)
    return _core.Checks(health, owner, reports)


def place_name(node: Node, port: int) -> str:
    """What the place of a node is called, wherever it is spoken of. port: that of the scheme, where it has none."""
    return node.host if node.path else f"{node.host}:{node.port or port}"


def _place(node: Node, default: int, pools: Pools, tls: _core.TlsClient | None) -> tuple[_core.Pool, bytes]:
    """Where a node's connections go, and what it is called in a Host header."""
    if node.path:
        return pools.unix(node.path, tls), UNIX_HOST.encode()
    port = node.port or default
    host = f"[{node.host}]" if ":" in node.host else node.host
    return pools.at(node.host, port, tls), (host if port == default else f"{host}:{port}").encode()


def _weights(nodes: Sequence[Node]) -> list[int]:
    """The nodes' weights in proportion; none that has one loses it."""
    total = sum(node.weight for node in nodes)
    if total <= MOST_WEIGHT:
        return [node.weight for node in nodes]
    return [min(node.weight, max(1, node.weight * (MOST_WEIGHT - len(nodes)) // total)) for node in nodes]


def _key(upstream: Upstream) -> _core.Template:
    if upstream.hash_on == "consumer":
        return _core.Template("consumer_name")
    key = upstream.key or ""
    if upstream.hash_on == "vars_combinations":
        return _core.Template(key, "var_combination")
    return _core.Template({"header": "http_", "cookie": "cookie_"}.get(upstream.hash_on, "") + key)
