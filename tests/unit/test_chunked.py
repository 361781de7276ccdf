"""The chunked coding: lawful bodies, unlawful ones, bounds, and an oracle.

Owns: the chunked room.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgw import _core
from tests.oracle import chunked as oracle
from tests.support.pieces import every_way

MORE, DATA, END, BAD = range(4)


def decode(data: bytes, pieces: list[int]) -> tuple[bytes, int, int]:
    """Payload, bytes consumed, verdict; how far a bad body was read depends on where it was cut."""
    payload, consumed, verdict, _ = _core._test_chunked(data, pieces)
    return payload, consumed if verdict == END else -1, verdict


GOOD = [
    (b"0\r\n\r\n", b""),
    (b"000\r\n\r\n", b""),
    (b"0000000000000000\r\n\r\n", b""),
    (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    (b"0000000000000005\r\nhello\r\n0\r\n\r\n", b"hello"),
    (b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2),
    (b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n", b"abc"),
    (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n"),
    (b"7\r\n0\r\n\r\n\x00\xff\r\n0\r\n\r\n", b"0\r\n\r\n\x00\xff"),
    (b"1;a\r\nx\r\n0\r\n\r\n", b"x"),
    (b"1;a=b\r\nx\r\n0;c\r\n\r\n", b"x"),
    (b"1;a=b;c;d=e\r\nx\r\n0\r\n\r\n", b"x"),
    (b"1; a = b\r\nx\r\n0\r\n\r\n", b"x"),
    (b'1;a="b;c \\" \\\\ 5"\r\nx\r\n0\r\n\r\n', b"x"),
    (b'1;a=""\r\nx\r\n0\r\n\r\n', b"x"),
    (b'1;a="\xe9"\r\nx\r\n0\r\n\r\n', b"x"),
    (b"0\r\nA: b\r\n\r\n", b""),
    (b"1\r\nx\r\n0\r\nA: b\r\nContent-Length: 5\r\nX-Consumer-Username: root\r\n\r\n", b"x"),
    (b"0\r\nA:\r\nB: \t c \t\r\n\r\n", b""),
    (b"0\r\nA: \x80\xff\r\n\r\n", b""),
]
BAD_BODIES = [
    b"\r\n",
    b"\n",
    b" 5\r\nhello\r\n0\r\n\r\n",
    b"5 \r\nhello\r\n0\r\n\r\n",
    b"5\t\r\nhello\r\n0\r\n\r\n",
    b"5\nhello\n0\n\n",
    b"5\rhello\r0\r\r",
    b"5\r\rhello\r\n0\r\n\r\n",
    b"5\n\rhello\r\n0\r\n\r\n",
    b"5\r\nhello\n0\r\n\r\n",
    b"5\r\nhello\r0\r\n\r\n",
    b"5\r\nhello\r\r\n0\r\n\r\n",
    b"5\r\nhello0\r\n\r\n",
    b"5\r\nhellohello\r\n0\r\n\r\n",
    b"5\r\nhell\r\n0\r\n\r\n",
    b"+5\r\nhello\r\n0\r\n\r\n",
    b"-5\r\nhello\r\n0\r\n\r\n",
    b"-0\r\n\r\n",
    b"0x5\r\nhello\r\n0\r\n\r\n",
    b"5_0\r\nhello\r\n0\r\n\r\n",
    b"5,5\r\nhello\r\n0\r\n\r\n",
    b"5.\r\nhello\r\n0\r\n\r\n",
    b"g\r\nhello\r\n0\r\n\r\n",
    b"\xd9\xa5\r\nhello\r\n0\r\n\r\n",
    b"5\x00\r\nhello\r\n0\r\n\r\n",
    b"5\x0b\r\nhello\r\n0\r\n\r\n",
    b"00000000000000005\r\nhello\r\n0\r\n\r\n",
    b"8000000000000000\r\n",
    b"ffffffffffffffff\r\n",
    b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    b"1\r\nx\r\n7fffffffffffffff\r\n",
    b";a\r\n\r\n",
    b"1;\r\nx\r\n0\r\n\r\n",
    b"1; \r\nx\r\n0\r\n\r\n",
    b"1 ;a\r\nx\r\n0\r\n\r\n",
    b"1;a \r\nx\r\n0\r\n\r\n",
    b"1;a ;b\r\nx\r\n0\r\n\r\n",
    b"1;a=b \r\nx\r\n0\r\n\r\n",
    b"1;a=\r\nx\r\n0\r\n\r\n",
    b"1;=b\r\nx\r\n0\r\n\r\n",
    b"1;a==b\r\nx\r\n0\r\n\r\n",
    b"1;a b\r\nx\r\n0\r\n\r\n",
    b"1;a=b c\r\nx\r\n0\r\n\r\n",
    b"1;\ta\r\nx\r\n0\r\n\r\n",
    b"1;a\nx\r\n0\r\n\r\n",
    b"1;a\n\r\nx\r\n0\r\n\r\n",
    b"1;a\rx\r\n0\r\n\r\n",
    b"1;a\x00\r\nx\r\n0\r\n\r\n",
    b"1;\xe9\r\nx\r\n0\r\n\r\n",
    b'1;a="b\r\nx\r\n0\r\n\r\n',
    b'1;a="b\\\r\nx\r\n0\r\n\r\n',
    b'1;a="b\tc"\r\nx\r\n0\r\n\r\n',
    b'1;a="b"c\r\nx\r\n0\r\n\r\n',
    b'1;"a"\r\nx\r\n0\r\n\r\n',
    b"0\r\n\n",
    b"0\r\n\r\r",
    b"0\n\r\n",
    b"0\r\nA: b\n\r\n",
    b"0\r\nA: b\r\r\n\r\n",
    b"0\r\nA: b\rc\r\n\r\n",
    b"0\r\nA: b\r\n c\r\n\r\n",
    b"0\r\n A: b\r\n\r\n",
    b"0\r\nA : b\r\n\r\n",
    b"0\r\nA\t: b\r\n\r\n",
    b"0\r\nA\x85: b\r\n\r\n",
    b"0\r\n: b\r\n\r\n",
    b"0\r\nA\r\n\r\n",
    b"0\r\nA: b\x00\r\n\r\n",
    b"0\r\nA: b\x7f\r\n\r\n",
    b"0\r\nGET / HTTP/1.1\r\n\r\n",
]
UNFINISHED = [
    b"", b"5", b"5;", b"5\r", b"5\r\n", b"5\r\nhel", b"5\r\nhello\r", b"5\r\nhello\r\n", b"0\r\n", b"0\r\n\r",
    b"0\r\nA", b"0\r\nA: b\r\n", b"0\r\nA: b\r\n\r", b'1;a="b', b"7fffffffffffffff\r\nx",
]  # fmt: skip


@pytest.mark.parametrize(("data", "payload"), GOOD)
def test_good(data, payload):
    assert every_way(decode, data, trailing=True) == (payload, len(data), END)
    assert oracle.decode(data) == (payload, len(data))


@pytest.mark.parametrize("data", BAD_BODIES)
def test_bad(data):
    def verdict(data: bytes, pieces: list[int]) -> int:
        return decode(data, pieces)[2]

    assert every_way(verdict, data, trailing=True) == BAD
    assert oracle.decode(data) is None


@pytest.mark.parametrize("data", UNFINISHED)
def test_unfinished(data):
    assert every_way(decode, data, trailing=False)[2] == MORE


def test_nothing_is_read_behind_a_bad_byte():
    assert _core._test_chunked(b"1\r\nx!\r\n0\r\n\r\n", []) == (b"x", 5, BAD, 1)


def test_announced_before_the_payload_comes():
    assert _core._test_chunked(b"3\r\nabc\r\n2540BE400;", [])[3] == 3 + 10_000_000_000
    assert _core._test_chunked(b"7fffffffffffffff\r", [])[3] == 2**63 - 1


def test_extensions_are_bounded_over_the_whole_message():
    body = b"1;abc\r\nx\r\n" * 10 + b"0\r\n\r\n"
    assert _core._test_chunked(body, [], max_ext=40)[2] == END
    assert _core._test_chunked(body, [], max_ext=39)[2] == BAD
    assert _core._test_chunked(b"0;a\r\n\r\n", [], max_ext=0)[2] == BAD


def test_trailers_are_bounded():
    body = b"0\r\nA: b\r\nC: d\r\n\r\n"
    assert _core._test_chunked(body, [], max_trailer=12)[2] == END
    assert _core._test_chunked(body, [], max_trailer=11)[2] == BAD


TOKENS = st.text("abcXYZ019!#-_", min_size=1, max_size=6).map(str.encode)
EXTENSIONS = st.lists(st.tuples(TOKENS, st.none() | TOKENS | st.just(b'"a\\"b;"')), max_size=2).map(
    lambda pairs: b"".join(b";" + name + (b"=" + value if value else b"") for name, value in pairs)
)
CHUNKS = st.lists(st.tuples(st.binary(min_size=1, max_size=40), EXTENSIONS), max_size=6)
TRAILERS = st.lists(st.tuples(TOKENS, TOKENS), max_size=3).map(
    lambda fields: b"".join(name + b": " + value + b"\r\n" for name, value in fields)
)
PIECES = st.lists(st.integers(1, 30), max_size=12)


@settings(deadline=None)
@given(CHUNKS, TRAILERS, PIECES)
def test_round_trip(chunks, trailers, pieces):
    coded = b"".join(b"%x%b\r\n%b\r\n" % (len(data), ext, data) for data, ext in chunks)
    coded += b"0\r\n" + trailers + b"\r\n"
    payload = b"".join(data for data, _ in chunks)
    assert _core._test_chunked(coded + b"next", pieces) == (payload, len(coded), END, len(payload))


NASTY = st.sampled_from(
    [b"0", b"1", b"2", b"a", b"F", b"\r\n", b"\r", b"\n", b";", b"=", b'"', b"\\", b" ", b"\t", b":", b"x", b"\x00",
     b"\xe9", b"0\r\n\r\n", b"1\r\nx\r\n", b";a=b", b"A: b\r\n"]
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(NASTY, max_size=14).map(b"".join), PIECES)
def test_as_the_oracle(data, pieces):
    expected = oracle.decode(data)
    payload, consumed, verdict, _ = _core._test_chunked(data, pieces)
    assert (verdict == END) == (expected is not None)
    if expected is not None:
        assert (payload, consumed) == expected
