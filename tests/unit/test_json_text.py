"""JSON strings: every escape, every UTF-8 boundary, and what strings mean, against the standard library.

Owns: the json_text room, seen through a document of one member. Must not know tokens.
"""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw import _core


def read(text: bytes) -> bytes | None:
    """What the string spelled by text (without its quotes) means, in UTF-8; None when refused."""
    fault, found = _core._test_json_scan(b'{"s":"' + text + b'"}', [b"s"])
    return found[0][1] if fault == "ok" else None


def oracle(text: bytes) -> bytes | None:
    try:
        meant = json.loads('"' + text.decode() + '"').encode()
    except ValueError:
        return None
    return meant if isinstance(meant, bytes) else None


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (rb"\"\\\/\b\f\n\r\t", b'"\\/\b\f\n\r\t'),
        (rb"\u0000", b"\0"),
        (rb"\u007f\u0080", b"\x7f\xc2\x80"),
        (rb"\u07ff\u0800", b"\xdf\xbf\xe0\xa0\x80"),
        (rb"\ud7ff\ue000\uffff", b"\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf"),
        (rb"\ud800\udc00", b"\xf0\x90\x80\x80"),
        (rb"\uDBFF\uDFFF", b"\xf4\x8f\xbf\xbf"),
        (rb"\u00E9\u00e9", "éé".encode()),
        (b"\x7f", b"\x7f"),
    ],
)
def test_escapes_mean_what_the_standard_says(text: bytes, meant: bytes) -> None:
    assert read(text) == meant


@pytest.mark.parametrize(
    "text",
    [
        rb"\x41", rb"\'", rb"\U0041", rb"\u", rb"\u0", rb"\u00", rb"\u004", rb"\u004g", rb"\u+041",
        rb"\u 041", rb"\a", rb"\0", b"\\\n", rb"\ud800", rb"\udc00", rb"\ud800x", rb"\ud800\n",
        rb"\ud800\u0041", rb"\ud800\ud800", rb"\udc00\ud800", rb"\ud800\udc0", rb"\ud800\u",
        rb"\ud800\\udc00", b"\n", b"\t", b"\0", b"\x1f",
    ],
)  # fmt: skip
def test_escapes_and_control_bytes_that_are_refused(text: bytes) -> None:
    assert read(text) is None


@pytest.mark.parametrize("before", [b"", b"sevenis", b"longer than a word"])
def test_every_sequence_of_two_bytes_is_judged_as_utf8(before: bytes) -> None:
    for lead in range(0x20, 0x100):
        for second in (0x20, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF):
            for rest in (b"", b"\x80", b"\x80\x80", b"\x80\x7f", b"\x7f"):
                text = before + bytes([lead, second]) + rest
                assert read(text) == oracle(text), text


@given(st.lists(st.sampled_from([*b'aZ0 \\\\\\uuuddcD8e/"n\x7f\x80\xbf\xc3\xa9\xed\xa0\xf0\x9f\x1f']), max_size=24).map(bytes))
def test_any_bytes_are_judged_as_the_oracle_does(text: bytes) -> None:
    if b'"' in text.replace(b'\\"', b""):
        return
    assert read(text) == oracle(text)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), st.booleans())
def test_any_text_comes_back(text: str, ascii_only: bool) -> None:
    assert read(json.dumps(text, ensure_ascii=ascii_only)[1:-1].encode()) == text.encode()


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), st.data())
def test_a_name_is_found_however_it_is_written(name: str, data: st.DataObject) -> None:
    spelling = "".join(
        json.dumps(character, ensure_ascii=data.draw(st.booleans()))[1:-1]
        if data.draw(st.booleans())
        else "".join(f"\\u{unit:04x}" for unit in memoryview(character.encode("utf-16-le")).cast("H"))
        for character in name
    )
    fault, found = _core._test_json_scan(f'{{"{spelling}":1}}'.encode(), [name.encode()])
    assert (fault, found) == ("ok", [("number", b"1", 1)])
    fault, _ = _core._test_json_scan(f'{{"{spelling}":1,{json.dumps(name)}:2}}'.encode(), [])
    assert fault == "duplicate"
