"""What a request would meet: the route that takes it, the plugins that run, who it is taken for, where it goes.

Owns: the question put to the data plane, and the answer put together. Must not know: HTTP, where objects lie. Nothing
here routes, merges or verifies: the request runs through the core itself, on memory, over a snapshot of the same
compiler whose steps tell that they were asked (native/watch). It counts for no limit, calls no Python plugin, and
reaches no upstream. Of secrets the answer has none: of an object it shows what redact.py calls open, of the request
its path.
"""

import json
import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec

from fastgw import _core
from fastgw.admin.question import Question
from fastgw.admin.redact import plugin_conf
from fastgw.compile import ChangeLike, Compiler
from fastgw.entries import Entry, entries_of, path_forms
from fastgw.inherited import places_of, upstream_source
from fastgw.plugins.workflow import rule_owner
from fastgw.pools import ServiceName
from fastgw.schema.kinds import KINDS
from fastgw.schema.route import Route
from fastgw.schema.service import Service
from fastgw.schema.settings import Limits, Router, Tls
from fastgw.schema.upstream import Node, Upstream, nodes_of
from fastgw.upstreams import TIMEOUT_S

__all__ = ["Explainer", "Find"]

Object = dict[str, Any]
Find = Callable[[str, str], tuple[Object, str] | None]
"""The effective value of an object, and the layer that it is of; None: there is none."""

ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
SOMEWHERE: Final = "192.0.2.1"  # what every host name of a node stands for: nothing is ever sent there (RFC 5737)
MOST_FAULTS: Final = 10
NO_STEPS: Final = _core.Steps([])


class _Source(NamedTuple):
    """Where a step comes from."""

    plugin: str
    kind: str
    id: str
    priority: int

    @property
    def owner(self) -> str:
        return f"{self.kind}/{self.id}"


