"""Where the objects of a gateway are: behind the Admin API of one that runs, else in its store.

Owns: which of the two it is, the client of the Admin API, the store of a gateway that stands still (no gateway may start
while it is written to). Must not know: files with sets, what is shown of a difference, how a set is applied (admin/whole.py).
"""

import hashlib
import http.client
import json
import socket
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal, Protocol

import msgspec

from fastgw import objectset, revocations
from fastgw.admin import whole
from fastgw.admin.audit import Actor, witness_of
from fastgw.admin.envelope import Failure
from fastgw.admin.kinds import INDEXES, RESOURCES
from fastgw.admin.resource import Call
from fastgw.config import Config
from fastgw.datadir import DataDir, database_of, in_use
from fastgw.errors import FastgwError, Fault
from fastgw.schema.formats import parse_address
from fastgw.schema.kinds import KINDS
from fastgw.store import Edits, Store, StoreError, View

__all__ = ["Layer", "Place", "PlaceError", "RefusedError", "Running", "open_place", "running"]

Object = dict[str, Any]
Key = tuple[str, str]
Layer = Literal["effective", "store"]

TIMEOUT_S: Final = 600.0  # a set of 10,000 new objects takes about ten seconds to judge and to apply
ADMIN: Final = "/apisix/admin"
CONFIGS: Final = f"{ADMIN}/configs"
IMPORT: Final = Actor(None, None, None, "IMPORT", "")  # who may write to the database needs no key
PUT: Final = Actor(None, None, None, "PUT", "")


class PlaceError(FastgwError):
    """A set cannot be fetched or put there; says where it went and what came back."""


class RefusedError(FastgwError):
    """The set is not one that this gateway can serve."""

    def __init__(self, problems: Iterable[Mapping[str, Any]]) -> None:
        self.problems = list(problems)
        super().__init__(self.problems)


class Place(Protocol):
    """Where the objects are."""

    running: bool
    effect: str
    """When what was applied counts, in words."""

    def __str__(self) -> str: ...

    def objects(self, layer: Layer) -> dict[Key, Object]:
        """In order of kind and creation."""

    def rehearse(self, data: Object) -> Object:
        """What `apply` would do, as the Admin API tells it."""

    def apply(self, data: Object) -> None:
        """Puts the set in place of what the store has, if that is still what was rehearsed against."""

    def put(self, kind: str, id: str, value: Object) -> None:
        """Writes one object of a kind that has no owners."""


# -- a gateway that runs -------------------------------------------------------------------------------


class Running:
    """The Admin API of a running gateway."""

    running = True
    effect = "every worker serves it"

    def __init__(self, address: str, key: str) -> None:
        self._address = address
        self._key = key
        self._tag = "*"

    def __str__(self) -> str:
        return f"the running gateway ({self._address})"

    def objects(self, layer: Layer) -> dict[Key, Object]:
        data, _ = self._ask("GET", f"{CONFIGS}?layer={layer}")
        items = [item for item in objectset.items(data, flat=True) if not isinstance(item, Fault)]
        return {(item.kind, item.id or ""): item.value for kind in KINDS for item in items if item.kind == kind}

    def rehearse(self, data: Object) -> Object:
        plan, headers = self._ask("PUT", f"{CONFIGS}?dry_run=true", data)
        self._tag = headers["ETag"] or "*"
        return plan

    def apply(self, data: Object) -> None:
        digest = hashlib.sha256(msgspec.json.encode([self._tag, data])).hexdigest()
        self._ask("PUT", CONFIGS, data, {"X-Digest": digest, "If-Match": self._tag})

    def put(self, kind: str, id: str, value: Object) -> None:
        self._ask("PUT", f"{ADMIN}/{kind}/{id}", value)

    def get(self, place: str) -> Object:
        return self._ask("GET", f"{ADMIN}/{place}")[0]

    def _ask(
        self, method: str, target: str, data: Object | None = None, more: Mapping[str, str] | None = None
    ) -> tuple[Object, http.client.HTTPMessage]:
        headers = {"X-API-KEY": self._key, "Content-Type": "application/json", **(more or {})}
        connection = _Connection(self._address)
        try:
            connection.request(method, target, None if data is None else msgspec.json.encode(data), headers)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise PlaceError(f"{self}: cannot be asked: {error or type(error).__name__}") from None
        finally:
            connection.close()
        try:
            body = json.loads(text) if text else {}
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise PlaceError(f"{self}: answered {answer.status} with something that is no JSON object: is it fastgw?")
        if answer.status == 400 and body.get("errors"):
            raise RefusedError(body["errors"])
        if answer.status >= 300:
            why = body.get("description") or body.get("error_msg") or "without a reason"
            raise PlaceError(f"{self}: answered {answer.status}: {why}")
        return body, answer.headers


