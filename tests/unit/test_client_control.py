"""client-control's step: the bound of a body, however the body comes."""

import pytest

from fastgw import _core
from fastgw.compile import Compiler
from fastgw.plugins.check import check_plugin
from tests.support.core import OK, chain, snapshot
from tests.unit.test_compile import route


def status(snap: _core.Snapshot, *pieces: bytes) -> bytes:
    """What a request gets whose bytes come in pieces: the status, b"up" where it all went upstream."""
    wire = _core.Wire(snap)
    line = wire.open()
    for piece in pieces:
        wire.push(line, piece)
    got = wire.pull(line)
    if got:
        return got[9:12]
    wire.push(1, OK)
    assert wire.pull(line)[9:12] == b"200"
    return b"up"


def bound(most: int) -> _core.Snapshot:
    return snapshot(_core.ClientControlStep(most))


def length(n: int) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % n


CHUNKED = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(("n", "outcome"), [(0, b"up"), (4, b"up"), (5, b"413"), (10**12, b"413")])
def test_an_announced_length(n: int, outcome: bytes) -> None:
    assert status(bound(4), length(n), b"x" * min(n, 4)) == outcome


@pytest.mark.parametrize(
    ("pieces", "outcome"),
    [
        ([b"4\r\nabcd\r\n0\r\n\r\n"], b"up"),
        ([b"5\r\nabcde\r\n0\r\n\r\n"], b"413"),
        ([b"5\r\n"], b"413"),
        ([b"2\r\nab\r\n", b"2\r\ncd\r\n", b"0\r\n\r\n"], b"up"),
        ([b"2\r\nab\r\n", b"2\r\ncd\r\n", b"1\r\n"], b"413"),
    ],
)
def test_chunks(pieces: list[bytes], outcome: bytes) -> None:
    assert status(bound(4), CHUNKED, *pieces) == outcome
    assert status(bound(4), CHUNKED + b"".join(pieces)) == outcome


def test_zero_is_no_bound_and_none_is_wider_than_the_gateways() -> None:
    assert status(bound(0), length(100), b"x" * 100) == b"up"
    wide = Compiler().apply([route("r", "/*", plugins={"client-control": {"max_body_size": 10**9}})]).snapshot
    wire = _core.Wire(wide, limits={"body_bytes": 4})
    line = wire.open()
    wire.push(line, CHUNKED + b"5\r\nabcde\r\n")
    assert wire.pull(line)[9:12] == b"413"


def test_the_smaller_bound_holds_and_only_for_its_request() -> None:
    steps = chain(_core.ClientControlStep(2), first=50)
    assert status(snapshot(_core.ClientControlStep(9), first=steps), length(3)) == b"413"
    routes = [route("a", "/a", plugins={"client-control": {"max_body_size": 2}}), route("b", "/b")]
    wire = _core.Wire(Compiler().apply(routes).snapshot)
    line = wire.open()
    wire.push(line, b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")
    assert wire.pull(line)[9:12] == b"413"
    wire.push(line, CHUNKED.replace(b"/ ", b"/b ") + b"3\r\nabc\r\n0\r\n\r\n")
    assert wire.pull(1).endswith(b"3\r\nabc\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    "conf", [{"max_body_size": -1}, {"max_body_size": "1"}, {"max_body_size": 1.5}, {"max_body_size": 2**53}]
)
def test_confs_that_are_refused(conf: dict[str, object]) -> None:
    assert check_plugin("routes", "client-control", conf)[0]
