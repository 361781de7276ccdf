"""Resources to a Snapshot: pure, no I/O.

Owns: which objects a route inherits from, the order in which plugins of several objects win (Consumer > Consumer group > Route >
Plugin config > Service), which route wins where two fit. Must not know: where objects come from, how requests are served. An
object that does not compile keeps its last good version and is reported; the others go on.

A change costs what it touches: parts.py knows what was made of what, and the next snapshot is derived from the one before. What
any sequence of changes leads to is what its outcome alone would lead to; tests/oracle/compile.py is the plain way to that.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from fastgw import _core
from fastgw.claims import Claims
from fastgw.entries import Entry, first_edit, told_entries
from fastgw.errors import Fault
from fastgw.inherited import places_of, upgrades_of, upstream_source
from fastgw.parts import Key, Parts, Withdrawn
from fastgw.plugins import labels, order
from fastgw.plugins.check import disabled
from fastgw.plugins.contract import Plugin
from fastgw.plugins.redis_fields import RedisSettings
from fastgw.plugins.steps import asked, steps_of
from fastgw.pools import Followed, Pools, ServiceName
from fastgw.schema.consumer import CUSTOM_ID, Consumer, Credential
from fastgw.schema.decode import faults_of
from fastgw.schema.env import resolve_object
from fastgw.schema.expression import parsed
from fastgw.schema.kinds import FETCHED, KINDS
from fastgw.schema.route import Route
from fastgw.schema.service import Service
from fastgw.schema.settings import Router, Tls
from fastgw.schema.ssl import Ssl
from fastgw.schema.upstream import Upstream
from fastgw.tls import Clients, ServerNames, Shown, shown_of
from fastgw.upstreams import INT32, built, judged, within

__all__ = ["Build", "ChangeLike", "Compiler", "ObjectFault", "Wrap"]

# OverflowError: a number that the schema admits and no C integer holds.
FAILURES: Final = (ValueError, LookupError, TypeError, OverflowError, msgspec.ValidationError)
GLOBALS: Final = ("globals", "")
SERVICE: Final = "service"  # the kind of what stands for a service in a part's dependencies

Keys = list[tuple[str, _core.Credential]]
"""Credentials, each with the index it belongs to."""


class ChangeLike(Protocol):
    """What the store's change feed gives: the effective value of one object, None when it is gone."""

    @property
    def kind(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def value(self) -> dict[str, Any] | None: ...
    @property
    def created(self) -> int:
        """When the object was made, as a revision; of objects that compete, the older one goes first."""


class ObjectFault(NamedTuple):
    """An object that could not be compiled; its last good version, if any, goes on serving, unless it is withdrawn."""

    kind: str
    id: str
    message: str
    withdrawn: bool = False
    """Not even its last good version serves: it would admit what must not be."""

    def __str__(self) -> str:
        return f"{self.kind}/{self.id}: {self.message}"


class Build(NamedTuple):
    """What the compiler made of the objects it has been given so far."""

    snapshot: _core.Snapshot
    faults: tuple[ObjectFault, ...]
    """Objects that do not compile; their previous version, if any, is in the snapshot."""
    names: Collection[Followed]
    """Host names of upstream nodes, and services: somebody must look them up and say so by `set_found`."""


Wrap = Callable[[_core.Step, str, str, int], _core.Step]
"""What is to take the place of a step, by its plugin's name, the object that it stands in, and its priority there."""
Stores = Callable[[RedisSettings], _core.RemoteStore]
"""The store of counts behind these settings."""


def _nowhere(_: RedisSettings) -> _core.RemoteStore:
    return _core.RemoteStore()  # for those who serve nobody: it is never asked


class _Env:
    """What a plugin's `provision` may ask for; see contract.Env. All but `owner` is the compiler's to say."""

    def __init__(self, compiler: "Compiler", owner: str) -> None:
        self.owner, self.upstream = owner, partial(compiler.upstream, owner)
        self.anonymous, self.metadata, self.store = compiler.anonymous, compiler.metadata, compiler.stores


def _watched(wrap: Wrap, name: str, owner: str, priority: int, step: _core.Step) -> _core.Step:
    return wrap(step, name, owner, priority)


def _plugin(name: str) -> Plugin:
    plugin = order.get(name)
    if plugin is None:
        raise LookupError(f"plugin {name!r}: expected one of {', '.join(order.names())}")
    return plugin


class Compiler:
    """Follows the change feed and gives a Snapshot per state of it. One per worker."""

    def __init__(self, wrap: Wrap | None = None, stores: Stores = _nowhere) -> None:
        """wrap: for those who want to see steps at work."""
        self._wrap = wrap
        self.stores = stores
        self.pools = Pools()
        self._found: dict[ServiceName, None] = {}
        """Services whose nodes are others since the last work."""
        self._makers: dict[str, Callable[[str], Any]] = {
            "routes": self._route,
            "services": self._service_upstream,
            "upstreams": self._upstream,
            "consumers": self._consumer,
            "credentials": self._credential,
            "own": self._own_credentials,
            "global_rules": self._global_rule,
            "globals": self._globals,
            "plugin_metadata": self._plugin_metadata,
            "ssls": self._ssl,
        }
        self._tls, self._router = Tls(), Router()
        self._clients = Clients()
        self.health: _core.Health | None = None
        self.reset()

    def reset(self) -> None:
        """Forgets all objects, but not the pools: what comes next is the whole configuration, from the beginning."""
        self._objects: dict[str, dict[str, Any]] = {kind.name: {} for kind in KINDS.values() if kind.served}
        self._objects[FETCHED] = {}
        self._created: dict[Key, int] = {}
        self._unread: dict[Key, ObjectFault] = {}
        self._parts = Parts(self._make, self._changed, FAILURES)
        self._claims = Claims()
        self._server_names = ServerNames()
        self._edit = first_edit(self._router)

    def apply(self, changes: Iterable[ChangeLike]) -> Build:
        """The state after these changes, as the next Snapshot."""
        for _ in self.work(changes):
            pass
        return self.build

    def work(self, changes: Iterable[ChangeLike]) -> Iterator[None]:
        """As `apply`, for those who have other things to do meanwhile: yields after each small piece of work.

        It must be gone through to its end; then `build` is the outcome. What `changes` raises is repaired by giving them again,
        what comes from here only by `reset`.
        """
        for change in changes:
            yield from self._take(change)
            yield
        while self._found:
            yield from self._parts.touch((SERVICE, self._found.popitem()[0].name))
        yield from self._parts.refresh()
        yield from self._claims.settle(self._edit)
        yield from self._server_names.settle(self._edit)
        snapshot = self._edit.finish()
        self._edit = _core.Edit(snapshot)
        self.build = Build(snapshot, tuple(self._faults()), self.pools.names())

    def places(self) -> Iterator[tuple[str, Entry]]:
        """Of every route that serves, its id and each of its entries."""
        for id_ in self._objects["routes"]:
            for entry in self._parts.get(("routes", id_)) or ():
                yield id_, entry

    def without(self, route: str) -> _core.Snapshot:
        """The last snapshot, but for one route."""
        edit = _core.Edit(self.build.snapshot)
        for entry in self._parts.get(("routes", route)) or ():
            edit.drop_route(*entry)
        return edit.finish()

    def use(self, tls: Tls, router: Router) -> None:
        """What holds for certificates that do not say otherwise, and for routes. Before anything is compiled."""
        self._tls, self._router = tls, router
        self._clients = Clients(tls.trusted_certificate)
        self._edit = first_edit(router)

    def set_found(self, name: Followed, found: Collection[Any]) -> None:
        """What a node's host name or a service stands for, from now on. A service's nodes serve after the next `work`."""
        if isinstance(name, ServiceName):
            self.pools.set_nodes(name, found)
            self._found[name] = None
        else:
            self.pools.set_addresses(name, found)

    @property
    def behind(self) -> bool:
        """Whether a service has nodes that do not serve yet."""
        return bool(self._found)

    def anonymous(self, username: str) -> _core.Credential | None:
        """The stand-in credential of a fallback consumer; None when there is no such consumer."""
        consumer = self._parts.get(("consumers", username))
        if consumer is None:
            return None
        return _core.Credential(consumer, b"", b"", self._custom_id(self._objects["consumers"][username]))

    def upstream(self, owner: str, which: Upstream | str) -> _core.Upstream:
        """The upstream of this id, or one that stands in a plugin's configuration."""
        return self._shared("upstreams", which) if isinstance(which, str) else self._built(which, owner)

    def metadata(self, plugin: Plugin) -> Any:
        """What all uses of the plugin share."""
        found = self._parts.get(("plugin_metadata", plugin.name))
        return msgspec.convert({}, plugin.metadata_conf) if found is None else found

    # -- taking changes in -------------------------------------------------------------------------

    def _take(self, change: ChangeLike) -> Iterator[None]:
        known = self._objects.get(change.kind)
        if known is None:
            return
        key = (change.kind, change.id)
        self._unread.pop(key, None)
        if change.value is None:
            known.pop(change.id, None)
            self._created.pop(key, None)
        elif (fault := self._read(change, known)) is None:
            self._created[key] = change.created
        else:
            self._unread[key] = fault
            if not fault.withdrawn:
                return
            known.pop(change.id, None)
        yield from self._parts.touch(key)
        if change.kind == "consumers":
            yield from self._parts.touch(("own", change.id))
        elif change.kind == "global_rules":
            yield from self._parts.touch(GLOBALS)

    @staticmethod
    def _read(change: ChangeLike, known: dict[str, Any]) -> ObjectFault | None:
        """Decodes an object as it was written, references replaced; or says why it cannot be."""
        assert change.value is not None  # noqa: S101 (what is gone needs no reading)
        if change.kind == FETCHED:
            known[change.id] = change.value
            return None
        value, unresolved = resolve_object(change.kind, change.value)
        if unresolved:
            # A reference must never serve as the text it is: whoever can guess it would have a key. Nor can a credential, or a
            # consumer that is its own, go on with its old secret, as that was replaced; anything else can with its last version.
            text = "; ".join(str(fault) for fault in unresolved)
            return ObjectFault(change.kind, change.id, text, withdrawn=any(_proves(change.kind, each) for each in unresolved))
        type_ = KINDS[change.kind].type
        try:
            # What stands in the store was judged in full when it was written. Only the words of a fault are asked for anew:
            # they take forty times as long as the decoding.
            known[change.id] = value if change.kind == "plugin_metadata" else msgspec.convert(value, type_)
        except msgspec.ValidationError as error:
            faults = faults_of(value, type_)[1]
            return ObjectFault(change.kind, change.id, "; ".join(str(fault) for fault in faults) or str(error))
        return None

    def _faults(self) -> Iterator[ObjectFault]:
        yield from self._unread.values()
        for (kind, id_), message in self._parts.faults.items():
            yield ObjectFault("consumers" if kind == "own" else kind, id_, message)
        for id_, message in self._claims.faults():
            yield ObjectFault("credentials", id_, message)

    # -- from parts to the snapshot ----------------------------------------------------------------

    def _make(self, key: Key) -> Any:
        kind, id_ = key
        maker = self._makers.get(kind)
        present = self._objects.get("consumers" if kind == "own" else kind)
        if maker is None or (present is not None and id_ not in present):
            return None
        return maker(id_)

    def _changed(self, key: Key, before: Any, after: Any) -> None:
        kind, id_ = key
        if kind == "routes":
            for entry in before or ():
                self._edit.drop_route(*entry)
            for entry in after or ():
                self._edit.put_route(*entry)
        elif kind in ("credentials", "own"):
            self._claims.replace(id_, before or (), after or ())
        elif kind == "globals":
            self._edit.set_globals(after)
        elif kind == "ssls":
            self._server_names.replace(id_, after)

    def _linked(self, kind: str, id_: Any) -> Any:
        if id_ is None:
            return None
        self._parts.read((kind, str(id_)))
        found = self._objects[kind].get(str(id_))
        if found is None:
            raise LookupError(f"{KINDS[kind].singular} {str(id_)!r}: expected an existing one, found none")
        return found

    def _plugin_metadata(self, name: str) -> Any:
        plugin = order.get(name)
        if plugin is None or plugin.metadata_conf is None:
            return None
        return msgspec.convert(self._objects["plugin_metadata"][name], plugin.metadata_conf)

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
                if disabled(raw):
                    continue
                conf = asked(plugin, msgspec.convert, raw, plugin.conf)
                priority = plugin.priority if conf.meta.priority is None else within(conf.meta.priority)
                watch = None if self._wrap is None else partial(_watched, self._wrap, name, owner, priority)
                steps += [(numbers[name], priority, step) for step in steps_of(plugin, conf, _Env(self, owner), watch)]
                if owned := asked(plugin, plugin.own_headers, conf):
                    # Before any step that may look at them: of equal priorities the first in the list runs first.
                    steps.insert(0, (numbers[name], INT32, _core.StripStep(owned)))
        return _core.Steps(steps, list(numbers.values()))

    def _globals(self, _: str) -> _core.Steps:
        rules = self._objects["global_rules"]
        ids = sorted(rules, key=lambda id_: self._created["global_rules", id_])
        return self._steps((f"global_rules/{id_}", self._parts.get(("global_rules", id_))) for id_ in ids)

    def _global_rule(self, id_: str) -> Mapping[str, Any] | None:
        """The rule's plugins, tried alone: one rule that does not compile must not switch the others off."""
        plugins: Mapping[str, Any] | None = self._objects["global_rules"][id_].plugins
        self._steps([(f"global_rules/{id_}", plugins)])
        return plugins

    # -- consumers ---------------------------------------------------------------------------------

    def _consumer(self, id_: str) -> _core.Consumer:
        consumer: Consumer = self._objects["consumers"][id_]
        group = self._linked("consumer_groups", consumer.group_id)
        layers = [(f"consumers/{id_}", self._but_auth(consumer.plugins))]
        if group is not None:
            layers.append((f"consumer_groups/{consumer.group_id}", self._but_auth(group.plugins)))
        name = str(consumer.group_id) if consumer.group_id is not None else ""
        return _core.Consumer(
            consumer.username.encode(),
            self._steps(layers),
            name.encode(),
            labels.pairs(consumer.labels),
            labels.texts(consumer.labels),
        )

    @staticmethod
    def _but_auth(plugins: Mapping[str, Any] | None) -> dict[str, Any]:
        """Who it is has been found when a consumer's plugins run: its auth plugins are credentials, a group's mean nothing."""
        return {name: raw for name, raw in (plugins or {}).items() if _plugin(name).kind != "auth"}

    @staticmethod
    def _custom_id(consumer: Consumer) -> bytes:
        return (consumer.labels or {}).get(CUSTOM_ID, "").encode()

    def _credential(self, id_: str) -> Keys:
        credential: Credential = self._objects["credentials"][id_]
        username, _, own_id = id_.partition("/")
        return self._keys(credential.plugins, username, own_id)[:1]

    def _own_credentials(self, id_: str) -> Keys:
        owner: Consumer = self._objects["consumers"][id_]
        return self._keys(owner.plugins, id_, "")

    def _keys(self, plugins: Mapping[str, Any] | None, username: str, id_: str) -> Keys:
        """The credentials that these plugins are for this consumer, who must be there: nobody is let in for one who is not.

        A disabled one lets nobody in.
        """
        live = [(_plugin(name), raw) for name, raw in (plugins or {}).items() if not disabled(raw)]
        sides = [(plugin, raw) for plugin, raw in live if plugin.consumer_conf is not None]
        if not sides:
            return []
        consumer = self._parts.get(("consumers", username))
        if consumer is None:
            raise Withdrawn(f"consumer {username!r}: expected an existing one that compiles, found none")
        custom_id = self._custom_id(self._objects["consumers"][username])
        found = []
        for plugin, raw in sides:
            key = plugin.credential(msgspec.convert(raw, plugin.consumer_conf))
            if key.fetched is not None:
                self._parts.read((FETCHED, key.fetched.place))
                key = key.fetched.key(self._objects[FETCHED].get(key.fetched.place))
            credential = _core.Credential(
                consumer,
                key.key,
                id_.encode(),
                custom_id,
                key.secret,
                key.leeway,
                key.proof,
                key.ring,
                key.signing,
                key.password,
            )
            found.append((key.kind, credential))
        return found

    # -- certificates ------------------------------------------------------------------------------

    def _ssl(self, id_: str) -> Shown | None:
        """What clients are shown by server name; None of a certificate that is not for clients."""
        ssl: Ssl = self._objects["ssls"][id_]
        if ssl.type != "server" or ssl.status == 0:
            return None
        return shown_of(ssl, self._created["ssls", id_], ssl.ssl_protocols or self._tls.protocols)

    # -- routes ------------------------------------------------------------------------------------

    def _route(self, id_: str) -> list[Entry]:
        route: Route = self._objects["routes"][id_]
        if route.status == 0:
            return []
        service = self._linked("services", route.service_id)
        config = self._linked("plugin_configs", route.plugin_config_id)
        layers = [
            (f"routes/{id_}", route.plugins),
            (f"plugin_configs/{route.plugin_config_id}", config and config.plugins),
            (f"services/{route.service_id}", service and service.plugins),
        ]
        plan = partial(
            _core.Plan,
            id_.encode(),
            self._steps(layers),
            self._upstream_of(id_, route, service),
            methods=route.methods,
            priority=within(route.priority),
            **(msgspec.structs.asdict(route.timeout) if route.timeout else {}),
            remote_addrs=route.remote_addrs or ((route.remote_addr,) if route.remote_addr else ()),
            order=self._created["routes", id_],
            service=b"" if route.service_id is None else str(route.service_id).encode(),
            condition=_core.Expression(parsed(route.vars)) if route.vars else None,
            upgrades=upgrades_of(route, service),
            name=(route.name or "").encode(),
            service_name=((service and service.name) or "").encode(),
        )
        return list(told_entries(plan, places_of(route, service), self._router))

    def _upstream_of(self, id_: str, route: Route, service: Service | None) -> _core.Upstream | None:
        source = upstream_source(id_, route, service)
        if source is None:
            return None
        if route.upstream is not None and source[0] == "routes":
            return self._built(route.upstream, f"routes/{id_}")
        return self._shared(*source)

    def _shared(self, kind: str, id_: Any) -> _core.Upstream:
        """The one upstream of all routes that lead to it by this object."""
        self._linked(kind, id_)
        upstream: _core.Upstream | None = self._parts.get((kind, str(id_)))
        if upstream is None:
            raise LookupError(f"{KINDS[kind].singular} {str(id_)!r}: expected one that compiles, found none")
        return upstream

    def _upstream(self, id_: str) -> _core.Upstream:
        return self._built(self._objects["upstreams"][id_], f"upstreams/{id_}")

    def _service_upstream(self, id_: str) -> _core.Upstream | None:
        upstream = self._objects["services"][id_].upstream
        return None if upstream is None else self._built(upstream, f"services/{id_}")

    def _built(self, upstream: Upstream, owner: str) -> _core.Upstream:
        if upstream.service_name is not None:
            self._parts.read((SERVICE, upstream.service_name))
        tls, checks = self._clients.of(upstream, partial(self._linked, "ssls")), judged(upstream, owner, self.health)
        return built(upstream, self.pools, tls, checks)


def _proves(kind: str, fault: Fault) -> bool:
    """Whether what is at fault is what a request proves itself by."""
    if kind not in ("consumers", "credentials") or fault.path[:1] != ("plugins",):
        return False
    plugin = order.get(str(fault.path[1]))
    return plugin is not None and plugin.consumer_conf is not None
