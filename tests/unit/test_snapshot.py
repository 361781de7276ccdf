"""Snapshots and the edits that derive them, against a plain model: whatever was put and dropped before, a snapshot routes as
its routes say, and nothing that is derived from it later changes it."""

import random
import weakref
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw import _core

NO_STEPS = _core.Steps([])
HOSTS = [b"", b"*", b"a.test", b"b.a.test", b"*.a.test", b"*.test"]
PATTERNS = [b"/*", b"/", b"/a", b"/a*", b"/a/*", b"/a/b", b"/a/b*", b"*", b"/ab*"]
ASKED = [
    (host, path)
    for host in (b"a.test", b"b.a.test", b"c.b.a.test", b"x.test", b"other", b"")
    for path in (b"/", b"/a", b"/a/", b"/a/b", b"/a/bc", b"/ab", b"/x")
]


class Entry(NamedTuple):
    plan: _core.Plan
    name: bytes
    priority: int
    order: int
    methods: tuple[str, ...]
    host: bytes
    pattern: bytes


def entry(name: str, host: bytes, pattern: bytes, priority: int = 0, order: int = 0, methods: tuple[str, ...] = ()) -> Entry:
    plan = _core.Plan(name.encode(), NO_STEPS, methods=methods, priority=priority, order=order)
    return Entry(plan, name.encode(), priority, order, methods, host, pattern)


def expected(entries: list[Entry], host: bytes, path: bytes, method: str = "GET") -> bytes | None:
    """What docs/request-life.md says: host from exact to none, then path from exact to the shortest prefix, then priority."""

    def host_rank(wanted: bytes) -> int | None:
        if not wanted:
            return 0
        if wanted.startswith(b"*"):
            return len(wanted) if host.endswith(wanted[1:]) else None
        return 1000 if wanted == host else None

    def path_rank(pattern: bytes) -> int | None:
        if pattern.endswith(b"*"):
            return len(pattern) if path.startswith(pattern[:-1]) else None
        return 1000 if pattern == path else None

    fitting = [
        ((-h, -p, -e.priority, e.order), e.name)
        for e in entries
        if (h := host_rank(e.host)) is not None
        and (p := path_rank(e.pattern)) is not None
        and (not e.methods or method in e.methods)
    ]
    return min(fitting)[1] if fitting else None


def decisions(snapshot: _core.Snapshot) -> list[bytes | None]:
    return [_core._test_route(snapshot, host, path, method) for host, path in ASKED for method in ("GET", "POST")]


def expected_decisions(entries: list[Entry]) -> list[bytes | None]:
    return [expected(entries, host, path, method) for host, path in ASKED for method in ("GET", "POST")]


entry_fields = st.tuples(
    st.sampled_from(HOSTS), st.sampled_from(PATTERNS), st.integers(-1, 1), st.sampled_from([(), ("GET",), ("POST", "PUT")])
)


@given(st.lists(st.lists(st.tuples(st.booleans(), st.integers(0, 30), entry_fields), max_size=6), max_size=6))
def test_any_sequence_of_edits_routes_as_the_routes_that_are_left(script: list[list[tuple[bool, int, tuple]]]) -> None:
    present: list[Entry] = []
    history: list[tuple[_core.Snapshot, list[bytes | None]]] = []
    snapshot = None
    number = 0
    for batch in script:
        edit = _core.Edit(snapshot)
        for drop, which, fields in batch:
            if drop and present:
                gone = present.pop(which % len(present))
                edit.drop_route(gone.plan, gone.host, gone.pattern)
            elif not drop:
                # Creation times need not come in order: an edit puts an old route again when it changed.
                number += 1
                new = entry(f"r{number}", fields[0], fields[1], fields[2], which * 1000 + number, fields[3])
                present.append(new)
                edit.put_route(new.plan, new.host, new.pattern)
        edit.set_globals(NO_STEPS)
        snapshot = edit.finish()
        history.append((snapshot, expected_decisions(present)))
    for old, wanted in history:
        assert decisions(old) == wanted
    whole = _core.Snapshot([(e.plan, e.host, e.pattern) for e in sorted(present, key=lambda e: e.order)], {}, NO_STEPS)
    assert decisions(whole) == expected_decisions(present)