class Explainer:
    """Follows the objects as a worker does, and answers questions about them."""

    def __init__(self, limits: Limits, region: _core.Region | None = None, router: Router = Router()) -> None:  # noqa: B008
        """region: where it stands what is revoked; None: nothing is."""
        self._limits = msgspec.structs.asdict(limits)
        self._region = region
        self._router = router
        self.reset()

    def reset(self) -> None:
        """Forgets all objects: what comes next is the whole, from the beginning."""
        self._watch = _core.Watch()
        self._compiler = Compiler(self._watched)
        self._compiler.use(Tls(), self._router)

    def follow(self, changes: Iterable[ChangeLike]) -> None:
        """Takes in what has changed."""
        build = self._compiler.apply(changes)
        for name in build.names:
            self._compiler.set_found(name, (Node(SOMEWHERE, None, 1, 0),) if isinstance(name, ServiceName) else (SOMEWHERE,))
        if self._compiler.behind:
            self._compiler.apply(())

    def explain(self, question: Question, find: Find) -> Object:
        """The answer, as JSON has it; find must know what was followed."""
        logged, reply = self._ask(self._compiler.build.snapshot, question)
        seen = self._watch.take()
        route_id = logged.get("route")
        refusal = next((each for each in seen if each.status), None)
        answer: Object = {
            "request": {
                "method": question.method,
                "host": question.host,
                "path": question.path,
                "remote_addr": question.remote_addr,
            },
            "outcome": _outcome(refusal, logged, reply),
            "route": None,
            "plugins": [_plugin(each, find) for each in seen],
            "consumer": _consumer(logged, find),
            "limits": [_limit(each, find) for each in seen if each.limited and each.reached],
            "upstream": None,
        }
        found = find("routes", route_id) if route_id is not None else None
        if route_id is not None and found is not None:
            route, service = _decoded(found[0], find)
            answer["route"] = {
                "id": route_id,
                "source": found[1],
                **self._why(route_id, route, service, question),
                "priority": route.priority,
                **({"name": route.name} if route.name is not None else {}),
            }
            answer["upstream"] = _upstream(route_id, route, service, find)
        elif logged.get("status") == 404 and refusal is None:
            answer["outcome"]["reason"] = self._why_not(question, find)
        faults = self._faults(route_id, seen)
        return {**answer, "faults": faults} if faults else answer

    def _faults(self, route_id: str | None, seen: Iterable[_core.Seen]) -> list[str]:
        """Of objects that do not compile, those that have to do with it; where no route was found, any may have."""
        involved = {f"routes/{route_id}", *(each.source.owner for each in seen)}
        found = [each for each in self._compiler.build.faults if route_id is None or f"{each.kind}/{each.id}" in involved]
        return [str(each) for each in found[:MOST_FAULTS]]

    def _watched(self, step: _core.Step, plugin: str, owner: str, priority: int) -> _core.Step:
        kind, _, id_ = owner.partition("/")
        return _core.WatchedStep(self._watch, step, _Source(plugin, kind, id_, priority))

    def _ask(self, snapshot: _core.Snapshot, question: Question) -> tuple[Object, bytes]:
        """The access log's line about the request, and the answer it got."""
        wire = _core.Wire(snapshot, limits=self._limits, revoked=self._region)
        log = os.memfd_create("explain", os.MFD_CLOEXEC)
        try:
            wire.access_log(log)
            client = wire.open(question.remote_addr)
            wire.push(client, question.head())
            for line, side, is_open in wire.lines():
                if side == "up" and is_open:
                    wire.push(line, ANSWER)
            reply = wire.pull(client)
            wire.access_log(-1)
            text = os.pread(log, 1 << 20, 0)
        finally:
            os.close(log)
        logged: Object = json.loads(text) if text else {}
        return logged, reply

    # -- why this route ----------------------------------------------------------------------------

    def _why(self, id_: str, route: Route, service: Service | None, question: Question) -> Object:
        """Which host and path of the route the request has, and who would have it without this route."""
        places = places_of(route, service)
        one_each = [
            entry
            for index, place in enumerate(places)
            for entry in entries_of(partial(_named, str(index)), [place], self._router)
        ]
        index, _ = self._ask(self._snapshot(one_each), question)
        host, uri = places[int(index["route"])]
        next_best, _ = self._ask(self._compiler.without(id_), question)
        self._watch.take()
        params = self._router.http == "radixtree_uri_with_parameter"
        if "*" in uri[:-1] or (params and "/:" in uri):
            of_path = f"matches {uri}"
        else:
            of_path = f"begins with {uri.removesuffix('*')}" if uri.endswith("*") else f"is {uri}"
        if host in ("", "*"):
            of_host = "any host will do"
        else:
            of_host = f"the host ends in {host[1:]}" if host.startswith("*") else f"the host is {host}"
        why = f"the path {of_path}, {of_host}"
        if "route" in next_best:
            why += f"; goes before route {next_best['route']}"
        return {"uri": uri, **({"host": host} if host else {}), "why": why}

    def _why_not(self, question: Question, find: Find) -> str:
        """Asks again of routes that look at less, until one fits."""
        places = list(self._compiler.places())
        id_ = self._nearest(question, places)
        if id_ is not None:
            found = find("routes", id_)
            route = _decoded(found[0], find)[0] if found is not None else None
            if route is not None and route.methods and question.method not in route.methods:
                return f"route {id_} takes this host and path, but not the method {question.method}"
            if route is not None and not (route.remote_addr or route.remote_addrs):
                return f"route {id_} takes this host and path, but its vars do not hold"
            return f"route {id_} takes this host and path, but not the address {question.remote_addr}"
        id_ = self._nearest(question, [(each, (plan, b"", path)) for each, (plan, _, path) in places])
        if id_ is not None:
            return f"route {id_} takes this path, but not the host {question.host}"
        return "no route takes this path"

    def _nearest(self, question: Question, places: Iterable[tuple[str, Entry]]) -> str | None:
        routes = [(_named(id_, plan.pattern), host, path) for id_, (plan, host, path) in places]
        logged, _ = self._ask(self._snapshot(routes), question)
        return logged.get("route")

    def _snapshot(self, routes: list[Entry]) -> _core.Snapshot:
        return _core.Snapshot(
            routes, {}, NO_STEPS, path_first=self._router.http != "radixtree_host_uri", paths=path_forms(self._router)
        )


