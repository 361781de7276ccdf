"""base64url: one spelling per byte string, decoded alike by table and by sixteen characters at a time.

Owns: the b64url room. Must not know tokens.
"""

import base64
import binascii
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw import _core

ALPHABET = (string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_").encode()

portable_or_not = pytest.mark.parametrize("portable", [False, True], ids=["dispatched", "portable"])


def spell(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def oracle(text: bytes) -> bytes | None:
    """Canonical exactly when encoding what it decodes to gives it back."""
    if any(byte not in ALPHABET for byte in text):
        return None
    try:
        data = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except binascii.Error:
        return None
    return data if spell(data) == text else None


@portable_or_not
@pytest.mark.parametrize(
    ("text", "data"),
    [
        (b"", b""),
        (b"Zg", b"f"),
        (b"Zm8", b"fo"),
        (b"Zm9v", b"foo"),
        (b"Zm9vYg", b"foob"),
        (b"-_-_", b"\xfb\xff\xbf"),
    ],
)
def test_published_spellings(text: bytes, data: bytes, portable: bool) -> None:
    assert _core._test_b64url(text, portable=portable) == data


@portable_or_not
def test_every_length_comes_back(portable: bool) -> None:
    for length in range(200):
        data = bytes((91 * i + length) & 0xFF for i in range(length))
        assert _core._test_b64url(spell(data), portable=portable) == data, length


@portable_or_not
def test_every_byte_in_every_place_is_judged_as_the_alphabet_says(portable: bool) -> None:
    for place in range(40):
        for byte in range(256):
            text = b"A" * place + bytes([byte]) + b"A" * (39 - place)
            assert _core._test_b64url(text, portable=portable) == oracle(text), (place, byte)


@portable_or_not
@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 17, 18, 19, 33, 34, 35])
def test_every_ending_is_judged_as_the_oracle_does(length: int, portable: bool) -> None:
    for byte in range(256):
        text = b"A" * (length - 1) + bytes([byte])
        assert _core._test_b64url(text, portable=portable) == oracle(text), text


@pytest.mark.parametrize("text", [b"Zg==", b"Zm8=", b"Zm9v=", b"Zm 9v", b"Zm9v\n", b"Zm+/", b"Zh", b"Zm9", b"Z", b"Zm9v\0"])
def test_other_spellings_are_refused(text: bytes) -> None:
    assert _core._test_b64url(text) is None


@portable_or_not
def test_a_buffer_too_small_is_refused_and_one_byte_more_is_enough(portable: bool) -> None:
    for length in range(1, 100):
        text = spell(bytes(length))
        assert _core._test_b64url(text, length - 1, portable) is None
        assert _core._test_b64url(text, length, portable) == bytes(length)
        assert _core._test_b64url(text, length + 40, portable) == bytes(length)


@given(st.binary(max_size=400), st.integers(0, 100))
def test_any_bytes_come_back(data: bytes, more: int) -> None:
    assert _core._test_b64url(spell(data), len(data) + more) == data
    assert _core._test_b64url(spell(data), len(data) + more, True) == data


@given(st.lists(st.sampled_from([*ALPHABET, *b"=+/.\n\x00\xc3\xff"]), max_size=90).map(bytes))
def test_any_text_is_judged_as_the_oracle_does(text: bytes) -> None:
    assert _core._test_b64url(text) == oracle(text)
    assert _core._test_b64url(text, portable=True) == oracle(text)
