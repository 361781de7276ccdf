"""Runs of bytes of one kind: every byte, every length, both forms, and never a step beyond the end.

Owns: the scan room.
"""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw import _core

KINDS = {
    "text": rb"[\t\x20-\x7e\x80-\xff]*",
    "visible": rb"[\x21-\x7e]*",
    "open": rb"[\x20-\x21\x23-\x5b\x5d-\x7e]*",
    "plain": rb"[A-Za-z0-9-]*",
}
FORMS = pytest.mark.parametrize("portable", [False, True], ids=["fast", "portable"])


def expected(kind: str, data: bytes) -> tuple[int, bytes]:
    """The run by a regular expression, and what scan_plain keeps of it."""
    run = re.match(KINDS[kind], data).group()
    return len(run), run[:24].lower().ljust(24, b"\0") if kind == "plain" else bytes(24)


@FORMS
@pytest.mark.parametrize("kind", KINDS)
def test_every_byte_at_every_place(kind, portable):
    """Alone among good bytes, and with a bad one behind it that sixteen at a time might see first."""
    for at in (0, 1, 7, 12, 14, 15, 16, 17, 31, 32, 40):
        for byte in range(256):
            for behind in (b"b" * 18, b"b\0" + b"b" * 18):
                data = b"a" * at + bytes([byte]) + behind
                assert _core._test_scan(kind, data, portable) == expected(kind, data), data


@FORMS
@pytest.mark.parametrize("kind", KINDS)
def test_every_length(kind, portable):
    for size in range(70):
        for data in (b"Z" * size, b"Z" * size + b"\r\n", b"Z" * size + b"\x00" * 20):
            assert _core._test_scan(kind, data, portable) == expected(kind, data)


@FORMS
@given(data=st.binary(max_size=80), kind=st.sampled_from(sorted(KINDS)))
def test_as_the_expression(portable, data, kind):
    assert _core._test_scan(kind, data, portable) == expected(kind, data)


@FORMS
@given(name=st.text("abcXYZ019-", max_size=40), rest=st.binary(max_size=20))
def test_names_are_kept_in_lower_case(portable, name, rest):
    data = name.encode() + rest
    assert _core._test_scan("plain", data, portable) == expected("plain", data)


HOST = re.compile(rb"[A-Za-z0-9._-]*")


def host(data: bytes) -> tuple[bytes, bool]:
    """The run by an expression, and whether a dot has no label before it."""
    run = HOST.match(data).group()
    return run.lower(), b"." in run and b"" in run.split(b".")[:-1]


@FORMS
def test_hosts_of_every_length_and_their_dots(portable):
    for size in range(50):
        for behind in (b"", b":80", b"\r\n", b"\xc3" * 20):
            assert _core._test_scan_host(b"Z" * size + behind, portable) == (b"z" * size, False)
            for at in range(size):
                name = b"_" * at + b"." + b"9" * (size - at - 1)
                assert _core._test_scan_host(name + behind, portable) == host(name)
                twice = name[:at] + b".." + name[at + 1 :]
                assert _core._test_scan_host(twice + behind, portable) == (twice, True)


@FORMS
@pytest.mark.parametrize("at", [0, 1, 7, 8, 12, 15, 16, 17, 31, 32, 40])
def test_every_byte_of_a_host(portable, at):
    for byte in range(256):
        for behind in (b"", b"B" * 18):
            data = b"a" * at + bytes([byte]) + behind
            assert _core._test_scan_host(data, portable) == host(data), data


@FORMS
@given(data=st.one_of(st.binary(max_size=80), st.text("aZ09.-_:", max_size=80).map(str.encode)))
def test_hosts_as_the_expression(portable, data):
    assert _core._test_scan_host(data, portable) == host(data)
