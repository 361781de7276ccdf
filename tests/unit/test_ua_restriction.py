"""ua-restriction's step: which fields are judged, what a search that fails leads to, what a refusal says."""

import pytest

from fastgw import _core
from fastgw.schema.regex import search_of
from tests.support.core import ask, snapshot

BODY = b'{"message":"no"}\n'


def passes(step: _core.Step, *fields: bytes) -> bool:
    head = b"".join(field + b"\r\n" for field in (b"GET / HTTP/1.1", b"Host: h", *fields))
    sent, got = ask(snapshot(step), head + b"\r\n")
    if not sent:
        assert got.startswith(b"HTTP/1.1 403 ")
        assert got.endswith(b"\r\n\r\n" + BODY)
    return bool(sent)


def step(*patterns: str, admits: bool = False, bypass: bool = False) -> _core.Step:
    return _core.UaRestrictionStep(search_of(*patterns), admits=admits, bypass_missing=bypass, body=BODY)


@pytest.mark.parametrize("admits", [True, False])
def test_what_is_found_decides(admits: bool) -> None:
    assert passes(step("b", admits=admits), b"User-Agent: abc") is admits
    assert passes(step("b", admits=admits), b"user-agent:xyz") is not admits
    assert not passes(step("b", admits=admits))
    assert passes(step("b", admits=admits, bypass=True))


def test_a_name_that_upstreams_may_fold_is_not_overlooked() -> None:
    """Such a field does not cross, so it says nothing; nor does it hide the one that does."""
    assert not passes(step("bad"), b"User_Agent: good", b"User-Agent: bad")
    assert not passes(step("good", admits=True), b"User_Agent: good")


def test_who_cannot_be_judged_is_refused() -> None:
    def fails(text: bytes) -> object:
        raise MemoryError

    for admits in (True, False):
        assert not passes(_core.UaRestrictionStep(fails, admits=admits, bypass_missing=True, body=BODY), b"User-Agent: a")


def test_many_patterns_are_one() -> None:
    many = step(*(f"^agent{i}$" for i in range(1000)))
    assert not passes(many, b"User-Agent: agent999")
    assert passes(many, b"User-Agent: agent1000")
