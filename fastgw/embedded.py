"""What requests of other servers are judged by: the objects of a config file, compiled without their upstreams, on shared counts.

Owns: from a config file and a table to a Gate, and what of a configuration has no place where no gateway runs. Must not know:
ASGI, WSGI, how a request is told.

The objects are the file's. A gateway's store is not followed: what its Admin API wrote is not known here; what it revoked is, and
what it counted, where both have one table.
"""

import inspect
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import msgspec

from fastgw import _core, config, revocations
from fastgw.compile import Compiler
from fastgw.core import Table
from fastgw.errors import FastgwError
from fastgw.plugin_log import PluginLog
from fastgw.plugins import order
from fastgw.plugins.redis_fields import RedisSettings
from fastgw.schema.kinds import KINDS
from fastgw.schema.settings import Tls
from fastgw.store import Change

__all__ = ["EVERYTHING", "Embedded", "EmbeddingError", "Unmatched"]

Unmatched = Literal["refuse", "pass"]
"""What becomes of a request that no route takes: as in a gateway 404, or the application's answer, behind global rules alone."""

EVERYTHING: Final = "fastgw-everything-else"
_LEAST: Final = -(2**31)
_LEFT_OUT: Final = {"upstreams", "ssls", "protos"}
_UPSTREAM: Final = ("upstream", "upstream_id", "timeout")


class EmbeddingError(FastgwError):
    """The configuration asks for what an application's process cannot give: each fault with its object."""


class _Object(NamedTuple):
    """One object of the file, as the compiler takes it."""

    kind: str
    id: str
    value: dict[str, Any] | None
    created: int


class Embedded:
    """A configuration, ready to judge requests in any number of processes and threads.

    source: the path of a config file, or its content as a mapping
    table: the path of a table, or a Table, in place of the file's `shared_memory.path`. None of both: counts in memory that only
        forks of this process share
    unmatched: what becomes of requests that no route takes
    ConfigError, EmbeddingError: what is wrong, with its place. RegionError: the table is none, or others may write to it.
    """

    def __init__(
        self,
        source: "str | os.PathLike[str] | Mapping[str, Any]",
        *,
        table: "str | os.PathLike[str] | Table | None" = None,
        unmatched: Unmatched = "refuse",
        waits: bool = True,
    ) -> None:
        """waits: whether steps may wait on an event loop."""
        if unmatched not in ("refuse", "pass"):
            raise ValueError(f"unmatched: expected refuse or pass, found {unmatched!r}")
        loaded = _loaded(source)
        self.settings = loaded.settings
        self._waits = waits
        objects = list(_objects(loaded.objects, unmatched))
        faults = [*_misplaced(objects)]
        compiler = Compiler(self._admitted, self._store)
        compiler.use(Tls(), self.settings.router)
        build = compiler.apply(objects)
        faults += [str(each) for each in build.faults]
        if faults:
            raise EmbeddingError("; ".join(faults))
        self.snapshot = build.snapshot
        self.table = self._table(table)
        _revoke(self.table, objects)

    def gate(self, loop: Any = None) -> _core.Gate:
        """The chain for one thread, whose running event loop is given where steps may wait."""
        return _core.Gate(
            self.snapshot,
            self.table.region,
            loop=loop,
            limits=msgspec.structs.asdict(self.settings.limits),
            trusted=self.settings.trusted_addresses,
            token_cache=self.settings.token_cache,
            on_error=PluginLog().failed,
        )

    def _table(self, table: "str | os.PathLike[str] | Table | None") -> Table:
        if isinstance(table, Table):
            return table
        memory = self.settings.shared_memory
        path = memory.path if table is None else table
        if path is None:
            return Table(_core.Region.create(memory.counters, revocations=memory.revocations))
        return Table(_core.Region.open(path, memory.counters, revocations=memory.revocations))

    def _admitted(self, step: _core.Step, plugin: str, owner: str, priority: int) -> _core.Step:
        """Looks at every step; ValueError: it could not do its work here."""
        known = order.get(plugin)
        phases = () if known is None else known.phases
        bare = step.inner if isinstance(step, _core.ErrorBodyStep) else step
        if isinstance(bare, _core.PythonStep):
            if "body_filter" in phases:
                raise ValueError(f"plugin {plugin}: expected none with the phase body_filter: an application's answer is its own")
            if not self._waits and inspect.iscoroutinefunction(bare.call):
                raise ValueError(f"plugin {plugin}: expected none that awaits: WSGI has no event loop")
        return step

    @staticmethod
    def _store(_: RedisSettings) -> _core.RemoteStore:
        raise ValueError("policy: expected local in an application's process; a gateway in front may count in a Redis")


def _loaded(source: "str | os.PathLike[str] | Mapping[str, Any]") -> config.Config:
    if isinstance(source, Mapping):
        return config.loads(json.dumps(source).encode(), ".json", "config")
    return config.load(Path(source))


def _objects(objects: Mapping[tuple[str, str], dict[str, Any]], unmatched: Unmatched) -> Iterator[_Object]:
    """The objects in the order of the file, without what only a proxy needs."""
    created = 0
    for created, ((kind, id_), value) in enumerate(objects.items(), 1):
        if kind in _LEFT_OUT:
            continue
        if kind in ("routes", "services"):
            value = {name: member for name, member in value.items() if name not in _UPSTREAM}
        yield _Object(kind, id_, value, created)
    if unmatched == "pass":
        yield _Object("routes", EVERYTHING, {"id": EVERYTHING, "uri": "/*", "plugins": {}, "priority": _LEAST}, created + 1)


def _misplaced(objects: list[_Object]) -> Iterator[str]:
    for each in objects:
        if each.kind not in KINDS:
            continue
        for name in _mentioned(each.value):
            if name == "limit-conn":
                text = "what a killed process held could not be given back: a gateway in front may limit connections"
                yield f"{each.kind}/{each.id}: plugin limit-conn: expected none: {text}"
            elif name == "jwks_uri":
                yield f"{each.kind}/{each.id}: jwks_uri: expected none: no admin process is here to fetch key sets"


def _mentioned(value: Any) -> Iterator[str]:
    """Names of members, and texts that stand first in lists, as the actions of a workflow do."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield name
            yield from _mentioned(member)
    elif isinstance(value, list):
        if value and isinstance(value[0], str):
            yield value[0]
        for member in value:
            yield from _mentioned(member)


def _revoke(table: Table, objects: list[_Object]) -> None:
    """What the file revokes, unless the table is a gateway's, which keeps it."""
    changes = [Change(each.kind, each.id, each.value, 0, each.created) for each in objects if each.kind == revocations.KIND]
    if changes:
        revocations.add(_core.Revocations(table.region), changes)
