"""cors' steps: who is told what, what an upstream or an earlier step said, and what is answered to OPTIONS."""

import re

import pytest

from fastgw import _core
from tests.support.core import OK, ask, chain, snapshot

GET = b"GET / HTTP/1.1\r\nHost: h\r\n"
METHODS = [("Access-Control-Allow-Methods", "GET")]


def talk(step: _core.Step, *fields: bytes, answer: bytes = OK, first: _core.Steps | None = None) -> bytes:
    """The answer's head."""
    request = b"\r\n".join([b"GET / HTTP/1.1", b"Host: h", *fields, b"", b""])
    return ask(snapshot(step, first=first), request, answer)[1].partition(b"\r\n\r\n")[0]


def values(head: bytes, name: bytes) -> list[bytes]:
    return re.findall(rb"(?im)^%b: *(.*?)\r?$" % re.escape(name), head)


def origin(*names: str) -> _core.Origins:
    return _core.Origins(names)


@pytest.mark.parametrize(
    ("names", "sent", "told"),
    [
        (["*"], [], [b"*"]),
        (["*"], [b"Origin: http://a"], [b"*"]),
        (["**"], [], [b"*"]),
        (["**"], [b"Origin: http://a"], [b"http://a"]),
        (["**"], [b"Origin: http://a", b"origin: http://b"], [b"*"]),
        (["http://a"], [b"Origin: http://a"], [b"http://a"]),
        (["http://a"], [b"Origin: http://b"], []),
        (["http://a"], [b"Origin: http://ab"], []),
        (["http://a"], [b"Origin:"], []),
        (["http://a"], [], []),
        (["http://a", "http://b"], [b"origin:   http://b  "], [b"http://b"]),
        (["http://a", "http://b"], [b"Origin: http://a", b"Origin: http://b"], []),
        (["http://a", "http://b"], [b"Origin: http://a,http://b"], []),
        (["null"], [b"Origin: null"], [b"null"]),
    ],
)
def test_who_may_read(names: list[str], sent: list[bytes], told: list[bytes]) -> None:
    head = talk(_core.CorsStep(origin(*names), METHODS), *sent)
    assert values(head, b"Access-Control-Allow-Origin") == told
    assert values(head, b"Access-Control-Allow-Methods") == [b"GET"] * len(told)
    assert values(head, b"Vary") == ([] if names == ["*"] else [b"Origin"])


def test_many_origins_are_told_apart() -> None:
    names = [f"http://{'x' * (i % 7)}{i}.test" for i in range(1000)]
    step = _core.CorsStep(origin(*names), METHODS)
    for name in (names[0], names[500], names[999]):
        assert values(talk(step, b"Origin: " + name.encode()), b"Access-Control-Allow-Origin") == [name.encode()]
        assert values(talk(step, b"Origin: " + name.encode() + b"x"), b"Access-Control-Allow-Origin") == []


def test_a_search_decides_and_others_are_asked_where_it_knows_nobody() -> None:
    search = re.compile(rb"\.test$").search
    step = _core.CorsStep(_core.Origins((), search), METHODS, others=origin("http://b.other", "http://c.other"))
    for sent, told in ((b"http://a.test", 1), (b"http://b.other", 1), (b"http://d.other", 0), (b"http://a.test.evil", 0)):
        assert values(talk(step, b"Origin: " + sent), b"Access-Control-Allow-Origin") == [sent] * told
    assert values(talk(_core.CorsStep(origin("http://a"), METHODS, others=origin("**"))), b"Access-Control-Allow-Origin") == []


def test_a_search_that_fails_admits_nobody() -> None:
    def broken(text: bytes) -> None:
        raise RuntimeError

    step = _core.CorsStep(_core.Origins((), broken), METHODS)
    assert values(talk(step, b"Origin: http://a"), b"Access-Control-Allow-Origin") == []


