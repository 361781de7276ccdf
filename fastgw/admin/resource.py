"""The one generic Admin resource: every verb of APISIX, for every kind, as a declaration fills it in.

Owns: the order of checks, identity rules, time stamps, references between objects, delete guards. Must
not know: HTTP, sockets, any one kind (kinds.py declares them; a kind that differs overrides a hook).
Everything here is synchronous and runs in the store's thread; checks that look at other objects run
inside the write's transaction, so what they saw still holds when it commits.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from fastgw.admin import envelope, listing, merge, messages, redact, validate
from fastgw.admin.conditions import Conditions, tag_of
from fastgw.admin.envelope import Failure, Reply
from fastgw.admin.links import forbid_dangling, forbid_unlike_groups
from fastgw.schema.kinds import Reference
from fastgw.store import NotFound, Row, Store, View

__all__ = ["MISSING", "Call", "Object", "Resource", "User", "forbid_times"]

Object = dict[str, Any]
Field = tuple[str, ...]
MISSING: Final = object()  # no body, which is not the same as `null`


class Call(NamedTuple):
    """One request below /apisix/admin/<kind>, parsed; owner is the consumer of a credential."""

    method: str
    owner: str | None
    id: str | None
    sub: tuple[str, ...]
    query: Mapping[str, str]
    body: Any = MISSING
    secrets: bool = True  # whether the caller may see them
    conditions: Conditions = Conditions()


class User(NamedTuple):
    """Objects that keep another from being deleted: those whose field holds its id."""

    kind: str
    noun: str
    field: Field


@dataclass(frozen=True)
class Resource:
    """One kind of object. noun is what APISIX calls it in messages."""

    kind: str
    noun: str
    refuses: frozenset[str] = frozenset()  # methods answered with 405
    references: tuple[Reference, ...] = ()
    users: tuple[User, ...] = ()
    delete_text: str = ""  # default: "can not delete this <noun>"
    stamped: bool = True  # whether the value carries create_time and update_time

    # Verbs

    def answer(self, store: Store, call: Call) -> Reply:
        if call.method in self.refuses:
            raise Failure(405, f"not supported `{call.method}` method for {self.noun}")
        if call.sub and call.method != "PATCH":
            raise Failure(404, "not found")
        verb = {
            "GET": self.get,
            "PUT": self.put,
            "POST": self.post,
            "PATCH": self.patch,
            "DELETE": self.delete,
        }
        return verb[call.method](store, call)

    def get(self, store: Store, call: Call) -> Reply:
        if call.id is None:
            with store.reading() as view:
                at, found = view.revision(), view.list(self.kind, call.owner)
            rows, total = listing.select(found, call.query)
            reply, what = envelope.listing([self.shown(row, call) for row in rows], total), f"the list of {self.kind}"
        else:
            row = store.get(self.kind, self.place(call, call.id))
            if row is None:
                return envelope.not_found()
            reply, what, at = envelope.one(self.shown(row, call)), self._name(row.id), row.modified
        return call.conditions.answer(reply, what, tag_of(at, secrets=call.secrets))

    def put(self, store: Store, call: Call) -> Reply:
        id, value = self.settle(call, _body(call))
        return self._write(store, call, id, value)

    def post(self, store: Store, call: Call) -> Reply:
        body = _body(call)
        if call.id is not None or "id" in body:
            raise Failure(400, f"wrong {self.noun} id, do not need it")
        while True:
            id = f"{store.revision() + 1:020d}"  # as APISIX: the store's revision, in twenty digits
            _, value = self.settle(call, {**body, "id": id})
            try:
                return self._write(store, call, id, value, only_new=True)
            except _Taken:
                continue

    def patch(self, store: Store, call: Call) -> Reply:
        if call.id is None:
            raise Failure(400, f"missing {self.noun} id")
        if call.body is MISSING:
            raise Failure(400, "missing new configuration")
        if not call.sub and not isinstance(call.body, dict):
            raise Failure(400, "invalid configuration")

        id = self.place(call, call.id)

        def change(view: View, before: Row | None) -> Object:
            if before is None:
                raise NotFound
            self._require(call, id, before)
            value = merge.patched(before.value, call.sub, call.body)
            _, value = self.settle(call, value, patched=True)
            self.check(view, id, value)
            keeps = "update_time" in (call.sub or call.body)
            return self._stamp(value, before, value.get("update_time") if keeps else None)

        row, _, _ = store.update(self.kind, id, change, _expiry(call))
        return self._written(row, call, created=False)

    def delete(self, store: Store, call: Call) -> Reply:
        if call.id is None:
            raise Failure(400, f"missing {self.noun} id")
        own, id = call.id, self.place(call, call.id)

        def check(view: View, back: Row | None) -> None:
            if back is not None:
                self.check_return(view, back)
            elif call.query.get("force") != "true":
                self._guard(view, own)

        back, revision = store.delete(self.kind, id, check, lambda before: self._require(call, id, before))
        return envelope.deleted(self.kind, id, back and self.shown(back, call), revision)

    # Hooks for kinds that differ

    def place(self, call: Call, id: str) -> str:
        """The id in the store."""
        return id

    def settle(self, call: Call, value: Object, *, patched: bool = False) -> tuple[str, Object]:
        """The id and the value to write, after every check that needs no other object."""
        given = call.id if call.id is not None else value.get("id")
        if given is None:
            raise Failure(400, f"missing {self.noun} id")
        own = value.get("id", given)
        if own is None or str(own) != str(given):
            raise Failure(400, f"wrong {self.noun} id")
        value = {**value, "id": given}
        if not patched:
            forbid_times(value)
        validate.check(self.kind, value)
        return self.place(call, str(given)), value

    def check(self, view: View, id: str, value: Object) -> None:
        """Checks against other objects, inside the transaction."""
        forbid_dangling(view, self.references, value)
        forbid_unlike_groups(view, self.kind, id, value)

    def check_return(self, view: View, back: Row) -> None:
        """Checks the config file's object that comes back when the one that hid it goes."""
        self.check(view, back.id, back.value)

    def shown(self, row: Row, call: Call) -> Row:
        """The row as the caller may see it."""
        return row if call.secrets else row._replace(value=redact.without_secrets(self.kind, row.value))

    # Shared steps

    def _write(self, store: Store, call: Call, id: str, value: Object, only_new: bool = False) -> Reply:
        def change(view: View, before: Row | None) -> Object:
            if only_new and before is not None:
                raise _Taken
            self._require(call, id, before)
            self.check(view, id, value)
            return self._stamp(value, before, None)

        row, created, _ = store.update(self.kind, id, change, _expiry(call))
        return self._written(row, call, created=created)

    def _written(self, row: Row, call: Call, *, created: bool) -> Reply:
        return envelope.tagged(envelope.written(self.shown(row, call), created=created), tag_of(row.modified))

    def _require(self, call: Call, id: str, before: Row | None) -> None:
        """The object must be at the version that the caller demands, inside the transaction."""
        call.conditions.require(self._name(id), before and tag_of(before.modified))

    def _name(self, id: str) -> str:
        return f"{self.noun} [{id}]"

    def _stamp(self, value: Object, before: Row | None, updated: Any) -> Object:
        if not self.stamped:
            return value
        now = int(time.time())
        known = before.value.get("create_time") if before else None
        created = value.get("create_time", known if known is not None else now)
        return {**value, "create_time": created, "update_time": now if updated is None else updated}

    def _guard(self, view: View, id: str) -> None:
        for kind, noun, field in self.users:
            for row in view.find(kind, field, id)[:1]:
                text = self.delete_text or f"can not delete this {self.noun}"
                raise Failure(400, f"{text}, {noun} [{row.id}] is still using it now")


class _Taken(Exception):  # noqa: N818
    """Another writer took the id that was made for a POST."""


def forbid_times(value: Object) -> None:
    """Only the gateway sets the time stamps; their names are no plugins either."""
    for prefix, members in (
        ("", value),
        ("upstream.", value.get("upstream")),
        ("plugins.", value.get("plugins")),
    ):
        for name in ("create_time", "update_time"):
            if isinstance(members, dict) and name in members:
                raise Failure(400, f"the property is forbidden:  {prefix}{name}")


def _body(call: Call) -> Object:
    if call.body is MISSING:
        raise Failure(400, "missing configurations")
    if not isinstance(call.body, dict):
        found = messages.type_name(call.body)
        raise Failure(400, f"invalid configuration: wrong type: expected object, got {found}")
    return call.body


def _expiry(call: Call) -> float | None:
    ttl = call.query.get("ttl")
    if ttl is None:
        return None
    try:
        seconds = float(ttl)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise Failure(400, "invalid argument ttl: should be a number")
    return time.time() + seconds
