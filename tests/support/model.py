"""A model of a gateway: random lawful writes to its Admin API, and what each request must be answered after them.

Owns: the objects of one namespace as they should be, and APISIX's rules of merging as far as these use them. Must not
know sockets. Several models with different namespaces never touch each other's objects.
"""

import copy
import random
from typing import Any, NamedTuple

from tests.support.wire import Address

Object = dict[str, Any]
COUNT = 1_000_000  # limits are told apart by their count, and never reached
SLOTS = 2


class Write(NamedTuple):
    method: str
    path: str  # below /apisix/admin/
    body: Any


class Probe(NamedTuple):
    """One request: a route's path and an API key."""

    uri: str
    key: str


class Seen(NamedTuple):
    """What tells the configurations apart: the status, which upstream answered, whose limit was told."""

    status: int
    upstream: str
    limit: str


class Model:
    """`upstreams`: addresses of upstreams that answer with their index."""

    def __init__(self, namespace: str, chance: random.Random, upstreams: list[Address]) -> None:
        self.namespace = namespace
        self.objects: dict[str, Object] = {}
        self._chance = chance
        self._upstreams = upstreams
        self._number = 0
        self._keys = ["no-such-key"]

    def first_writes(self) -> list[Write]:
        """What makes one object of each kind, in an order that is lawful."""
        kinds = ("upstreams", "services", "plugin_configs", "consumers", "credentials", "routes")
        writes = []
        for kind in kinds:
            writes.append(self._put(self._path(kind, 0)))
            self.apply(writes[-1])
        return writes

    def random_write(self) -> Write:
        """A write that must be accepted."""
        while True:
            kind = self._chance.choice(
                ("upstreams", "services", "plugin_configs", "consumers", "credentials", "routes", "routes")
            )
            path = self._path(kind, self._chance.randrange(SLOTS))
            verb = self._chance.choice(("PUT", "PUT", "PATCH", "DELETE"))
            if kind == "credentials" and path.rpartition("/credentials/")[0] not in self.objects:
                continue
            if verb == "PUT":
                return self._put(path)
            if path not in self.objects or (verb == "DELETE" and self._used(path)):
                continue
            if verb == "DELETE":
                return Write("DELETE", path, None)
            if kind not in ("consumers", "credentials"):
                return Write("PATCH", path, self._patch(kind))

    def apply(self, write: Write) -> None:
        """The write was acknowledged."""
        if write.method == "PUT":
            self.objects[write.path] = copy.deepcopy(write.body)
        elif write.method == "PATCH":
            self.objects[write.path] = _merged(self.objects[write.path], write.body)
        else:
            for path in list(self.objects):
                if path == write.path or path.startswith(f"{write.path}/"):
                    del self.objects[path]

    def probes(self) -> list[Probe]:
        """Requests by which configurations can be told apart; of keys, those in use and a few that were."""
        used = [body["plugins"]["key-auth"]["key"] for path, body in self.objects.items() if "/credentials/" in path]
        keys = list(dict.fromkeys([*used, *self._keys[-3:]]))
        return [Probe(f"/{self.namespace}-{slot}", key) for slot in range(SLOTS) for key in keys]

    def expected(self, probe: Probe) -> Seen:
        """By APISIX's rules: of plugins, name by name, the consumer's, else the route's, the plugin config's, the service's."""
        route = self.objects.get(f"routes/{probe.uri[1:]}")
        if route is None:
            return Seen(404, "", "")
        service = self.objects[f"services/{route['service_id']}"] if "service_id" in route else {}
        shared = self.objects[f"plugin_configs/{route['plugin_config_id']}"] if "plugin_config_id" in route else {}
        plugins = {**service.get("plugins", {}), **shared.get("plugins", {}), **route.get("plugins", {})}
        if "key-auth" in plugins:
            consumer = self._consumer(probe.key)
            if consumer is None:
                return Seen(401, "", "")
            plugins |= consumer.get("plugins", {})
        limit = plugins.get("limit-count", {}).get("count", "")
        return Seen(200, self._node({**service, **route}), str(limit))

    def _consumer(self, key: str) -> Object | None:
        for path, body in self.objects.items():
            owner, credential, _ = path.partition("/credentials/")
            if credential and body["plugins"]["key-auth"]["key"] == key:
                return self.objects[owner]
        return None

    def _node(self, holder: Object) -> str:
        upstream = self.objects[f"upstreams/{holder['upstream_id']}"] if "upstream_id" in holder else holder["upstream"]
        (node,) = upstream["nodes"]
        return str(self._upstreams.index(Address(node["host"], node["port"])))

    # what is written

    def _path(self, kind: str, slot: int) -> str:
        name = f"{self.namespace}-{slot}"
        return f"consumers/{name}/credentials/only" if kind == "credentials" else f"{kind}/{name}"

    def _put(self, path: str) -> Write:
        kind = "credentials" if "/credentials/" in path else path.partition("/")[0]
        make = {
            "upstreams": self._upstream,
            "services": self._service,
            "plugin_configs": lambda: {"plugins": self._limit()},
            "consumers": lambda: {"username": path.rpartition("/")[2], "plugins": self._maybe(self._limit())},
            "credentials": lambda: {"plugins": {"key-auth": {"key": self._new_key()}}},
            "routes": lambda: self._route(path.rpartition("/")[2]),
        }
        return Write("PUT", path, make[kind]())

    def _patch(self, kind: str) -> Object:
        if kind == "upstreams":
            return self._upstream()
        if kind == "plugin_configs" or (kind == "services" and self._chance.random() < 0.5):
            return {"plugins": self._limit()}
        if kind == "services":
            return {"upstream_id": None, "upstream": self._upstream()}
        return self._chance.choice(
            (
                {"plugins": self._limit()},
                {"plugins": {"limit-count": None}},
                {"plugins": {"key-auth": {}}},
                {"plugins": {"key-auth": None}},
                {"service_id": None, "upstream_id": None, "upstream": self._upstream()},
            )
        )

    def _upstream(self) -> Object:
        host, port = self._chance.choice(self._upstreams)
        return {"nodes": [{"host": host, "port": port, "weight": 1}]}

    def _service(self) -> Object:
        return {**self._target("upstreams"), "plugins": self._maybe(self._limit())}

    def _route(self, name: str) -> Object:
        shared = self._there("plugin_configs") if self._chance.random() < 0.5 else None
        plugins = {**self._maybe({"key-auth": {}}, 0.7), **self._maybe(self._limit(), 0.3)}
        link = {} if shared is None else {"plugin_config_id": shared}
        return {"uri": f"/{name}", "plugins": plugins, **link, **self._target("services", "upstreams")}

    def _target(self, *kinds: str) -> Object:
        """Where requests go: one of these kinds by id, or an upstream written in place."""
        for kind in kinds:
            id = self._there(kind)
            if id is not None and self._chance.random() < 0.5:
                return {f"{kind[:-1]}_id": id}
        return {"upstream": self._upstream()}

    def _there(self, kind: str) -> str | None:
        found = sorted(path.partition("/")[2] for path in self.objects if path.startswith(f"{kind}/"))
        return self._chance.choice(found) if found else None

    def _limit(self) -> Object:
        self._number += 1
        return {"limit-count": {"count": COUNT + self._number, "time_window": COUNT}}

    def _maybe(self, plugins: Object, likely: float = 0.5) -> Object:
        return plugins if self._chance.random() < likely else {}

    def _new_key(self) -> str:
        self._keys.append(f"key-{self.namespace}-{len(self._keys)}")
        return self._keys[-1]

    def _used(self, path: str) -> bool:
        kind, _, id = path.partition("/")
        return any(body.get(f"{kind[:-1]}_id") == id for body in self.objects.values())


def _merged(value: Any, patch: Any) -> Any:
    """As APISIX's PATCH: objects merge, null removes, all else replaces."""
    if not isinstance(value, dict) or not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(value)
    for name, member in patch.items():
        if member is None:
            result.pop(name, None)
        else:
            result[name] = _merged(value.get(name), member)
    return result
