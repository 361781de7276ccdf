"""Which route takes a request, beside a plain reading of the rules: all modes of the router, edits in any order, many routes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw import _core
from fastgw.entries import entries_of, first_edit
from fastgw.schema.settings import Router
from tests.oracle.router import Ask, Entry, winner
from tests.support.core import OK, chain, upstream

NO_STEPS = _core.Steps([])
MODES = ["radixtree_host_uri", "radixtree_uri", "radixtree_uri_with_parameter"]
HOSTS = ["", "*", "a.test", "b.a.test", "*.a.test", "*a.test", "*.test", "a.test:81", "*:81", "[::1]", "[::1]:81"]
PATTERNS = [
    "/*",
    "/",
    "/a",
    "/a*",
    "/a/*",
    "/a/*z",
    "/a/b",
    "/a/*/b",
    "/a/*q/b",
    "/*/b",
    "/a/:x",
    "/a/:x/b",
    "/:y/b",
    "/a/:x/*",
    "/a/b*/b",
    "*",
]
ASKS = [
    Ask(host, path, method, port)
    for host, port in (
        ("a.test", 0),
        ("a.test", 81),
        ("b.a.test", 0),
        ("c.b.a.test", 82),
        ("aa.test", 0),
        ("other", 81),
        ("[::1]", 81),
    )
    for path in ("/", "/a", "/a/", "/a/b", "/a/b/b", "/a/x/y/b", "/ab", "/x/b", "/a/:x")
    for method in ("GET", "POST")
]
ENTRY = st.tuples(
    st.sampled_from(HOSTS), st.sampled_from(PATTERNS), st.integers(-1, 1), st.sampled_from([(), ("GET",), ("POST", "PUT")])
)


def put(edit: _core.Edit, entry: Entry, mode: str) -> list[Any]:
    def plan(pattern: _core.Pattern | None) -> _core.Plan:
        return _core.Plan(
            entry.name.encode(), NO_STEPS, methods=entry.methods, priority=entry.priority, order=entry.order, pattern=pattern
        )

    made = list(entries_of(plan, [(entry.host, entry.pattern)], Router(http=mode)))
    for each in made:
        edit.put_route(*each)
    return made


def decisions(snapshot: _core.Snapshot) -> list[str | None]:
    found = [_core._test_route(snapshot, ask.host.encode(), ask.path.encode(), ask.method, port=ask.port) for ask in ASKS]
    return [None if name is None else name.decode() for name in found]


@pytest.mark.parametrize("mode", MODES)
@given(script=st.lists(st.lists(st.tuples(st.booleans(), st.integers(0, 30), ENTRY), max_size=8), max_size=5))
def test_the_order_rules(mode: str, script: list[list[tuple[bool, int, tuple[Any, ...]]]]) -> None:
    """What was put and dropped before does not matter, and a snapshot does not change when another is derived from it."""
    present: list[tuple[Entry, list[Any]]] = []
    history = []
    edit = first_edit(Router(http=mode))
    number = 0
    for batch in script:
        for drop, which, fields in batch:
            if drop and present:
                for each in present.pop(which % len(present))[1]:
                    edit.drop_route(*each)
            elif not drop:
                number += 1
                entry = Entry(f"r{number}", *fields[:3], which * 1000 + number, fields[3])
                present.append((entry, put(edit, entry, mode)))
        snapshot = edit.finish()
        history.append((snapshot, [winner([entry for entry, _ in present], ask, mode) for ask in ASKS]))
        edit = _core.Edit(snapshot)
    for snapshot, expected in history:
        assert decisions(snapshot) == expected


def snapshot_of(mode: str, *entries: Entry) -> _core.Snapshot:
    edit = first_edit(Router(http=mode))
    for entry in entries:
        put(edit, entry, mode)
    return edit.finish()


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_common_prefixes_do_not_depend_on_the_order_of_registration(order: tuple[int, ...]) -> None:
    """lua-resty-radixtree, t/parameter.t, test 13; the `?` of its first pattern is literal here."""
    routes = [
        Entry("long", "", "/api/:version/test/api/projects/:project_id/clusters/:cluster_id/nodes/"),
        Entry("medium", "", "/api/:version/test/api/projects/:project_id"),
        Entry("short", "", "/api/:version/test/*subpath"),
    ]
    snapshot = snapshot_of(MODES[2], *(routes[i]._replace(order=i) for i in order))
    asked = {
        b"/api/v4/test/api/projects/saas/clusters/123/nodes/": b"long",
        b"/api/v4/test/api": b"short",
        b"/api/v4/test/api/projects/saas": b"medium",
    }
    assert {path: _core._test_route(snapshot, b"h", path) for path in asked} == asked


@pytest.mark.parametrize("mode", MODES)
def test_of_ten_thousand_routes_behind_one_prefix_few_are_looked_at(mode: str) -> None:
    """Every condition of another route would be evaluated if that route were looked at: this one counts."""

    class Counting:
        looked = 0

        def __call__(self, text: bytes) -> bool:
            self.looked += 1
            return True

    from fastgw.schema.expression import Comparison, Group

    search = Counting()
    condition = _core.Expression(Group((Comparison("uri", "~~", search),)))
    edit = first_edit(Router(http=mode))
    pattern, path = ("/:t/n%d/:id", b"/x/n%d/y") if mode == MODES[2] else ("/*/n%d", b"/x/y/n%d")
    for i in range(10_000):

        def plan(own: _core.Pattern | None, i: int = i) -> _core.Plan:
            return _core.Plan(b"%d" % i, NO_STEPS, condition=condition, pattern=own)

        for entry in entries_of(plan, [("", pattern % i)], Router(http=mode)):
            edit.put_route(*entry)
    snapshot = edit.finish()
    assert [_core._test_route(snapshot, b"h", path % i) for i in (0, 77, 9_999)] == [b"0", b"77", b"9999"]
    assert search.looked == 3


def test_ten_thousand_hosts_of_one_path_first() -> None:
    mode = MODES[1]
    edit = first_edit(Router(http=mode))
    for i in range(10_000):
        put(edit, Entry(f"{i}", f"h{i}.test", "/*"), mode)
    snapshot = edit.finish()
    assert [_core._test_route(snapshot, b"h%d.test" % i, b"/x") for i in (0, 9_999, 10_000)] == [b"0", b"9999", None]


@pytest.mark.parametrize(
    ("variable", "path", "value"),
    [("uri_param_id", "/u/5/a/b", b"5"), ("uri_param_rest", "/u/5/a/b", b"a/b"), ("uri_param_other", "/u/5/a/b", None)],
)
def test_parameters_are_variables(variable: str, path: str, value: bytes | None) -> None:
    """In conditions of the route itself, and in what runs behind it."""
    from fastgw.schema.expression import parsed

    def met(rules: list[Any]) -> bool:
        def plan(own: _core.Pattern | None) -> _core.Plan:
            return _core.Plan(b"r", chain(), upstream(), condition=_core.Expression(parsed(rules)), pattern=own)

        edit = first_edit(Router(http=MODES[2]))
        for entry in entries_of(plan, [("", "/u/:id/*rest")], Router(http=MODES[2])):
            edit.put_route(*entry)
        core = _core.Wire(edit.finish())
        line = core.open()
        core.push(line, f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        for number, side, _ in core.lines():
            if side == "up":
                core.push(number, OK)
        return core.pull(line).split(b" ")[1] == b"200"

    assert met([[variable, "==", None if value is None else value.decode()]])
    assert not met([[variable, "==", "other"]])
