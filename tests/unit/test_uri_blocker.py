"""uri-blocker's step: which texts of a URI are judged, what a search that fails leads to."""

import re

from hypothesis import given
from hypothesis import strategies as st

from fastgw import _core
from tests.support.core import ask, snapshot

BODY = b'{"error_msg":"no"}\n'


def judged(target: bytes) -> list[bytes]:
    """The texts that were searched."""
    seen: list[bytes] = []
    step = _core.UriBlockerStep(seen.append, body=BODY)
    sent, _ = ask(snapshot(step), b"GET " + target + b" HTTP/1.1\r\nHost: h\r\n\r\n")
    assert sent
    return seen


def test_the_normal_form_and_what_its_escapes_stand_for() -> None:
    assert judged(b"/a") == [b"/a"]
    assert judged(b"//a/./b/../%63?x=1") == [b"/a/c?x=1"]
    assert judged(b"/a%2Fb?c=%20d") == [b"/a%2Fb?c=%20d", b"/a/b?c= d"]
    assert judged(b"/?a+b") == [b"/?a+b", b"/?a b"]
    assert judged(b"/?%") == [b"/?%", b"/?%"]
    assert judged(b"/?%00%ff") == [b"/?%00%ff", b"/?\0\xff"]


@given(st.lists(st.sampled_from([b"a", b"/", b".", b"%41", b"%2F", b"%", b"+", b"?", b"&"]), max_size=40))
def test_a_rule_sees_every_text(parts: list[bytes]) -> None:
    target = b"/" + b"".join(parts)
    blocked = _core.UriBlockerStep(re.compile(b"^/").search, status=451, body=BODY)
    sent, got = ask(snapshot(blocked), b"GET " + target + b" HTTP/1.1\r\nHost: h\r\n\r\n")
    assert not sent
    assert got[9:12] in (b"451", b"400")  # a path that has no normal form
    assert got[9:12] == b"400" or got.endswith(BODY)


def test_what_cannot_be_judged_is_blocked() -> None:
    def fails(text: bytes) -> object:
        raise MemoryError

    sent, got = ask(snapshot(_core.UriBlockerStep(fails, body=BODY)), b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert (sent, got[9:12]) == (b"", b"403")
