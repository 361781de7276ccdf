"""Where limits are counted when not in this gateway: the Redis members of the limit plugins, as APISIX has them.

Owns: the members, which policy needs which, and the settings that are made of them. Must not know: how one connects
(redis_client.py), what is counted.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from fastgw.errors import Fault, Path
from fastgw.plugins.limited import LimitedConf
from fastgw.schema.base import Nested, Port, Text, secret, text_format
from fastgw.schema.formats import parse_node
from fastgw.schema.rules import broken, required

__all__ = ["Kind", "RedisConf", "RedisCountConf", "RedisSettings", "Sentinel"]

Kind = Literal["redis", "redis-cluster", "redis-sentinel"]

_SYNC_OFF: Final = -1
_SHORTEST_SYNC: Final = 0.1
_NEEDED: Final[dict[str, tuple[str, ...]]] = {
    "redis": ("redis_host",),
    "redis-cluster": ("redis_cluster_nodes", "redis_cluster_name"),
    "redis-sentinel": ("redis_sentinels", "redis_master_name"),
}
_KEPT: Final[dict[str, int]] = {"redis": 10_000, "redis-cluster": 10_000, "redis-sentinel": 60_000}

Password = Annotated[str, secret]
"""Empty: none, as in APISIX."""
HostText = Annotated[str, text_format("node-host", "a host name or an IP address")]
NodeText = Annotated[str, text_format("node", "'host:port'")]
Milliseconds = Annotated[int, Meta(ge=1, le=60_000)]
IdleMilliseconds = Annotated[int, Meta(ge=1000, le=86_400_000)]


@dataclass(frozen=True)
class RedisSettings:
    """All that tells one connection to Redis from another: so, what a client of it may be found by (known-pains 2.6)."""

    kind: Kind
    addresses: tuple[tuple[str, int], ...]
    """The server, the nodes that a cluster is found through, or the sentinels."""
    name: str = ""
    """What the cluster is called, or the sentinels call the master."""
    database: int = 0
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    sentinel_username: str = field(default="", repr=False)
    sentinel_password: str = field(default="", repr=False)
    tls: bool = False
    verify: bool = False
    connect_timeout: float = 1.0
    read_timeout: float = 1.0
    idle: float = 10.0
    """Seconds that a connection without work is kept."""
    connections: int = 100
    """How many are open at once, to one node."""

    @property
    def label(self) -> str:
        """What logs call it: nothing secret."""
        places = ", ".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.addresses)
        if self.kind == "redis":
            return f"redis {places}/{self.database}"
        return f"{self.kind} {self.name} ({places})"


def _address(text: str, port: int = 0) -> tuple[str, int]:
    """Host, without the brackets of an IPv6 address, and port."""
    host, own = parse_node(text)
    return host, own or port


class Sentinel(Nested, frozen=True, kw_only=True):
    """One process that watches over Redis servers.

    host: where it is
    port: where it listens
    """

    host: HostText
    port: Port

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """The text may be that of a unix socket elsewhere."""
        if good.get("host", "").startswith("unix:"):
            yield broken("host", "expected a host name or an IP address")


class RedisConf(LimitedConf, frozen=True, kw_only=True):
    """Members for the policies redis and redis-cluster.

    redis_host: the server, for policy redis
    redis_port: where it listens
    redis_username: a user of Redis' ACL
    redis_password: its password, or that of `requirepass`
    redis_database: which of the server's databases
    redis_timeout: milliseconds for an answer, connecting included
    redis_ssl: whether connections are encrypted
    redis_ssl_verify: whether the server's certificate is checked
    redis_keepalive_timeout: milliseconds that an idle connection is kept; 10000 when left out, to a sentinel's master 60000
    redis_keepalive_pool: how many connections a worker has to one server
    redis_cluster_nodes: some nodes of the cluster, `host:port`, for policy redis-cluster; they name the others
    redis_cluster_name: what the cluster is called in logs
    redis_cluster_ssl: whether connections to the cluster are encrypted
    redis_cluster_ssl_verify: whether the certificates of its nodes are checked
    """

    redis_host: HostText | None = None
    redis_port: Port = 6379
    redis_username: Text | None = None
    redis_password: Password | None = None
    redis_database: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    redis_timeout: Milliseconds = 1000
    redis_ssl: bool = False
    redis_ssl_verify: bool = False
    redis_keepalive_timeout: IdleMilliseconds | None = None
    redis_keepalive_pool: Annotated[int, Meta(ge=1, le=10_000)] = 100
    redis_cluster_nodes: Annotated[tuple[NodeText, ...], Meta(min_length=1)] | None = None
    redis_cluster_name: Text | None = None
    redis_cluster_ssl: bool = False
    redis_cluster_ssl_verify: bool = False

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """What the policy cannot do without; nodes that have a port."""
        yield from super().rules(good, present)
        policy = good.get("policy", "local")
        for name in _NEEDED.get(policy, ()):
            yield from required(present, name, f'policy "{policy}" needs it', f'property "{name}" is required')
        if good.get("redis_host", "").startswith("unix:"):
            yield broken("redis_host", "expected a host name or an IP address")
        for index, node in enumerate(good.get("redis_cluster_nodes", ())):
            if parse_node(node)[1] is None:
                yield Fault(Path(("redis_cluster_nodes", index)), "expected 'host:port' with a port from 1 to 65535", "rule")

    def redis_settings(self) -> RedisSettings | None:
        """What to connect to; None for the policy local."""
        policy = getattr(self, "policy", "local")  # a member of each plugin, as each has its own choice
        if policy == "local":
            return None
        timeout = self.redis_timeout / 1000
        shared = {
            "kind": policy,
            "username": self.redis_username or "",
            "password": self.redis_password or "",
            "connect_timeout": timeout,
            "read_timeout": timeout,
            "idle": (self.redis_keepalive_timeout or _KEPT[policy]) / 1000,
            "connections": self.redis_keepalive_pool,
        }
        return RedisSettings(**{**shared, **self._place(policy)})

    def _place(self, policy: str) -> dict[str, Any]:
        """The settings that are of one policy only."""
        if policy == "redis":
            return {
                "addresses": (_address(self.redis_host or "", self.redis_port),),
                "database": self.redis_database,
                "tls": self.redis_ssl,
                "verify": self.redis_ssl_verify,
            }
        return {
            "addresses": tuple(map(_address, self.redis_cluster_nodes or ())),
            "name": self.redis_cluster_name,
            "tls": self.redis_cluster_ssl,
            "verify": self.redis_cluster_ssl_verify,
        }


class RedisCountConf(RedisConf, frozen=True, kw_only=True):
    """Members for redis-sentinel too, and for counting ahead of Redis.

    redis_sentinels: who knows the master, for policy redis-sentinel
    redis_master_name: what they call it
    redis_role: which server counts; only a master can
    redis_connect_timeout: milliseconds to connect to the master
    redis_read_timeout: milliseconds for its answer
    sentinel_username: a user of the sentinels' ACL
    sentinel_password: its password, or that of the sentinels' `requirepass`
    sync_interval: seconds between two exchanges with Redis, while requests are admitted from a share; -1: each request asks Redis
    """

    redis_sentinels: Annotated[tuple[Sentinel, ...], Meta(min_length=1)] | None = None
    redis_master_name: Text | None = None
    redis_role: Literal["master"] = "master"
    redis_connect_timeout: Milliseconds = 1000
    redis_read_timeout: Milliseconds = 1000
    sentinel_username: Text | None = None
    sentinel_password: Password | None = None
    sync_interval: float = _SYNC_OFF

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """An interval that is neither too short nor as long as the window."""
        yield from super().rules(good, present)
        interval, window = good.get("sync_interval", _SYNC_OFF), good.get("time_window")
        if interval != _SYNC_OFF and interval < _SHORTEST_SYNC:
            message = f"expected {_SYNC_OFF}, or at least {_SHORTEST_SYNC:g} seconds"
            yield broken("sync_interval", message, "sync_interval should not be smaller than 0.1")
        elif isinstance(window, int) and interval >= window:
            message = f"expected less than time_window, which is {window}"
            yield broken("sync_interval", message, "sync_interval should be smaller than time_window")

    def _place(self, policy: str) -> dict[str, Any]:
        if policy != "redis-sentinel":
            return super()._place(policy)
        return {
            "addresses": tuple(_address(each.host, each.port) for each in self.redis_sentinels or ()),
            "name": self.redis_master_name,
            "database": self.redis_database,
            "sentinel_username": self.sentinel_username or "",
            "sentinel_password": self.sentinel_password or "",
            "connect_timeout": self.redis_connect_timeout / 1000,
            "read_timeout": self.redis_read_timeout / 1000,
        }
