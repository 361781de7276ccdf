"""A whole set in place of what the Admin API wrote before: judged, planned, and applied as one.

Owns: which objects a set makes new, other or superfluous, what it leaves alone (what the config file declares, what is the same
already), the checks between objects over the outcome. Must not know: HTTP, how a set is written down (objectset.py), one kind.
The checks are those of single writes. A rehearsal is the same transaction, undone.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fastgw import objectset
from fastgw.admin import messages, redact, validate
from fastgw.admin.envelope import Failure
from fastgw.admin.kinds import RESOURCES
from fastgw.admin.resource import Object, forbid_times
from fastgw.errors import Fault, Path
from fastgw.objectset import LISTS, MAX_COUNT, TIMES, Item
from fastgw.schema.kinds import KINDS
from fastgw.store import Edits, Row, Store, View

__all__ = ["Outcome", "Plan", "Problem", "Refused", "Wanted", "apply", "judge"]

Key = tuple[str, str]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a set, where APISIX's tools look for it."""

    resource_type: str
    resource_id: str | None
    index: int | None
    """Position in its list, from 0; None: it is not of one object of the set."""
    error: str

    def told(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if value is not None}


class Refused(Exception):  # noqa: N818 (what the caller is told, not what broke)
    """The set cannot be applied; nothing was changed."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems[0].error)
        self.problems = problems


class Wanted(NamedTuple):
    """A set that is sound as far as each object by itself goes."""

    items: list[Item]
    counts: dict[str, int]
    """Of `<kind>_conf_version`, where it is given."""


class Update(NamedTuple):
    """An object that becomes another."""

    kind: str
    id: str
    before: Object
    after: Object

    def told(self) -> dict[str, Any]:
        """With what changes in it, but for secrets."""
        shown = redact.without_secrets(self.kind, self.before), redact.without_secrets(self.kind, self.after)
        found = [each.told() for each in objectset.changes(self.before, self.after, shown)]
        return {"id": objectset.name_of(self.kind, self.id), "changes": found}


@dataclass
class Plan:
    """What a set does to the objects of one list; names are those of APISIX's documents."""

    created: list[str] = field(default_factory=list)
    updated: list[Update] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    """The set has not got them, and they stay: the config file declares them."""


class Outcome(NamedTuple):
    """What was done, or would have been."""

    plans: dict[str, Plan]
    revision: int

    @property
    def changes(self) -> int:
        return sum(len(plan.created) + len(plan.updated) + len(plan.deleted) for plan in self.plans.values())

    def told(self, *, changes: bool = False) -> dict[str, Any]:
        """By list; changes: with what changes in each object, which takes its time to find."""
        told = {}
        for name, plan in self.plans.items():
            updated = [each.told() if changes else objectset.name_of(each.kind, each.id) for each in plan.updated]
            found = {action: names for action, names in {**vars(plan), "updated": updated}.items() if names}
            if found:
                told[name] = found
        return told


# -- each object by itself -----------------------------------------------------------------------------


def judge(data: Mapping[str, Any], known: Iterable[Row] = ()) -> Wanted:
    """The objects of a set. Refused: with everything that is wrong with them one by one.

    known: objects that were judged when they were written; one that says the same is not judged again, which takes long.
    """
    sound = {(row.kind, row.id): objectset.content(row.value) for row in known}
    problems = [_of_list(fault) for fault in objectset.faults_of_lists(data)]
    wanted: list[Item] = []
    seen: set[Key] = set()
    for item in objectset.items(data, flat=True):
        if isinstance(item, Fault):
            inside = item._replace(path=Path(item.path[2:]))
            problems.append(_at(item.path, None, f"invalid configuration: {messages.reason(inside)}"))
            continue
        if not _is_known(item, sound):
            problems += [_of(item, message) for message in _refusals(item)]
        if item.id is None:
            continue
        if (item.kind, item.id) in seen:
            problems.append(_at(item.path, item.name, f"found duplicate {_called(item)} in {item.path[0]}", bare=True))
        seen.add((item.kind, item.id))
        wanted.append(item)
    if problems:
        raise Refused(problems)
    return Wanted(wanted, {kind: count for name, count in data.items() if (kind := objectset.version_of(name)) in LISTS})


def _is_known(item: Item, sound: Mapping[Key, bytes]) -> bool:
    said = sound.get((item.kind, item.id or ""))
    if said is None or said != objectset.content(item.value):
        return False
    return all(type(item.value.get(name, 0)) is int for name in TIMES)


def _refusals(item: Item) -> list[str]:
    noun, value = KINDS[item.kind].singular, item.value
    if not isinstance(value, dict):
        return [f"invalid configuration: wrong type: expected object, got {messages.type_name(value)}"]
    try:
        forbid_times({name: member for name, member in value.items() if name not in TIMES})
    except Failure as failure:
        return [failure.message]
    found = validate.refusals(item.kind, value)
    if item.id is None and not found:
        found = ["missing plugin name" if item.kind == "plugin_metadata" else f"missing {noun} id"]
    return found


def _called(item: Item) -> str:
    what = {"consumers": "username", "credentials": "credential id"}.get(item.kind, "id")
    return f"{what} {item.name}"


def _of(item: Item, message: str) -> Problem:
    return _at(item.path, item.name, message)


def _at(path: Path, name: str | None, message: str, *, bare: bool = False) -> Problem:
    kind, index = str(path[0]), int(path[1])
    return Problem(kind, name, index, message if bare else f"invalid {kind} at index {index}, err: {message}")


def _of_list(fault: Fault) -> Problem:
    name = str(fault.path[0])
    why = messages.reason(fault._replace(path=Path())) if fault.code == "type" else fault.message
    return Problem(objectset.version_of(name) or name, None, None, fault.apisix or f"invalid {name}, err: {why}")