class _Connection(http.client.HTTPConnection):
    """HTTP to an address as the settings write it."""

    def __init__(self, address: str) -> None:
        self._endpoint = parse_address(address)
        super().__init__(self._endpoint.host or "localhost", self._endpoint.port, timeout=TIMEOUT_S)

    def connect(self) -> None:
        if not self._endpoint.path:
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(self._endpoint.path)


# -- a gateway that does not ---------------------------------------------------------------------------


class Stopped:
    """The store of a gateway that does not run, with the file's objects as they will be when it starts."""

    running = False
    effect = "it is served when the gateway starts"

    def __init__(self, store: Store, declared: Mapping[Key, Object]) -> None:
        self._store = store
        self._declared = declared

    def __str__(self) -> str:
        return "the store (no gateway runs)"

    def objects(self, layer: Layer) -> dict[Key, Object]:
        found: dict[Key, Object] = {}

        def look(view: View) -> None:
            for kind in KINDS:
                found.update({(kind, row.id): row.value for row in view.list(kind) if layer in ("effective", row.layer)})
            raise _Seen

        with _store_errors(), suppress(_Seen):
            self._store.apply(lambda view: Edits({}, (), {}), look, self._declared)
        return found

    def rehearse(self, data: Object) -> Object:
        return self._apply(data, rehearse=True).told(changes=True)

    def apply(self, data: Object) -> None:
        self._apply(data, rehearse=False)

    def put(self, kind: str, id: str, value: Object) -> None:
        with _store_errors():
            self._store.witness = witness_of(PUT._replace(path=f"{ADMIN}/{kind}/{id}"), self._store)
            try:
                RESOURCES[kind].answer(self._store, Call("PUT", None, id, (), {}, value))
            except Failure as failure:
                raise PlaceError(failure.message) from None

    def _apply(self, data: Object, *, rehearse: bool) -> whole.Outcome:
        try:
            with _store_errors():
                self._store.witness = None if rehearse else witness_of(IMPORT, self._store)
                return whole.apply(self._store, whole.judge(data), rehearse=rehearse, declared=self._declared)
        except whole.Refused as refused:
            raise RefusedError([problem.told() for problem in refused.problems]) from None


class _Seen(Exception):  # noqa: N818
    """Ends a look at what would be there."""


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except (StoreError, sqlite3.Error) as error:
        raise PlaceError(f"the store failed: {error}") from None


@contextmanager
def open_place(config: Config, admin: str | None, *, write: bool) -> Iterator[Place]:
    """Where the objects of this configuration's gateway are. write: and no gateway may start meanwhile."""
    data_dir = Path(config.settings.data_dir)
    if admin is not None or in_use(data_dir):
        yield running(config, admin)
        return
    with ExitStack() as stack:
        if write:
            stack.callback(DataDir(data_dir).let_go)
        database = database_of(data_dir)
        if not write and not database.exists():  # to look must leave no trace
            database = Path(stack.enter_context(TemporaryDirectory())) / database.name
        with _store_errors():
            store = Store(database)
            stack.callback(store.close)
            store.bounds = {revocations.KIND: config.settings.shared_memory.revocations}
            store.index(INDEXES)  # nothing is written where a gateway has done so before
        yield Stopped(store, config.objects)


def running(config: Config, admin: str | None) -> Running:
    """The Admin API of this configuration's gateway, which must run."""
    data_dir = Path(config.settings.data_dir)
    if admin is None and not in_use(data_dir):
        raise PlaceError(f"no gateway runs on {data_dir}; data_dir is relative to the working directory")
    return Running(admin or _admin_address(config), _admin_key(config, data_dir))


def _admin_address(config: Config) -> str:
    address = config.settings.admin.listen
    endpoint = parse_address(address)
    if not endpoint.path and endpoint.port == 0:
        raise PlaceError("admin.listen has port 0, so the system chose one: name the address, --admin HOST:PORT")
    return address


def _admin_key(config: Config, data_dir: Path) -> str:
    if config.settings.admin.key:
        return config.settings.admin.key
    path = data_dir / "admin.key"
    try:
        return path.read_text().strip()
    except OSError as error:
        why = f"{path}: {error.strerror}"
        raise PlaceError(f"no admin key: neither FASTGW_ADMIN_KEY nor admin.key of the config is set, and {why}") from None
