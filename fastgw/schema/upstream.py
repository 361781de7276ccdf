"""An upstream: its nodes, how one is chosen, and how it is spoken to.

Owns the two forms of `nodes` and their one normalised form. Must not know balancing or sockets. A health
check is described in checks.py.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple

from msgspec import Meta

from fastgw.errors import Fault, Path
from fastgw.schema.base import Described, Host, Id, Nested, Port, Secret, Text, Timeout, text_format
from fastgw.schema.checks import Checks
from fastgw.schema.decode import shown
from fastgw.schema.formats import parse_node
from fastgw.schema.rules import broken, exactly_one, required

__all__ = ["KeepalivePool", "Node", "RetryBudget", "Upstream", "UpstreamNode", "UpstreamTls", "nodes_of"]

Weight = Annotated[int, Meta(ge=0)]
NodeKey = Annotated[str, text_format("node", "'host', 'host:port' or 'unix:/path'")]
NodeHost = Annotated[str, text_format("node-host", "a host name, an IP address or 'unix:/path'")]
Scheme = Literal["http", "https", "grpc", "grpcs", "tcp", "tls", "udp", "kafka"]
HashOn = Literal["vars", "header", "cookie", "consumer", "vars_combinations"]

_VARIABLE = re.compile(
    r"(?:uri|server_name|server_addr|request_uri|remote_port|remote_addr|query_string|host|hostname"
    r"|mqtt_client_id|arg_[0-9a-zA-Z_-]+)"
)
_FIELD = re.compile(r"[a-zA-Z0-9_-]+")


class UpstreamNode(Nested, frozen=True, kw_only=True):
    """One server of an upstream.

    host: its name or address, or "unix:" and the path of its socket
    port: its port; that of the scheme when left out
    weight: its share of requests; 0 takes none
    priority: nodes of a lower priority are used when no higher one is left
    metadata: anything, for people
    """

    host: NodeHost
    port: Port | None = None
    weight: Weight
    priority: int = 0
    metadata: dict[str, Any] | None = None

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """A socket has no port."""
        if "port" in present and good.get("host", "").startswith("unix:"):
            yield broken("port", "expected none beside the path of a unix socket")


class KeepalivePool(Nested, frozen=True, kw_only=True):
    """Idle connections kept for this upstream.

    size: how many per worker
    idle_timeout: seconds after which an idle one is closed
    requests: how many requests one connection carries
    """

    size: Annotated[int, Meta(ge=1)] = 320
    idle_timeout: Annotated[float, Meta(ge=0)] = 60
    requests: Annotated[int, Meta(ge=1)] = 1000


class RetryBudget(Nested, frozen=True, kw_only=True):
    """How many retries the nodes bear, per worker; those of tries that reached no node are free.

    ratio: retries per request
    per_second: retries that there may always be
    """

    ratio: Annotated[float, Meta(ge=0, le=100)] = 0.2
    per_second: Annotated[float, Meta(ge=0, le=100000)] = 10


class UpstreamTls(Nested, frozen=True, kw_only=True):
    """How the gateway proves itself to, and checks, an upstream that speaks TLS.

    client_cert: its own certificate, PEM
    client_key: the key of that certificate, PEM
    client_cert_id: the id of an ssl object of type client that holds both
    verify: whether the upstream's certificate is checked; APISIX does not, by default
    """

    client_cert: Text | None = None
    client_key: Secret | None = None
    client_cert_id: Id | None = None
    verify: bool = True

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """A certificate comes with its key, or by id."""
        if "client_cert_id" in present:
            for name in ("client_cert", "client_key"):
                if name in present:
                    yield broken(name, "expected either this or client_cert_id, found both")
        elif "client_cert" in present:
            yield from required(present, "client_key", "client_cert needs it", 'property "client_key" is required')
        elif "client_key" in present:
            yield from required(present, "client_cert", "client_key needs it", 'property "client_cert" is required')


class Upstream(Described, frozen=True, kw_only=True):
    """Servers that answer requests.

    type: how a node is chosen: roundrobin, chash, ewma or least_conn
    nodes: the servers, as {"host:port": weight} or as a list of nodes
    retries: further nodes tried after a failure; all of them when left out
    retry_timeout: seconds after which no further node is tried; 0: no bound
    retry_budget: how many retries there may be in proportion to requests
    slow_start: seconds in which a new node's share of requests grows to the whole; 0: it has it at once
    timeout: seconds to connect, send and read; 60 each when left out
    scheme: the protocol spoken
    pass_host: the Host header sent: the client's, the node's, or upstream_host
    upstream_host: the Host header of pass_host "rewrite"
    hash_on: what `key` names, for chash
    key: the variable, header or cookie hashed, for chash
    keepalive_pool: idle connections kept
    checks: health checks
    tls: certificates towards the upstream
    service_name: its name in a service registry, instead of nodes
    discovery_type: which service registry
    discovery_args: arguments to the service registry
    """

    type: str = "roundrobin"
    nodes: dict[NodeKey, Weight] | tuple[UpstreamNode, ...] | None = None
    retries: Annotated[int, Meta(ge=0)] | None = None
    retry_timeout: Annotated[float, Meta(ge=0)] = 0
    retry_budget: RetryBudget | None = None
    slow_start: Annotated[float, Meta(ge=0, le=86400)] = 0
    timeout: Timeout | None = None
    scheme: Scheme = "http"
    pass_host: Literal["pass", "node", "rewrite"] = "pass"  # noqa: S105
    upstream_host: Host | None = None
    hash_on: HashOn = "vars"
    key: str | None = None
    keepalive_pool: KeepalivePool | None = None
    checks: Checks | None = None
    tls: UpstreamTls | None = None
    service_name: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    discovery_type: str | None = None
    discovery_args: dict[str, Any] | None = None

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """Nodes or a registry; what chash and pass_host need."""
        yield from exactly_one(present, "nodes", "service_name")
        if "service_name" in present:
            yield from required(present, "discovery_type", "service_name needs it", 'property "discovery_type" is required')
            if good.get("discovery_type") == "dns":
                yield from _service_name(good.get("service_name"))
        if good.get("type") == "chash":
            yield from _hash_key(good, present)
        if good.get("pass_host") == "rewrite":
            reason = "`upstream_host` can't be empty when `pass_host` is `rewrite`"
            yield from required(present, "upstream_host", 'pass_host "rewrite" needs it', reason)


def _service_name(name: str | None) -> Iterator[Fault]:
    try:
        if name is not None and parse_node(name)[0].startswith("unix:"):
            raise ValueError("a host name")
    except ValueError as error:
        yield broken("service_name", f"expected {error}, found {shown(name)}")


def _hash_key(good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
    hash_on, key = good.get("hash_on", "vars"), good.get("key")
    if hash_on != "consumer":
        yield from required(present, "key", 'type "chash" needs it', "missing key")
    if key is None:
        return
    right = {"vars": _VARIABLE, "header": _FIELD, "cookie": _FIELD}.get(hash_on)
    if right and not right.fullmatch(key):
        noun = "the name of a request variable" if hash_on == "vars" else f"the name of a {hash_on}"
        yield Fault(Path(("key",)), f"expected {noun}, found {shown(key)}", "pattern", right.pattern, key)
    if hash_on == "vars_combinations" and "$" not in key:
        yield broken("key", f"expected text with at least one $variable, found {shown(key)}")


class Node(NamedTuple):
    """A node in the one form the rest of the gateway uses. IPv6 addresses stand without brackets."""

    host: str
    port: int | None
    weight: int
    priority: int

    @property
    def path(self) -> str:
        """That of its unix socket; empty where it has none."""
        return self.host[len("unix:") :] if self.host.startswith("unix:") else ""


def nodes_of(upstream: Upstream) -> tuple[Node, ...]:
    """The nodes of an upstream, whichever way they are written; none when it names a registry."""
    if isinstance(upstream.nodes, dict):
        return tuple(Node(*parse_node(key), weight, 0) for key, weight in upstream.nodes.items())
    return tuple(Node(parse_node(node.host)[0], node.port, node.weight, node.priority) for node in upstream.nodes or ())
