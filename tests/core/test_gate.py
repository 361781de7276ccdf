"""The Gate without any server: whatever it is asked, it answers or lets pass, and keeps nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgw._core import Gate, Visit
from fastgw.embedded import Embedded
from tests.core.served import CONFIG, bearer, scope_of

GOOD = bearer()
NAMES = st.one_of(
    st.sampled_from([b"host", b"authorization", b"x-consumer-username", b"cookie", b"content-length", b"te"]), st.binary()
)
VALUES = st.one_of(st.sampled_from([b"app.example", GOOD[1], b"a=b", b"0", b"chunked"]), st.binary())
EMBEDDED = Embedded(CONFIG, waits=False)


@pytest.fixture
def gate() -> Gate:
    return EMBEDDED.gate()


WIDE = settings(max_examples=600, deadline=None)
KEPT = EMBEDDED.gate()


@WIDE
@given(
    path=st.one_of(
        st.sampled_from(["/open", "/private/a", "/named"]), st.text(max_size=12).map(lambda text: "/" + text), st.text(max_size=8)
    ),
    query=st.binary(max_size=20),
    method=st.one_of(st.sampled_from(["GET", "POST", "HEAD"]), st.text(st.characters(codec="ascii"), max_size=5)),
    headers=st.lists(st.tuples(NAMES, VALUES), max_size=6),
    client=st.one_of(st.none(), st.tuples(st.sampled_from(["192.0.2.1", "::1", "testclient", "", "x" * 99]), st.integers())),
)
def test_whatever_it_is_told(path: str, query: bytes, method: str, headers: list[tuple[bytes, bytes]], client: Any) -> None:
    scope = scope_of(path, query_string=query, method=method, headers=headers, client=client)
    visit = KEPT.ask(scope)
    assert not visit.waiting
    assert visit.status == 0 or 400 <= visit.status <= 599
    if visit.status == 0:
        assert path.startswith(("/private/", "/open", "/named", "/slow"))
        if path.startswith("/private/"):
            assert visit.caller is not None
            assert GOOD[1] in [value for _, value in headers] or b"a=b" in [value for _, value in headers]
        for name, _ in visit.forward or ():
            assert not name.lower().replace(b"_", b"-").startswith(b"x-consumer-")
    visit.end()
    assert KEPT.requests == 0


def test_visits_that_are_dropped_end(gate: Gate) -> None:
    for _ in range(600):
        visit = gate.ask(scope_of("/named"))
        assert (visit.open, visit.status, gate.requests) == (True, 0, 1)
        del visit
        assert gate.requests == 0
    held = [gate.ask(scope_of("/named")) for _ in range(400)]
    assert gate.requests == 400
    for each in held:
        assert each.answered(200)[0][0] == b"x-request-id"
        each.end(5)
        each.end()
    assert gate.requests == 0


def test_what_is_no_scope_raises_and_leaves_nothing_behind(gate: Gate) -> None:
    for spoilt in (
        {"headers": [(1, b"x")]},
        {"headers": [b"x"]},
        {"headers": None},
        {"path": None},
        {"client": (3, 4)},
        {"query_string": "text"},
        {"method": b"GET"},
        {"server": ("a", "b")},
    ):
        with pytest.raises((TypeError, ValueError)):
            gate.ask(scope_of("/open", **spoilt))
        assert gate.ask(scope_of("/open")).status == 0
    with pytest.raises(KeyError):
        gate.ask({})
    with pytest.raises(TypeError):
        Visit()  # type: ignore[call-arg]
    assert gate.requests == 0


def test_a_head_has_bounds(gate: Gate) -> None:
    assert gate.ask(scope_of("/open", *((b"x-%d" % n, b"y") for n in range(200)))).status == 431
    assert gate.ask(scope_of("/open", (b"x", b"y" * 40000))).status == 431
    assert gate.ask(scope_of("/" + "a" * 9000)).status == 414
