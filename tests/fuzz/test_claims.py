"""The claims of `exchange` can fail: each is shown the record of a good script with one thing in it that must not be."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.fuzz import exchange
from tests.fuzz.play import SEPARATOR, Line, Play

REQUEST = b"s%s HTTP/1.1\r\nHost: x\r\n%s\r\n"
ANSWER = b"SHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n%s"
MORE = b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"
STEPS = [
    REQUEST % (b"GET /open/one", b""),
    ANSWER % b"one",
    REQUEST % (b"GET /auth/two", b"Authorization: Bearer $TOKEN\r\n"),
    ANSWER % b"two",
    REQUEST % (b"GET /none", b""),
    REQUEST % (b"POST /tag/three", b"Content-Length: 4\r\n") + b"body",
    ANSWER % b"3rd",
    REQUEST % (b"GET /rewrite/x/five", b""),
    ANSWER % b"5th",
    REQUEST % (b"GET /peer/six", b"X-Client: 192.0.2.77\r\n"),
    ANSWER % b"6th",
    REQUEST % (b"GET /cache/seven", b""),
    ANSWER % b"7th",
    REQUEST % (b"GET /cache/seven", b""),
    REQUEST % (b"GET /echo/eight", b""),
    ANSWER % b"8th",
    REQUEST % (b"GET /cors/nine", b"Origin: http://a.example\r\n"),
    ANSWER % b"9th",
    REQUEST % (b"GET /redirect/ten", b""),
    REQUEST % (b"GET /filters/eleven", b""),
    ANSWER % b"n11",
    b"n",
    REQUEST % (b"POST /open/four", b"Content-Length: 4\r\n") + b"more",
    ANSWER % b"4th",
    b"sGET /open/bad HTTP/1.1\r\n\r\n",
]


def played(tamper: Callable[[Play], None]) -> None:
    play = Play(SEPARATOR.join(STEPS))
    free, over = play.played()
    tamper(play)
    exchange.judge(play, free, over)


def test_a_good_record_is_believed() -> None:
    played(lambda play: None)


def with_(play: Play, side: str, text: bytes) -> Line:
    """The line that got this text from the core."""
    return next(line for line in play.lines if line.side == side and text in line.got)


def change(side: str, old: bytes, new: bytes) -> Callable[[Play], None]:
    """As if the core had sent something else."""

    def tamper(play: Play) -> None:
        line = with_(play, side, old)
        at, more = line.got.index(old), len(new) - len(old)
        line.got[at : at + len(old)] = new
        line.got_at = [(size + more if size > at else size, step) for size, step in line.got_at]

    return tamper


def again(text: bytes) -> Callable[[Play], None]:
    """As if a request had gone upstream once more, behind itself."""

    def tamper(play: Play) -> None:
        line = with_(play, "up", text)
        end = line.got.index(b"\r\n\r\n", line.got.index(text)) + 8
        begin = line.got.rindex(b"POST", 0, end)
        change("up", bytes(line.got[begin:end]), bytes(line.got[begin:end]) * 2)(play)

    return tamper


def withheld(play: Play) -> None:
    """As if the newest client had never been answered."""
    line = play.lines[play.clients[-1]]
    del line.got[:]
    line.got_at = []


def behind_the_last(play: Play) -> None:
    """As if the newest client had been answered once more, behind the answer that ends its connection."""
    line = play.lines[play.clients[-1]]
    line.got += MORE
    line.got_at.append((len(line.got), line.got_at[-1][1]))


def spoken_before(play: Play) -> None:
    """As if the upstream had answered the request behind the one that it was asked."""
    line = next(line for line in play.lines if line.side == "up" and line.sent.count(b"HTTP/1.1") > 1)
    first = line.sent_at[0][1]
    line.sent_at = [(size, first) for size, _ in line.sent_at]


def left_open(play: Play) -> None:
    play.lines[0].closed_at = None


FOUR = b"four HTTP/1.1\r\nHost: x\r\nX-Real-IP: 192.0.2."
ONE = b"Content-Length: 3\r\n\r\none"
USER = b"X-Consumer-Username: john\r\n"
TAMPERED = {
    "another target": (change("up", b"/open/one", b"/open/two"), "nobody asked"),
    "another body": (change("up", b"body", b"bodz"), "nobody asked"),
    "another's request": (change("up", FOUR + b"2", FOUR + b"1"), "nobody asked"),
    "another host": (change("up", b"one HTTP/1.1\r\nHost: x", b"one HTTP/1.1\r\nHost: y"), "nobody asked"),
    "a field of nobody's": (change("up", b"Host: x\r\n", b"Host: x\r\nX-A: b\r\n"), "is nobody's"),
    "a field of one hop": (change("up", b"Host: x\r\n", b"Host: x\r\nTE: b\r\n"), "made of none"),
    "an identity without a credential": (change("up", b"Host: x\r\n", b"Host: x\r\n" + USER), "made of none"),
    "no identity": (change("up", USER, b""), "made of none"),
    "a request twice": (again(b"/tag/three"), "once more"),
    "two framings": (change("up", b"Content-Length: 4\r\n", b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"), "framing"),
    "another's answer": (change("down", b"\r\n\r\none", b"\r\n\r\n4th"), "nobody said"),
    "answers in another order": (change("down", b"\r\n\r\none", b"\r\n\r\ntwo"), "nobody said"),
    "a cut answer that looks whole": (change("down", ONE, b"Content-Length: 2\r\n\r\non"), "nobody said"),
    "another's id": (change("down", b"X-Tag: ", b"X-Tag: 0"), "another request's id"),
    "a field of the upstream's hop": (change("down", ONE, b"Upgrade: x\r\n" + ONE), "Upgrade"),
    "an answer too many": (change("down", ONE, ONE + MORE), "nobody|not asked"),
    "an answer behind the last": (behind_the_last, "after the last"),
    "bytes before the question": (spoken_before, "nobody said"),
    "a path that was to be another": (change("up", b"/re/.x/five", b"/rewrite/x/five"), "nobody asked"),
    "an address that was to be another": (change("up", b"X-Real-IP: 192.0.2.77", b"X-Real-IP: 192.0.2.1"), "made of none"),
    "an address that nobody said": (change("up", b"X-Real-IP: 192.0.2.77", b"X-Real-IP: 192.0.2.78"), "made of none"),
    "a field of a step's": (change("up", b"X-Part: x", b"X-Part: y"), "made of none"),
    "what nobody has kept": (change("down", b"HIT\r\n\r\n7th", b"HIT\r\n\r\n8th"), "nobody said"),
    "a body without its end": (change("down", b"\r\n>>\r\n", b"\r\n>.\r\n"), "nobody said"),
    "a body as it came": (change("down", b"<1>1", b"n11."), "nobody said"),
    "a reader of another origin": (change("down", b"Origin: http://a.", b"Origin: http://b."), "http://b."),
    "another place to go to": (change("down", b"Location: /to/", b"Location: /at/"), "/at/ten"),
    "nothing for who waits": (withheld, "kept back|forgotten"),
    "a line that stays": (left_open, "never closed"),
}  # fmt: skip


@pytest.mark.parametrize("what", TAMPERED)
def test_what_must_not_be_is_found(what: str) -> None:
    tamper, said = TAMPERED[what]
    with pytest.raises((AssertionError, ValueError), match=said):
        played(tamper)
