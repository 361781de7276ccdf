"""How slowly a client may send a body or take an answer, by the core's own clock; and the deadline of an upstream's head."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from fastgw import _core
from tests.support.core import OK, snapshot, upstream

RATE = 100  # bytes per second: each earns 10 ms
BODY, SEND = 10, 20  # seconds
LIMITS = {"min_rate": RATE, "body_timeout": BODY, "send_timeout": SEND}
POST = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
CHUNKED = b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
UP = 1


class Talk:
    """A client's line 0, its upstream's line 1, a log, and a clock that stands but for `after`."""

    def __init__(self, directory: Path, request: bytes, **limits: float) -> None:
        self.wire = _core.Wire(snapshot(to=upstream(read=30, send=30)), limits={**LIMITS, **limits})
        self._path = directory / "log"
        self._log = os.open(self._path, os.O_WRONLY | os.O_CREAT)
        self.wire.access_log(self._log)
        self.client = self.wire.open()
        self.wire.push(self.client, request)

    def after(self, seconds: float) -> bool:
        """Whether the client is still there when so long has passed."""
        self.wire.advance(seconds)
        return self.wire.is_open(self.client) and not self.wire.finished(self.client)

    def lasts(self, most: int, step: float, piece: bytes) -> float:
        """Seconds until a client is cut that sends a piece each time `step` seconds have passed."""
        for turn in range(most):
            if not self.after(step):
                return (turn + 1) * step
            self.wire.push(self.client, piece)
            self.wire.pull(UP)
        return most * step

    def takes(self, most: int, step: float, n: int) -> float:
        """The same of one that takes n bytes each time."""
        for turn in range(most):
            if not self.after(step):
                return (turn + 1) * step
            self.wire.room(self.client, n)
            self.wire.pull(self.client)
        return most * step

    @property
    def refused(self) -> tuple[int, str | None]:
        """Status and reason of the only request."""
        self.wire.access_log(-1)
        os.close(self._log)
        (line,) = [json.loads(each) for each in self._path.read_text().splitlines()]
        return line["status"], line.get("refused")


# -- bodies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("request_", "piece"), [(POST, b"a"), (CHUNKED, b"1\r\na\r\n")])
def test_a_byte_just_before_each_timeout_does_not_help(directory: Path, request_: bytes, piece: bytes) -> None:
    talk = Talk(directory, request_)
    assert talk.lasts(10, BODY - 1, piece) == 2 * (BODY - 1)
    assert talk.refused == (408, "timeout.body")


def test_without_a_rate_it_does(directory: Path) -> None:
    talk = Talk(directory, POST, min_rate=0)
    assert talk.lasts(10, BODY - 1, b"a") == 10 * (BODY - 1)
    assert not talk.after(BODY + 1)


def test_half_the_rate_lasts_twice_the_timeout(directory: Path) -> None:
    assert talk_at(directory, RATE // 2) == pytest.approx(2 * BODY, abs=2)


def test_the_rate_lasts_for_ever(directory: Path) -> None:
    assert talk_at(directory, RATE) == 100


def talk_at(directory: Path, rate: int) -> float:
    return Talk(directory, POST).lasts(100, 1, b"a" * rate)


def test_what_was_sent_fast_buys_no_more_than_the_timeout(directory: Path) -> None:
    talk = Talk(directory, POST)
    talk.wire.push(talk.client, b"a" * 900_000)
    assert talk.after(BODY - 1)
    assert not talk.after(2)
    assert talk.refused == (408, "timeout.body")


def test_each_request_of_a_connection_begins_anew(directory: Path) -> None:
    talk = Talk(directory, POST.replace(b"1000000", b"2"))
    for _ in range(5):
        assert talk.after(BODY - 1)
        talk.wire.push(talk.client, b"ab")
        talk.wire.push(UP, OK)
        assert talk.wire.pull(talk.client).endswith(b"ok")
        talk.wire.push(talk.client, POST.replace(b"1000000", b"2"))


def test_the_clock_stands_while_the_upstream_does_not_read(directory: Path) -> None:
    talk = Talk(directory, POST)
    assert talk.after(BODY - 2)
    talk.wire.room(UP, 0)
    talk.wire.push(talk.client, b"a")
    assert talk.after(BODY), "it is the upstream that is waited for"
    talk.wire.room(UP, 1 << 30)
    assert talk.after(1)
    assert not talk.after(2), "what it had spent before is still spent"


def test_chunk_extensions_and_trailers_earn_nothing(directory: Path) -> None:
    talk = Talk(directory, CHUNKED + b"1")
    assert talk.lasts(10, 3, b";a=" + b"b" * 500) <= BODY + 3
    talk = Talk(directory, CHUNKED + b"0\r\n")
    assert talk.lasts(10, 3, b"x: " + b"b" * 500 + b"\r\n") <= BODY + 3


# -- answers ---------------------------------------------------------------------------------------


def answered(directory: Path, size: int = 500_000, **limits: float) -> Talk:
    """A client that has taken nothing of a long answer so far."""
    talk = Talk(directory, GET, **limits)
    talk.wire.room(talk.client, 0)
    talk.wire.push(UP, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"a" * size)
    return talk


def test_a_client_that_takes_nothing_is_cut(directory: Path) -> None:
    talk = answered(directory)
    assert talk.after(SEND - 1)
    assert not talk.after(2)
    assert talk.refused == (200, "timeout.send")


def test_taking_a_byte_just_before_each_timeout_does_not_help(directory: Path) -> None:
    talk = answered(directory)
    assert talk.takes(10, SEND - 1, 1) == 2 * (SEND - 1)
    assert talk.refused == (200, "timeout.send")


def test_without_a_rate_each_byte_taken_begins_anew(directory: Path) -> None:
    assert answered(directory, min_rate=0).takes(10, SEND - 1, 1) == 10 * (SEND - 1)


def test_taking_at_the_rate_lasts(directory: Path) -> None:
    assert answered(directory).takes(60, 1, RATE) == 60


def test_taking_at_half_the_rate_does_not(directory: Path) -> None:
    assert answered(directory).takes(100, 1, RATE // 2) == pytest.approx(2 * SEND, abs=2)


def test_an_answer_of_the_gateway_itself_is_no_exception(directory: Path) -> None:
    talk = Talk(directory, b"")
    talk.wire.room(talk.client, 0)
    talk.wire.push(talk.client, GET.replace(b" /a ", b" /%zz "))
    assert talk.after(SEND - 1)
    assert not talk.after(2)


def test_pauses_of_the_upstream_cost_the_client_nothing(directory: Path) -> None:
    talk = Talk(directory, GET)
    talk.wire.push(UP, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
    for _ in range(8):
        assert talk.after(SEND + 1)
        talk.wire.push(UP, b"a")
    talk.wire.push(UP, b"aa")
    assert talk.wire.pull(talk.client).endswith(b"a" * 10)
    assert talk.refused == (200, None)


def test_a_client_that_sends_a_body_and_takes_no_answer_is_cut(directory: Path) -> None:
    """Bytes of the body do not stand for bytes of the answer."""
    talk = Talk(directory, POST)
    talk.wire.room(talk.client, 0)
    talk.wire.push(UP, b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"a" * 100_000)
    assert talk.lasts(100, 1, b"a" * 10_000) == pytest.approx(SEND, abs=2)
    assert talk.refused == (200, "timeout.send")


# -- an upstream's head ----------------------------------------------------------------------------


def test_dripping_bytes_do_not_move_the_deadline_of_an_answers_head(directory: Path) -> None:
    talk = Talk(directory, GET)
    for byte in b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100:
        talk.wire.push(UP, bytes([byte]))
        talk.wire.advance(1)
        if not talk.wire.is_open(UP):
            break
    assert talk.wire.pull(talk.client).startswith(b"HTTP/1.1 504 ")
    assert talk.refused == (504, "upstream.timeout")


def test_each_informational_answer_begins_the_wait_anew(directory: Path) -> None:
    talk = Talk(directory, GET)
    for _ in range(4):
        talk.wire.advance(29)
        talk.wire.push(UP, b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 2")
        talk.wire.advance(29)
        talk.wire.push(UP, b"00 OK\r\nContent-Length: 2\r\n\r\nok")
        assert talk.wire.pull(talk.client).endswith(b"ok")
        talk.wire.push(talk.client, GET)