def test_who_may_see_times_is_another_question() -> None:
    step = _core.CorsStep(origin("*"), METHODS, timing=origin("http://t"))
    told = talk(step, b"Origin: http://t")
    assert (values(told, b"Timing-Allow-Origin"), values(told, b"Vary")) == ([b"http://t"], [b"Origin"])
    other = talk(step, b"Origin: http://u")
    assert (values(other, b"Timing-Allow-Origin"), values(other, b"Access-Control-Allow-Origin")) == ([], [b"*"])
    assert values(talk(_core.CorsStep(origin("*"), METHODS, timing=origin("*"))), b"Timing-Allow-Origin") == [b"*"]


def test_what_the_upstream_says_is_replaced_and_its_vary_kept() -> None:
    theirs = (
        b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: http://theirs\r\nvary: Accept, Cookie\r\n"
        b"ACCESS-CONTROL-ALLOW-METHODS: PUT\r\nVary: X\r\nContent-Length: 0\r\n\r\n"
    )
    step = _core.CorsStep(origin("http://a"), METHODS)
    head = talk(step, b"Origin: http://a", answer=theirs)
    assert values(head, b"Access-Control-Allow-Origin") == [b"http://a"]
    assert values(head, b"Access-Control-Allow-Methods") == [b"GET"]
    assert values(head, b"Vary") == [b"Accept, Cookie", b"X", b"Origin"]
    assert values(talk(step, answer=theirs), b"Access-Control-Allow-Origin") == [b"http://theirs"]


@pytest.mark.parametrize("vary", [b"origin", b"Accept,  ORIGIN ", b"*", b"x\r\nVary: Origin"])
def test_vary_says_it_once(vary: bytes) -> None:
    answer = b"HTTP/1.1 200 OK\r\nVary: " + vary + b"\r\nContent-Length: 0\r\n\r\n"
    head = talk(_core.CorsStep(origin("http://a"), METHODS), answer=answer)
    assert b"\r\n".join(b"Vary: " + each for each in values(head, b"Vary")) == b"Vary: " + vary.rstrip()


def test_of_two_steps_the_later_one_speaks() -> None:
    both = talk(
        _core.CorsStep(origin("http://a"), METHODS, timing=origin("http://a")),
        b"Origin: http://a",
        first=chain(_core.CorsStep(origin("*"), [("Access-Control-Max-Age", "9"), *METHODS], timing=origin("*"))),
    )
    assert values(both, b"Access-Control-Allow-Origin") == values(both, b"Timing-Allow-Origin") == [b"http://a"]
    assert values(both, b"Access-Control-Allow-Methods") == [b"GET"]
    assert values(both, b"Access-Control-Max-Age") == []
    assert values(both, b"Vary") == [b"Origin"]


def test_headers_that_are_asked_for_are_allowed() -> None:
    step = _core.CorsStep(origin("*"), METHODS, echo_headers=True)
    assert values(talk(step, b"Access-Control-Request-Headers: x, y"), b"Access-Control-Allow-Headers") == [b"x, y"]
    assert values(talk(step), b"Access-Control-Allow-Headers") == []


@pytest.mark.parametrize(
    ("line", "sent", "status"),
    [(b"OPTIONS /a", b"", b"200"), (b"OPTIONS *", b"", b"200"), (b"GET /a", b"GET", b"200"), (b"HEAD /a", b"HEAD", b"200")],
)
def test_options_is_answered_before_anybody_asks_who_sends_it(line: bytes, sent: bytes, status: bytes) -> None:
    snap = snapshot(_core.PreflightStep(), *([] if sent else [_core.KeyAuthStep()]), _core.CorsStep(origin("*"), METHODS))
    seen, got = ask(snap, line + b" HTTP/1.1\r\nHost: h\r\n\r\n", OK if sent != b"HEAD" else OK[:-2])
    assert (seen[: len(sent)], got[9:12]) == (sent, status)
    if line == b"OPTIONS /a":
        assert values(got, b"Access-Control-Allow-Origin") == [b"*"]
        assert values(got, b"Content-Length") == [b"0"]
    if line == b"OPTIONS *":  # asks the gateway itself
        assert values(got, b"Allow")


@pytest.mark.parametrize("pair", [("a b", "x"), ("a", "x\r\ny"), ("", "x"), ("a", "\0"), ("a:", "x")])
def test_lines_that_could_end_early_are_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="control bytes"):
        _core.header_block([("x-fine", "y"), pair])
