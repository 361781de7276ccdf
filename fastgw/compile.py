"""Resources to a Snapshot: pure, no I/O.

Owns: which objects a route inherits from, the order in which plugins of several objects win (Consumer > Consumer group > Route >
Plugin config > Service), and which compiled parts can be used again. Must not know: where objects come from, how requests
are served. An object that does not compile keeps its last good version and is reported; the others go on.
"""

import ipaddress
import weakref
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from fastgw import _core
from fastgw.plugins import order
from fastgw.plugins.contract import Plugin
from fastgw.schema.consumer import Consumer, Credential
from fastgw.schema.decode import faults_of
from fastgw.schema.kinds import KINDS
from fastgw.schema.route import Route
from fastgw.schema.upstream import Upstream, nodes_of

__all__ = ["Build", "ChangeLike", "Compiler", "ObjectFault"]

T = TypeVar("T")

DEFAULT_PORTS = {"http": 80, "https": 443}


class ChangeLike(Protocol):
    """What the store's change feed gives: the effective value of one object, None when it is gone."""

    @property
    def kind(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def value(self) -> dict[str, Any] | None: ...


class ObjectFault(NamedTuple):
    """An object that could not be compiled; its last good version, if any, goes on serving."""

    kind: str
    id: str
    message: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.id}: {self.message}"


class Build(NamedTuple):
    """What the compiler made of the objects it has been given so far."""

    snapshot: _core.Snapshot
    faults: tuple[ObjectFault, ...]
    """Objects that do not compile; their previous version, if any, is in the snapshot."""
    names: Collection[str]
    """Host names of upstream nodes: somebody must resolve them and say so by `set_addresses`."""


class _Env:
    """What a plugin's `provision` may ask for; see contract.Env."""

    def __init__(self, compiler: "Compiler", owner: str) -> None:
        self.owner = owner
        self._compiler = compiler

    def anonymous(self, username: str) -> _core.Credential | None:
        return self._compiler.anonymous(username)

    def metadata(self, plugin: Plugin) -> Any:
        return self._compiler.metadata(plugin)


class _Cached(NamedTuple):
    """A compiled part and the very objects it was made from: while all of these are in place it is used again."""

    sources: tuple[Any, ...]
    part: Any

    def made_from(self, *sources: Any) -> bool:
        return len(self.sources) == len(sources) and all(a is b for a, b in zip(self.sources, sources, strict=True))


def _split(address: str) -> tuple[str, int]:
    """Host (an IPv6 address without its brackets) and port of a pool's address."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _is_name(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return True
    return False


def _pattern(uri: str) -> bytes:
    """A route's path in the form that requests are brought to, `*` at its end kept."""
    star = uri.endswith("*")
    path = uri.removesuffix("*").encode()
    return (_core.normalise_path(path) if path else b"") + (b"*" if star else b"")


def _plugin(name: str) -> Plugin:
    plugin = order.get(name)
    if plugin is None:
        raise LookupError(f"plugin {name!r}: expected one of {', '.join(order.names())}")
    return plugin