# -- parts of the answer -----------------------------------------------------------------------------


def _named(name: str, pattern: _core.Pattern | None) -> _core.Plan:
    """A plan that only says which one it is."""
    return _core.Plan(name.encode(), NO_STEPS, pattern=pattern)


def _outcome(refusal: _core.Seen | None, logged: Object, reply: bytes) -> Object:
    """What the client would get: an answer of the upstream's, or one of ours."""
    if refusal is not None:
        body = refusal.text.decode(errors="replace")
        return {"proxied": False, "status": refusal.status, "by": refusal.source.plugin, "reason": refusal.reason, "body": body}
    if logged.get("upstream_status") is not None:
        return {"proxied": True}
    head, _, body_ = reply.partition(b"\r\n\r\n")
    status = logged.get("status") or int(head.split(b" ", 2)[1])
    return {"proxied": False, "status": status, "reason": logged.get("refused", ""), "body": body_.decode(errors="replace")}


def _conf(source: _Source, find: Find) -> Object:
    found = find(source.kind, source.id)
    conf = found[0].get("plugins", {}).get(source.plugin, {}) if found is not None else {}
    shown: Object = plugin_conf(source.kind, source.plugin, conf)
    return shown


def _layer(source: _Source) -> str:
    return KINDS[source.kind].singular.replace(" ", "_")


def _plugin(each: _core.Seen, find: Find) -> Object:
    source: _Source = each.source
    conf = _conf(source, find)
    rule = {} if each.rule is None else {"rule": each.rule, "action": conf["rules"][each.rule]["actions"][0][0]}
    return {
        "name": source.plugin,
        **rule,
        "phase": each.phase,
        "layer": _layer(source),
        "from": source.owner,
        "priority": source.priority,
        "reached": each.reached,
        "conf": conf,
    }


def _limit(each: _core.Seen, find: Find) -> Object:
    """By what a limit counts the request, and on whose account."""
    source: _Source = each.source
    conf, plugin = _conf(source, find), source.plugin
    account = f"group/{conf['group']}" if "group" in conf else source.owner
    if each.rule is not None:
        plugin, account = conf["rules"][each.rule]["actions"][0][0], rule_owner(source.owner, each.rule)
    return {"plugin": plugin, "from": source.owner, "account": account, "value": each.text.decode("latin-1")}


def _consumer(logged: Object, find: Find) -> Object | None:
    name = logged.get("consumer")
    if name is None:
        return None
    found = find("consumers", name)
    group = found[0].get("group_id") if found is not None else None
    return {"username": name, "credential": logged.get("credential"), "group": None if group is None else str(group)}


def _decoded(value: Object, find: Find) -> tuple[Route, Service | None]:
    route = msgspec.convert(value, Route)
    found = find("services", str(route.service_id)) if route.service_id is not None else None
    return route, None if found is None else msgspec.convert(found[0], Service)


def _upstream(id_: str, route: Route, service: Service | None, find: Find) -> Object | None:
    source = upstream_source(id_, route, service)
    if source is None:
        return None
    kind, own_id = source
    if kind == "upstreams":
        found = find(kind, own_id)
        upstream = msgspec.convert(found[0], Upstream) if found is not None else None
    else:
        upstream = route.upstream if kind == "routes" or service is None else service.upstream
    if upstream is None:
        return None
    timeout = route.timeout or upstream.timeout
    return {
        "id": own_id if kind == "upstreams" else None,
        "from": f"{kind}/{own_id}",
        "scheme": upstream.scheme,
        "type": upstream.type,
        "nodes": [
            {"host": each.host, "port": each.port, "weight": each.weight, "priority": each.priority}
            for each in nodes_of(upstream)
        ],
        "pass_host": upstream.pass_host,
        **({"upstream_host": upstream.upstream_host} if upstream.upstream_host is not None else {}),
        "timeout": {name: getattr(timeout, name) if timeout is not None else TIMEOUT_S for name in ("connect", "send", "read")},
    }
