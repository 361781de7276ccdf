"""The whole configuration as one resource: /apisix/admin/configs, and /configs/validate.

Owns: the verbs, headers and answers of APISIX's declarative mode, as far as they fit a gateway whose objects can also be written
one by one. Must not know: what a set does (whole.py), how it is written down (objectset.py), sockets.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import msgspec

from fastgw import objectset
from fastgw.admin import redact, whole
from fastgw.admin.conditions import Conditions, tag_of
from fastgw.admin.envelope import Failure, Reply, error, tagged
from fastgw.objectset import LISTS
from fastgw.schema.decode import type_name
from fastgw.schema.kinds import KINDS
from fastgw.schema.parse import parse
from fastgw.store import Row, Store
from fastgw.versions import Versions

__all__ = ["MAX_SET", "Call", "Configs"]

MAX_SET: Final = 64 * 1024 * 1024
"""Bytes of a set; other bodies have `admin.body_bytes`."""
MAX_DIGEST: Final = 256
METHODS: Final = {"": ("GET", "HEAD", "PUT"), "validate": ("POST",)}
WHOLE: Final = "the configuration"
_YAML: Final = "application/yaml"

T = TypeVar("T")


class InStore(Protocol):
    """Runs work in the store's thread."""

    def __call__(self, work: Callable[[], T]) -> Awaitable[T]: ...


class Call(NamedTuple):
    """One request at /configs; `place` is what follows."""

    method: str
    place: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    secrets: bool


class Configs:
    """The resource. What takes long with a large set has a thread of its own, so that single writes go on."""

    def __init__(self, store: Store, in_store: InStore) -> None:
        """in_store: runs work in the one thread that may use the store."""
        self._store = store
        self._in_store = in_store
        self._thread = ThreadPoolExecutor(1, "sets")

    def stop(self) -> None:
        self._thread.shutdown()

    async def answer(self, call: Call, write: InStore) -> Reply:
        """write: as `in_store`, for what changes something."""
        if call.method not in METHODS.get(call.place, ()):
            return error(404, "not found")
        try:
            if call.place == "validate":
                await self._aside(lambda: whole.judge(_data(call)))
                return Reply(200, b"{}\n")
            if call.method == "PUT":
                return await self._put(call, write)
            return await self._get(call)
        except Failure as failure:
            return error(failure.status, failure.message)
        except whole.Refused as refused:
            first = "Configuration validation failed" if call.place == "validate" else refused.problems[0].error
            body = {"error_msg": first, "errors": [problem.told() for problem in refused.problems]}
            return Reply(400, msgspec.json.encode(body) + b"\n")

    async def _aside(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _get(self, call: Call) -> Reply:
        layer = call.query.get("layer", "effective")
        if layer not in ("effective", "store"):
            raise Failure(400, f"invalid layer: expected effective or store, found {layer}")
        conditions = Conditions.read(call.headers)
        rows, versions = await self._in_store(lambda: _state(self._store))
        chosen = [row for row in rows if layer in ("effective", row.layer)]
        reply = await self._aside(lambda: _shown(chosen, versions, call))
        return conditions.answer(reply, WHOLE, tag_of(versions.revision, secrets=call.secrets))

    async def _put(self, call: Call, write: InStore) -> Reply:
        conditions = Conditions.read(call.headers)
        rehearse = _rehearses(call)
        digest = "" if rehearse else _digest(call)
        rows, versions = await self._in_store(lambda: _state(self._store))
        if digest == versions.digest:
            return Reply(204, revision=versions.revision)
        wanted = await self._aside(lambda: whole.judge(_data(call), rows))

        def expected(revision: int) -> None:
            conditions.require(WHOLE, tag_of(revision))

        done = await write(partial(whole.apply, self._store, wanted, digest=digest, expected=expected, rehearse=rehearse))
        told = await self._aside(lambda: done.told(changes=rehearse))
        body = msgspec.json.encode({"dry_run": rehearse, **told}) + b"\n"
        if rehearse:
            return tagged(Reply(200, body), tag_of(done.revision))
        reply = Reply(202, body, (("X-Digest", digest),), revision=done.revision, changes=done.changes)
        return tagged(reply, tag_of(done.revision))


def _state(store: Store) -> tuple[list[Row], Versions]:
    with store.reading() as view:
        return [row for kind in KINDS for row in view.list(kind)], view.versions()


# -- reading -------------------------------------------------------------------------------------------


def _shown(rows: list[Row], versions: Versions, call: Call) -> Reply:
    values = ((row.kind, row.id, row.value if call.secrets else redact.without_secrets(row.kind, row.value)) for row in rows)
    found: dict[str, Any] = dict(objectset.document(values, nested=False))
    for name in LISTS:
        found[f"{name}_conf_version"] = versions.counts.get(name, 0)
    headers = (
        ("X-Digest", versions.digest),
        ("X-Last-Modified", str(versions.changed)),
    )
    if "yaml" in call.headers.get("accept", ""):
        return Reply(200, objectset.write(found, "yaml"), headers, _YAML)
    return Reply(200, objectset.write(found, "json"), headers)


# -- writing -------------------------------------------------------------------------------------------


def _rehearses(call: Call) -> bool:
    """A word that is not known is refused: who wrote it may not have wanted the set to be applied."""
    given = call.query.get("dry_run", "false")
    if given not in ("true", "false"):
        raise Failure(400, f"invalid argument dry_run: expected true or false, found {given}")
    return given == "true"


def _digest(call: Call) -> str:
    digest = call.headers.get("x-digest", "")
    if not digest:
        raise Failure(400, "missing digest header")
    if len(digest) > MAX_DIGEST or not all(" " <= character <= "~" for character in digest):
        raise Failure(400, f"invalid digest header: expected at most {MAX_DIGEST} printable ASCII characters")
    return digest


def _data(call: Call) -> dict[str, Any]:
    if not call.body.strip():
        raise Failure(400, "invalid request body: empty request body")
    yaml = "yaml" in call.headers.get("content-type", "")
    data, faults = parse(call.body, ".yaml" if yaml else ".json")
    for fault in faults:
        raise Failure(400, f"invalid request body: {fault}")
    if not isinstance(data, dict):
        raise Failure(400, f"invalid request body: expected an object, found {type_name(data)}")
    return data