class Compiler:
    """Follows the change feed and gives a Snapshot per state of it. One per worker."""

    def __init__(self) -> None:
        self._faults: list[ObjectFault] = []
        self._addresses: dict[str, tuple[str, ...]] = {}
        self._objects: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
        self._metadata: dict[str, dict[str, Any]] = {}
        self._cache: dict[tuple[str, str], _Cached] = {}
        # Shared by address, so that idle connections outlive the snapshot that opened them.
        self._pools: weakref.WeakValueDictionary[str, _core.Pool] = weakref.WeakValueDictionary()

    def apply(self, changes: Iterable[ChangeLike]) -> Build:
        """The state after these changes, as the next Snapshot."""
        self._faults = []
        for change in changes:
            self._take(change)
        credentials = self._credentials()
        routes: list[tuple[_core.Plan, bytes, bytes]] = []
        for entries in self._each("routes", self._route).values():
            routes += entries
        globals_ = self._part("globals", "", self._globals)
        snapshot = _core.Snapshot(routes, credentials, globals_)
        return Build(snapshot, tuple(self._faults), {name for name, _ in map(_split, self._pools) if _is_name(name)})

    def _credentials(self) -> dict[str, list[_core.Credential]]:
        """Every credential by the index it belongs to. Of two with one key the later by id is left out and reported: which of
        them a request meant cannot be told, and all workers must agree."""
        found = [(id_, *own) for id_, own in self._each("credentials", self._credential).items()]
        for id_ in self._each("consumers", self._consumer):
            found += [(id_, *own) for own in self._part("own", id_, self._own_credentials) or ()]
        holders: dict[tuple[str, bytes], str] = {}
        credentials: dict[str, list[_core.Credential]] = {}
        for id_, kind, credential in sorted(found, key=lambda entry: entry[0]):
            holder = holders.setdefault((kind, credential.key), id_)
            if holder != id_:
                self._fault("credentials", id_, f"expected a key of its own, found that of credential {holder}")
                continue
            credentials.setdefault(kind, []).append(credential)
        return credentials

    def set_addresses(self, name: str, addresses: Collection[str]) -> None:
        """What a node's host name stands for, from now on."""
        self._addresses[name] = tuple(addresses)
        for address, pool in list(self._pools.items()):
            host, port = _split(address)
            if host == name:
                self._resolve(pool, host, port)

    def anonymous(self, username: str) -> _core.Credential | None:
        """The stand-in credential of a fallback consumer; None when there is no such consumer."""
        consumer = self._part("consumers", username, self._consumer) if username in self._objects["consumers"] else None
        if consumer is None:
            return None
        return _core.Credential(consumer, b"", b"", self._custom_id(self._objects["consumers"][username]))

    def metadata(self, plugin: Plugin) -> Any:
        """What all uses of the plugin share."""
        return msgspec.convert(self._metadata.get(plugin.name, {}), plugin.metadata_conf)

    # -- taking changes in -------------------------------------------------------------------------

    def _take(self, change: ChangeLike) -> None:
        if change.kind == "plugin_metadata":
            self._metadata[change.id] = change.value or {}
            self._cache.clear()
            return
        known = self._objects.get(change.kind)
        if known is None:
            return
        if change.value is None:
            known.pop(change.id, None)
            self._cache.pop((change.kind, change.id), None)
            return
        decoded, faults = faults_of(change.value, KINDS[change.kind].type)
        if decoded is None:
            self._fault(change.kind, change.id, "; ".join(str(fault) for fault in faults))
            return
        known[change.id] = decoded

    def _fault(self, kind: str, id_: str, message: str) -> None:
        self._faults.append(ObjectFault(kind, id_, message))

    def _each(self, kind: str, make: Callable[[str], Any]) -> dict[str, Any]:
        parts = {id_: self._part(kind, id_, make) for id_ in self._objects[kind]}
        return {id_: part for id_, part in parts.items() if part is not None}

    def _part(self, kind: str, id_: str, make: Callable[[str], Any]) -> Any:
        """Runs one maker; when it fails, the last good part stays. Makers keep to `_reuse` for what they build."""
        try:
            return make(id_)
        except (ValueError, LookupError, TypeError, msgspec.ValidationError) as error:
            self._fault(kind, id_, str(error))
            cached = self._cache.get((kind, id_))
            return cached.part if cached else None

    def _reuse(self, kind: str, id_: str, sources: tuple[Any, ...], make: Callable[[], T]) -> T:
        cached = self._cache.get((kind, id_))
        if cached is not None and cached.made_from(*sources):
            reused: T = cached.part
            return reused
        part = make()
        self._cache[kind, id_] = _Cached(sources, part)
        return part

    def _linked(self, kind: str, id_: Any) -> Any:
        if id_ is None:
            return None
        found = self._objects[kind].get(str(id_))
        if found is None:
            raise LookupError(f"{KINDS[kind].singular} {str(id_)!r}: expected an existing one, found none")
        return found

    # -- plugins -----------------------------------------------------------------------------------

    def _steps(self, layers: Iterable[tuple[str, Mapping[str, Any] | None]]) -> _core.Steps:
        """Steps of several (owner, plugins), the first that has a plugin wins. Auth plugins' consumer side is left out."""
        steps: list[tuple[int, int, _core.Step]] = []
        numbers: dict[str, int] = {}
        for owner, plugins in layers:
            for name, raw in (plugins or {}).items():
                if name in numbers:
                    continue
                plugin = _plugin(name)
                numbers[name] = order.number(name)
                if raw.get("_meta", {}).get("disable"):
                    continue
                conf = msgspec.convert(raw, plugin.conf)
                priority = plugin.priority if conf.meta.priority is None else conf.meta.priority
                made = plugin.provision(conf, _Env(self, owner))
                steps += [(numbers[name], priority, step) for step in made]
        return _core.Steps(steps, list(numbers.values()))

    def _globals(self, _: str) -> _core.Steps:
        rules = self._objects["global_rules"]
        layers = [(f"global_rules/{id_}", rule.plugins) for id_, rule in rules.items()]
        return self._reuse("globals", "", tuple(rules.values()), lambda: self._steps(layers))

    # -- consumers ---------------------------------------------------------------------------------

    def _consumer(self, id_: str) -> _core.Consumer:
        consumer: Consumer = self._objects["consumers"][id_]
        group = self._linked("consumer_groups", consumer.group_id)

        def make() -> _core.Consumer:
            own = {n: c for n, c in (consumer.plugins or {}).items() if _plugin(n).kind != "auth"}
            layers = [(f"consumers/{id_}", own)]
            if group is not None:
                layers.append((f"consumer_groups/{consumer.group_id}", group.plugins))
            name = str(consumer.group_id) if consumer.group_id is not None else ""
            return _core.Consumer(consumer.username.encode(), self._steps(layers), name.encode())

        return self._reuse("consumers", id_, (consumer, group), make)

    @staticmethod
    def _custom_id(consumer: Consumer) -> bytes:
        return (consumer.labels or {}).get("custom_id", "").encode()

    def _credential(self, id_: str) -> tuple[str, _core.Credential] | None:
        credential: Credential = self._objects["credentials"][id_]
        username, _, own_id = id_.partition("/")
        owner = self._linked("consumers", username)
        consumer = self._consumer(username)
        return self._reuse(
            "credentials",
            id_,
            (credential, owner, consumer),
            lambda: next(iter(self._keys(credential.plugins, owner, consumer, own_id)), None),
        )

    def _own_credentials(self, id_: str) -> list[tuple[str, _core.Credential]]:
        owner: Consumer = self._objects["consumers"][id_]
        consumer = self._consumer(id_)
        return self._reuse("own", id_, (owner, consumer), lambda: self._keys(owner.plugins, owner, consumer, ""))

    def _keys(
        self, plugins: Mapping[str, Any] | None, owner: Consumer, consumer: _core.Consumer, id_: str
    ) -> list[tuple[str, _core.Credential]]:
        found = []
        for name, raw in (plugins or {}).items():
            plugin = _plugin(name)
            if plugin.kind != "auth" or plugin.consumer_conf is None:
                continue
            key = plugin.credential(msgspec.convert(raw, plugin.consumer_conf))
            credential = _core.Credential(
                consumer, key.key, id_.encode(), self._custom_id(owner), key.secret, key.leeway, key.proof
            )
            found.append((key.kind, credential))
        return found

    # -- routes ------------------------------------------------------------------------------------

    def _route(self, id_: str) -> list[tuple[_core.Plan, bytes, bytes]]:
        route: Route = self._objects["routes"][id_]
        if route.status == 0:
            return []
        service = self._linked("services", route.service_id)
        config = self._linked("plugin_configs", route.plugin_config_id)
        upstream_id = route.upstream_id
        if upstream_id is None and route.upstream is None and service is not None:
            upstream_id = service.upstream_id
        upstream = self._linked("upstreams", upstream_id)
        if upstream is None:
            upstream = route.upstream or (service.upstream if service is not None else None)
        fallbacks = [
            self._objects["consumers"].get(conf["anonymous_consumer"])
            for plugins in (route.plugins, config and config.plugins, service and service.plugins)
            for conf in (plugins or {}).values()
            if isinstance(conf.get("anonymous_consumer"), str)
        ]

        def make() -> list[tuple[_core.Plan, bytes, bytes]]:
            layers = [
                (f"routes/{id_}", route.plugins),
                (f"plugin_configs/{route.plugin_config_id}", config and config.plugins),
                (f"services/{route.service_id}", service and service.plugins),
            ]
            timeout = route.timeout
            plan = _core.Plan(
                id_.encode(),
                self._steps(layers),
                self._upstream(upstream) if upstream is not None else None,
                methods=route.methods,
                priority=route.priority,
                connect=timeout.connect if timeout else 0,
                send=timeout.send if timeout else 0,
                read=timeout.read if timeout else 0,
                remote_addrs=route.remote_addrs or ((route.remote_addr,) if route.remote_addr else ()),
            )
            hosts = route.hosts or ((route.host,) if route.host else None) or (service and service.hosts) or ("",)
            uris = route.uris or (route.uri,)
            return [(plan, host.lower().encode(), _pattern(uri)) for host in hosts for uri in uris if uri]

        return self._reuse("routes", id_, (route, service, config, upstream, *fallbacks), make)

    def _upstream(self, upstream: Upstream) -> _core.Upstream:
        port = DEFAULT_PORTS[upstream.scheme]
        nodes = []
        for node in nodes_of(upstream):
            number = node.port or port
            named = node.host if number == port else f"{node.host}:{number}"
            nodes.append((self._pool(node.host, number), node.weight, node.priority, named.encode()))
        pool, timeout = upstream.keepalive_pool, upstream.timeout
        return _core.Upstream(
            nodes,
            pass_host=upstream.pass_host,
            host=(upstream.upstream_host or "").encode(),
            retries=upstream.retries,
            connect=timeout.connect if timeout else 60,
            send=timeout.send if timeout else 60,
            read=timeout.read if timeout else 60,
            keepalive_size=pool.size if pool else 320,
            keepalive_idle=pool.idle_timeout if pool else 60,
            keepalive_requests=pool.requests if pool else 1000,
        )

    def _pool(self, host: str, port: int) -> _core.Pool:
        address = f"{host}:{port}"
        pool = self._pools.get(address)
        if pool is None:
            pool = self._pools[address] = _core.Pool(address)
            self._resolve(pool, *_split(address))
        return pool

    def _resolve(self, pool: _core.Pool, host: str, port: int) -> None:
        """Gives the pool its address: the host itself, or the first that its name stands for, once that is known."""
        known = self._addresses.get(host, ()) if _is_name(host) else (host,)
        if known:
            pool.resolve(known[0], port)