# -- the set against what is there ---------------------------------------------------------------------


def apply(
    store: Store,
    wanted: Wanted,
    *,
    digest: str = "",
    expected: Callable[[int], None] = lambda revision: None,
    rehearse: bool = False,
    declared: Mapping[Key, Object] | None = None,
) -> Outcome:
    """Makes what is served the set and what else the config file declares. Refused: nothing was changed.

    expected: is told the revision that it starts from, and may raise. declared: the config file's objects, where the store may
    not have them yet.
    """
    work = _Work(wanted, digest, expected)

    def check(view: View) -> None:
        work.check(view)
        if rehearse:
            raise _Undone

    try:
        revision = store.apply(work.edit, check, declared)
    except _Undone:
        revision = work.began
    return Outcome(work.plans, revision)


class _Undone(Exception):  # noqa: N818
    """Ends a rehearsal."""


class _Work:
    """One application, inside its transaction."""

    def __init__(self, wanted: Wanted, digest: str, expected: Callable[[int], None]) -> None:
        self._wanted = wanted
        self._digest = digest
        self._expected = expected
        self._items = {(item.kind, item.id or ""): item for item in wanted.items}
        self._now = int(time.time())
        self._changed: list[Key] = []
        self._ripped = False  # something went, or is another kind of certificate: links of unchanged objects may dangle
        self.plans: dict[str, Plan] = {}
        self.began = 0

    def edit(self, view: View) -> Edits:
        self.began = view.revision()
        self._expected(self.began)
        counts = self._counts(view.versions().counts)
        puts: dict[Key, Object] = {}
        drops: list[Key] = []
        for kind in KINDS:
            if _list_of(kind) in counts:
                self._plan(view, kind, puts, drops)
        return Edits(puts, drops, counts, self._digest)

    def _counts(self, present: Mapping[str, int]) -> dict[str, int]:
        """The lists that the set replaces, with their new counts."""
        counts = {}
        for name in LISTS:
            now = present.get(name, 0)
            given = self._wanted.counts.get(name, now + 1)
            if not now <= given < MAX_COUNT:
                bound = f"greater than or equal to ({now})" if given < now else f"less than ({MAX_COUNT})"
                raise Refused([Problem(name, None, None, f"{name}_conf_version must be {bound}")])
            if given > now:
                counts[name] = given
        return counts

    def _plan(self, view: View, kind: str, puts: dict[Key, Object], drops: list[Key]) -> None:
        plan = self.plans.setdefault(_list_of(kind), Plan())
        rows = {row.id: row for row in view.list(kind)}
        declared = view.declared(kind)
        for item in self._wanted.items:
            if item.kind != kind or item.id is None:
                continue
            row, by_file = rows.pop(item.id, None), declared.get(item.id)
            said = objectset.content(item.value)
            if row is not None and objectset.content(row.value) == said:
                plan.unchanged.append(item.name or "")
                continue
            if by_file is not None and objectset.content(by_file) == said:
                drops.append((kind, item.id))
                after = by_file
            else:
                puts[kind, item.id] = after = self._stamped(kind, item.value, row)
            self._changed.append((kind, item.id))
            self._tell(plan, row, kind, item.id, after)
        for id, row in rows.items():
            name = objectset.name_of(kind, id)
            if row.layer == "file":
                plan.kept.append(name)
                continue
            drops.append((kind, id))
            if id in declared:
                self._changed.append((kind, id))
                plan.kept.append(name)
                self._tell(plan, row, kind, id, declared[id])
            else:
                plan.deleted.append(name)
                self._ripped = True

    def _tell(self, plan: Plan, row: Row | None, kind: str, id: str, after: Object) -> None:
        if row is None:
            plan.created.append(objectset.name_of(kind, id))
        else:
            self._ripped |= kind == "ssls"
            plan.updated.append(Update(kind, id, row.value, after))

    def _stamped(self, kind: str, value: Object, row: Row | None) -> Object:
        """The set's times are taken where they do not contradict what is known: the first creation, the latest update."""
        if not RESOURCES[kind].stamped:
            return value
        known = row.value if row else {}
        created = known.get("create_time", value.get("create_time", self._now))
        updated = value.get("update_time", 0)
        newer = updated > known.get("update_time", 0) if row else updated
        return {**value, "create_time": created, "update_time": updated if newer else self._now}

    # -- the outcome ---------------------------------------------------------------------------------

    def check(self, view: View) -> None:
        problems = [problem for key in self._changed for problem in self._checked(view, *key)]
        if self._ripped:
            done = frozenset(self._changed)
            for kind, resource in RESOURCES.items():
                for row in view.list(kind) if resource.references or kind == "credentials" else ():
                    if (kind, row.id) not in done:
                        problems += self._checked(view, kind, row.id, row)
        if problems:
            order = list(LISTS)
            raise Refused(sorted(problems, key=lambda each: (order.index(each.resource_type), each.index or 0)))

    def _checked(self, view: View, kind: str, id: str, row: Row | None = None) -> Iterator[Problem]:
        row = row or view.get(kind, id)
        if row is None:
            return
        try:
            RESOURCES[kind].check(view, id, row.value)
        except Failure as failure:
            item = self._items.get((kind, id))
            if item is not None:
                yield _of(item, failure.message)
            else:
                name = objectset.name_of(kind, id)
                yield Problem(_list_of(kind), name, None, f"{KINDS[kind].singular} [{name}]: {failure.message}")


def _list_of(kind: str) -> str:
    return "consumers" if kind == "credentials" else kind
