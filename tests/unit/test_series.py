"""What is counted of routes, consumers and nodes: each request in one row, more labels than rows, what a process's end leaves."""

import itertools
import os
import struct
import time
from pathlib import Path

import pytest

from fastgw import _core
from tests.support.core import OK, TOKEN, john, snapshot, upstream

MOST = 2048  # rows of one process
IDLE_S = 600


def region(series: int = 4096, path: Path | None = None) -> _core.Region:
    return _core.Region.create(64, path, slots=2, revocations=64, series=series)


def plan(number: int) -> _core.Plan:
    uri = b"/%d" % number
    return _core.Plan(b"r%d" % number, _core.Steps([]), upstream(), matched_uri=uri, matched_host=b"*.x", service=b"s")


def routes(count: int) -> _core.Snapshot:
    return _core.Snapshot([(plan(n), b"", b"/%d" % n) for n in range(count)], {}, _core.Steps([]))


class Asking:
    """One client's line, and an upstream that answers."""

    def __init__(self, of: _core.Snapshot, region: _core.Region) -> None:
        region.set_slot(0, os.getpid(), 1, 2)
        self.wire = _core.Wire(of, region=region)
        self.line = self.wire.open()

    def ask(self, path: bytes, answer: bytes = OK, headers: bytes = b"", seconds: float = 0) -> None:
        self.wire.pull(self.line)
        self.wire.push(self.line, b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n")
        for i, side, _ in self.wire.lines():
            if side == "up" and self.wire.pull(i):
                self.wire.advance(seconds)
                self.wire.push(i, answer)


def requests(row: _core.SeriesView) -> int:
    return sum(count for _, count in row.codes)


def test_a_request_is_in_the_row_of_its_labels() -> None:
    shared = region()
    asking = Asking(routes(3), shared)
    asking.ask(b"/1", seconds=0.003)
    asking.ask(b"/1", b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", seconds=50)
    asking.ask(b"/nowhere")
    found = {row.route: row for row in shared.series() if requests(row)}
    row = found["r1"]
    assert (row.slot, row.other, row.matched_uri, row.matched_host, row.service) == (0, False, "/1", "*.x", "s")
    assert (row.consumer, row.node) == ("", "127.0.0.1")
    assert row.codes == [(200, 1), (404, 1)]
    assert row.bytes_out == 2
    request, theirs, own = row.latency
    bound = _core.SERIES_MS.index(5)
    assert request[bound] == theirs[bound] == 1
    assert request[-2] == theirs[-2] == 1
    assert own[0] == sum(own) == 2
    assert row.request_us == pytest.approx(50_003_000, abs=10_000)
    assert row.upstream_us == pytest.approx(50_003_000, abs=10_000)
    assert (found[""].node, found[""].codes, found[""].latency[1]) == ("", [(404, 1)], [0] * 16)
    assert set(found) == {"", "r1"}


def test_a_consumer_is_told_apart() -> None:
    shared = region()
    asking = Asking(snapshot(_core.JwtAuthStep(), credentials=(john(),)), shared)
    asking.ask(b"/", headers=b"Authorization: " + TOKEN + b"\r\n")
    asking.ask(b"/")
    assert {(row.consumer, row.node): row.codes for row in shared.series() if requests(row)} == {
        ("john", "127.0.0.1"): [(200, 1)],
        ("", ""): [(401, 1)],
    }
    assert shared.refusals() == {"jwt.no_token": 1}


def test_more_statuses_than_there_are_places() -> None:
    shared = region()
    asking = Asking(routes(1), shared)
    for status in range(200, 203 + 20):
        if status not in (204, 205):
            asking.ask(b"/0", b"HTTP/1.1 %d x\r\nContent-Length: 0\r\n\r\n" % status)
    (row,) = (row for row in shared.series() if requests(row))
    assert [code for code, _ in row.codes] == [*(n for n in range(200, 217) if n not in (204, 205)), 0]
    assert row.codes[-1] == (0, 6)


def test_more_labels_than_rows() -> None:
    shared = region(series=MOST + 50)
    asking = Asking(routes(MOST + 10), shared)
    for number in range(MOST + 10):
        asking.ask(b"/%d" % number)
    rows = shared.series()
    (rest,) = (row for row in rows if row.other)
    assert requests(rest) == 11  # it has a row itself
    assert len(rows) == MOST
    assert sum(map(requests, rows)) == MOST + 10
    assert shared.metrics()["series_other"] == 11
    # What is idle gives way, and its counts stay.
    for _ in range(3):
        asking.wire.advance(IDLE_S + 1)
        asking.line = asking.wire.open()
        asking.ask(b"/1")
        asking.ask(b"/%d" % (MOST + 5))
    rows = shared.series()
    found = {row.route: requests(row) for row in rows if not row.other}
    assert found["r1"] >= 2
    assert found[f"r{MOST + 5}"] >= 1
    assert sum(map(requests, rows)) == MOST + 16


def test_a_region_without_a_row_left_counts_on() -> None:
    shared = region(series=1)
    asking = Asking(routes(2), shared)
    asking.ask(b"/0")
    asking.ask(b"/1")
    (row,) = shared.series()
    assert (row.other, row.codes) == (True, [(200, 2)])
    assert shared.series_rows == (1, 1)


def test_the_next_process_of_a_slot_counts_on(tmp_path: Path) -> None:
    path = tmp_path / "region"
    shared = region(path=path)
    for _ in range(2):
        Asking(routes(2), shared).ask(b"/1")
    (row,) = (row for row in shared.series() if requests(row))
    assert (row.route, row.codes) == ("r1", [(200, 2)])
    # A process that was killed while it changed the row leaves it empty, and the next one can take it.
    content = path.read_bytes()
    at = content.index(b"r1", 4096) - 624
    with path.open("r+b") as file:
        file.seek(at + 16)
        file.write(struct.pack("<Q", 99))
    assert [row.route for row in shared.series() if requests(row)] == []
    Asking(routes(2), shared).ask(b"/1")
    (row,) = (row for row in shared.series() if requests(row))
    assert (row.route, row.codes) == ("r1", [(200, 1)])
    assert shared.series_rows[0] == 2


def test_long_labels_are_cut_and_told_apart() -> None:
    shared = region()
    long = [_core.Plan(b"r" * 64 + b"%d" % n, _core.Steps([]), upstream(), matched_uri=b"/" + b"u" * 200) for n in (1, 2)]
    asking = Asking(_core.Snapshot([(each, b"", b"/%d" % n) for n, each in enumerate(long)], {}, _core.Steps([])), shared)
    asking.ask(b"/0")
    asking.ask(b"/1")
    rows = [row for row in shared.series() if requests(row)]
    assert [(row.route, row.matched_uri) for row in rows] == [("r" * 64, "/" + "u" * 95)] * 2


def test_reasons_have_a_bound() -> None:
    shared = region()

    numbers = itertools.count()

    def refuse(conf: object, request: object) -> _core.Reply:
        return _core.Reply(403, b"", reason=f"own.reason-{next(numbers)}")

    asking = Asking(snapshot(_core.PythonStep("own", "access", refuse, None)), shared)
    for _ in range(140):
        asking.ask(b"/")
    found = shared.refusals()
    assert len(found) == 128
    assert found["other"] == 140 - 127


def test_a_reason_at_the_place_of_another_is_not_taken_for_it() -> None:
    shared = region()
    texts = itertools.cycle(["own.reason-a", "own.reason-b", "own.reason-" + "c" * 60])

    def refuse(conf: object, request: object) -> _core.Reply:
        return _core.Reply(403, b"", reason="".join(next(texts)))  # the memory of one is often that of the last one

    asking = Asking(snapshot(_core.PythonStep("own", "access", refuse, None)), shared)
    for _ in range(30):
        asking.ask(b"/")
    assert shared.refusals() == {"own.reason-a": 10, "own.reason-b": 10, "own.reason-" + "c" * 37: 10}


def test_live_cells_are_counted_without_touching_the_others() -> None:
    shared = region()
    assert shared.live_cells(0) == 0
    limiter = _core.Limiter(shared, "limit", count=5, window=60)
    for key in range(10):
        limiter.hit(b"k%d" % key)
    now = time.monotonic_ns() // 1_000_000
    assert shared.live_cells(now) == 10
    assert shared.live_cells(now + 61_000) == 0
