"""Query arguments: named as applications read them, decoded, taken out of a target."""

from urllib.parse import parse_qsl, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw import _core

NAMES = st.text("ab+ %=&é", min_size=1, max_size=3)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (b"key=a&z=1", (1, b"a", b"/?z=1")),
        (b"z=1&key=a", (1, b"a", b"/?z=1")),
        (b"z=1&key=a&y", (1, b"a", b"/?z=1&y")),
        (b"key=a", (1, b"a", b"/")),
        (b"key", (1, b"", b"/")),
        (b"key=", (1, b"", b"/")),
        (b"key=a=b", (1, b"a=b", b"/")),
        (b"%6bey=a&k%65Y=b&kE%79=c", (1, b"a", b"/?k%65Y=b&kE%79=c")),
        (b"key=a&%6Bey=b", (2, b"a", b"/")),
        (b"key=a&x&key=b&key=c", (3, b"a", b"/?x")),
        (b"key=a%20b+c%2B", (1, b"a b c+", b"/")),
        (b"key=%zz%4%", (1, b"%zz%4%", b"/")),
        (b"key=%00%ff", (1, b"\0\xff", b"/")),
        (b"keys=a&ke=b&Key=c&=key", (0, b"", b"")),
        (b"&&key=a&&", (1, b"a", b"/?&&")),
        (b"", (0, b"", b"")),
    ],
)
def test_an_argument_is_found_decoded_and_taken_out(query: bytes, found: tuple[int, bytes, bytes]) -> None:
    assert _core._test_args(query, b"key") == found


@given(st.lists(st.tuples(NAMES, NAMES), max_size=5), NAMES)
def test_it_reads_what_applications_read(pairs: list[tuple[str, str]], name: str) -> None:
    query = "&".join(f"{quote_plus(a)}={quote_plus(b)}" for a, b in pairs)
    mine = [b for a, b in pairs if a == name]
    count, value, target = _core._test_args(query.encode(), name.encode())
    assert (count, value.decode()) == (len(mine), mine[0] if mine else "")
    left = target.decode()[2:] if mine else query
    assert parse_qsl(left, keep_blank_values=True) == [pair for pair in pairs if pair[0] != name]


def test_two_plugins_that_hide_leave_neither_argument() -> None:
    from tests.support.core import TOKEN, ask, john, shown, snapshot

    steps = (_core.JwtAuthStep(hide_credentials=True), _core.KeyAuthStep(hide_credentials=True))
    snap = snapshot(*steps, credentials=(john(),), others={"key": [shown(b"kim", "key", b"kim-key")]})
    sent, _ = ask(snap, b"GET /a?x=1&jwt=%b&apikey=kim-key&y=2 HTTP/1.1\r\nHost: h\r\n\r\n" % TOKEN)
    assert sent.startswith(b"GET /a?x=1&y=2 HTTP/1.1\r\n")