def churn(keys: int, seed: int) -> Iterator[tuple[_core.Snapshot, set[int]]]:
    """Snapshots of a table that grows to `keys` and shrinks again, with the keys that are in it."""
    choose = random.Random(seed)
    plans = [_core.Plan(b"%d" % i, NO_STEPS) for i in range(keys)]
    present: set[int] = set()
    snapshot = None
    for size in (keys // 40, keys // 4, keys, keys // 3, 3, 0, keys // 2):
        edit = _core.Edit(snapshot)
        target = set(choose.sample(range(keys), size))
        for i in present - target:
            edit.drop_route(plans[i], b"", b"/n/%d" % i)
        for i in target - present:
            edit.put_route(plans[i], b"", b"/n/%d" % i)
        edit.set_globals(NO_STEPS)
        snapshot, present = edit.finish(), target
        yield snapshot, target


@pytest.mark.parametrize("keys", [40, 2000])
def test_a_large_table_grows_and_shrinks(keys: int) -> None:
    """Few keys lie in one shard, many in 256; holes in a shard are closed."""
    history = list(churn(keys, seed=keys))
    for snapshot, present in history:
        found = {i for i in range(keys) if _core._test_route(snapshot, b"h", b"/n/%d" % i) == b"%d" % i}
        assert found == present


def test_many_hosts() -> None:
    plans = [_core.Plan(b"%d" % i, NO_STEPS) for i in range(500)]
    edit = _core.Edit()
    for i, plan in enumerate(plans):
        edit.put_route(plan, b"h%d.test" % i, b"/*")
    edit.set_globals(NO_STEPS)
    full = edit.finish()
    edit = _core.Edit(full)
    for i in range(0, 500, 2):
        edit.drop_route(plans[i], b"h%d.test" % i, b"/*")
    half = edit.finish()
    assert [_core._test_route(full, b"h%d.test" % i, b"/x") for i in range(500)] == [b"%d" % i for i in range(500)]
    assert [_core._test_route(half, b"h%d.test" % i, b"/x") for i in range(500)] == [
        b"%d" % i if i % 2 else None for i in range(500)
    ]


def credential(name: str, key: bytes) -> _core.Credential:
    return _core.Credential(_core.Consumer(name.encode(), NO_STEPS), key)


def test_credentials_by_kind_and_key() -> None:
    first = _core.Snapshot([], {"jwt": [credential("u", b"k")], "key": [credential("v", b"k")]}, NO_STEPS)
    edit = _core.Edit(first)
    edit.put_credential("jwt", credential("w", b"k"))
    edit.drop_credential("key", b"k")
    second = edit.finish()
    found = [[_core._test_credential(s, kind, b"k") for kind in ("jwt", "key", "basic")] for s in (first, second)]
    assert found == [
        [b"X-Consumer-Username: u\r\n", b"X-Consumer-Username: v\r\n", None],
        [b"X-Consumer-Username: w\r\n", None, None],
    ]


def test_a_change_replaces_one_shard_of_a_large_table() -> None:
    plans = [_core.Plan(b"%d" % i, NO_STEPS) for i in range(10_000)]
    base = _core.Snapshot([(plan, b"", b"/n/%d/*" % i) for i, plan in enumerate(plans)], {}, NO_STEPS)
    assert _core._test_replaced(base) == 0
    edit = _core.Edit(base)
    edit.drop_route(plans[7], b"", b"/n/7/*")
    edit.put_route(_core.Plan(b"new", NO_STEPS), b"", b"/n/7/*")
    following = edit.finish()
    assert _core._test_replaced(base) == 1
    assert _core._test_route(base, b"h", b"/n/7/x") == b"7"
    assert _core._test_route(following, b"h", b"/n/7/x") == b"new"
    assert _core._test_route(following, b"h", b"/n/8/x") == b"8"


def test_what_only_an_old_snapshot_had_goes_with_it() -> None:
    pool = _core.Pool("192.0.2.1:80")
    gone = weakref.ref(pool)
    plan = _core.Plan(b"r", NO_STEPS, _core.Upstream([(pool, 1, 0, b"h")]))
    del pool
    first = _core.Snapshot([(plan, b"", b"/r")], {}, NO_STEPS)
    edit = _core.Edit(first)
    edit.drop_route(plan, b"", b"/r")
    second = edit.finish()
    del plan, edit
    assert gone() is not None
    del first
    assert gone() is None
    assert _core._test_route(second, b"h", b"/r") is None


def test_what_cannot_be_done() -> None:
    plan = _core.Plan(b"r", NO_STEPS)
    edit = _core.Edit()
    with pytest.raises(KeyError, match="expected a route"):
        edit.drop_route(plan, b"a.test", b"/x")
    with pytest.raises(KeyError, match="expected a jwt credential"):
        edit.drop_credential("jwt", b"k")
    edit.finish()
    for call in (lambda: edit.put_route(plan, b"", b"/"), edit.finish, lambda: edit.set_globals(NO_STEPS)):
        with pytest.raises(ValueError, match="not finished"):
            call()
