"""The JSON scanner: verdicts on whole documents, compared both ways with the standard library made strict.

Owns: the json room. Must not know tokens. The oracle accepts what RFC 8259 and our bounds allow, no more.
"""

import json
import math
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgw import _core

MAX_DEPTH, MAX_OPEN, MAX_NUMBER = 32, 256, 1024
KINDS = {dict: "object", list: "array", str: "string", int: "number", float: "number", type(None): "null"}


def refuse(text: str) -> Any:
    raise ValueError(text)


def strict_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("duplicate")
    return dict(pairs)


def depth_of(value: Any) -> int:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return 1 + max(map(depth_of, inner), default=0)
    return 0


def oracle(doc: bytes) -> dict[str, Any] | None:
    """The document's value by the standard library made strict, or None."""
    try:
        value = json.loads(doc.decode(), object_pairs_hook=strict_object, parse_constant=refuse)
        json.dumps(value, ensure_ascii=False).encode()  # lone surrogates fail here
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and depth_of(value) <= MAX_DEPTH else None


def check_against_oracle(doc: bytes) -> None:
    expected = oracle(doc)
    names = list(expected or {})[:16]
    fault, found = _core._test_json_scan(doc, [name.encode() for name in names])
    assert (fault == "ok") == (expected is not None), (fault, doc)
    for name, (kind, text, ceiling) in zip(names, found, strict=True):
        assert expected is not None
        check_value(expected[name], kind, text, ceiling)
    if fault == "ok" and not any(isinstance(v, float) and math.isinf(v) for v in numbers_of(expected)):
        msgspec.json.decode(doc)


def numbers_of(value: Any) -> list[Any]:
    if isinstance(value, dict | list):
        return [n for v in (value.values() if isinstance(value, dict) else value) for n in numbers_of(v)]
    return [value]


def check_value(value: Any, kind: str, text: bytes, ceiling: int | None) -> None:
    if isinstance(value, bool):
        assert kind == str(value).lower()
        return
    assert kind == KINDS[type(value)]
    if kind == "string":
        assert text == value.encode()
        return
    assert json.loads(text) == value
    if kind == "number":
        exact = exact_number(text)
        assert ceiling == (math.ceil(exact) if exact is not None and abs(exact) <= 2**53 else None)


def exact_number(text: bytes) -> Fraction | None:
    """The number without rounding; None when its exponent is absurd (Fraction would build the integer)."""
    mantissa, _, exponent = text.decode().lower().partition("e")
    if abs(int(exponent or 0)) > 2000:
        if Fraction(mantissa) == 0:
            return Fraction(0)
        return None if int(exponent) > 0 else Fraction(1 if Fraction(mantissa) > 0 else -1, 10**9)
    return Fraction(text.decode())


REFUSED = [
    (b"", "not_object"), (b" ", "not_object"), (b"[]", "not_object"), (b"1", "not_object"),
    (b'"a"', "not_object"), (b"null", "not_object"), (b"\xef\xbb\xbf{}", "not_object"),
    (b"\x00{}", "not_object"), (b"\x0c{}", "not_object"), (b"{", "syntax"), (b"}", "not_object"),
    (b"{}}", "trailing"), (b"{}\0", "trailing"), (b"{} x", "trailing"), (b"{}{}", "trailing"),
    (b"{}//", "trailing"), (b'{"a"}', "syntax"), (b'{"a":}', "syntax"), (b'{"a":1,}', "syntax"),
    (b'{,"a":1}', "syntax"), (b'{"a":1 "b":2}', "syntax"), (b'{"a":1]', "syntax"), (b'{"a":[1}', "syntax"),
    (b'{"a":[1,]}', "syntax"), (b'{"a":[,1]}', "syntax"), (b'{"a":[1 2]}', "syntax"), (b'{"a"=1}', "syntax"),
    (b"{a:1}", "syntax"), (b"{'a':1}", "syntax"), (b"{1:1}", "syntax"), (b'{"a":1', "syntax"),
    (b'{"a":', "syntax"), (b'{"a"', "syntax"), (b'{"a', "bad_string"), (b'{"', "bad_string"),
    (b'{"a\\', "bad_string"), (b'{"a":"', "bad_string"), (b'{"a":tru}', "syntax"), (b'{"a":tru', "syntax"),
    (b'{"a":True}', "syntax"), (b'{"a":nul', "syntax"), (b'{"a":falsey}', "syntax"), (b'{"a":NaN}', "syntax"),
    (b'{"a":Infinity}', "syntax"), (b'{"a":-Infinity}', "bad_number"), (b'{"a":-}', "bad_number"),
    (b'{"a":+1}', "syntax"), (b'{"a":.5}', "syntax"), (b'{"a":01}', "bad_number"),
    (b'{"a":-01}', "bad_number"), (b'{"a":00}', "bad_number"), (b'{"a":1.}', "bad_number"),
    (b'{"a":1.e1}', "bad_number"), (b'{"a":1e}', "bad_number"), (b'{"a":1e+}', "bad_number"),
    (b'{"a":1e1.5}', "syntax"), (b'{"a":0x1}', "syntax"), (b'{"a":1_0}', "syntax"), (b'{"a":1', "syntax"),
    (b'{"a":1e', "bad_number"), (b'{"a":"\xff"}', "bad_string"), (b'{"\xff":1}', "bad_string"),
    (b'{"a":1,"a":1}', "duplicate"), (rb'{"a":1,"\u0061":1}', "duplicate"),
    (rb'{"\u0061":1,"\u0061":1}', "duplicate"), (b'{"":1,"":2}', "duplicate"),
    (b'{"x":{"a":1,"a":2}}', "duplicate"), (rb'{"x":[{"\/":1},{"/":1,"\/":2}]}', "duplicate"),
    (rb'{"\u00e9":1,"' + "é".encode() + b'":1}', "duplicate"),
    (rb'{"\ud83d\ude00":1,"' + "😀".encode() + b'":1}', "duplicate"),
    (b'{"a":' + b"[" * 32 + b"]" * 32 + b"}", "too_deep"), (b'{"a":' * 33 + b"1" + b"}" * 33, "too_deep"),
    (b'{"a":' + b"[" * 100_000, "too_deep"), (b'{"a":' * 100_000, "too_deep"),
    (b'{"a":1' + b"0" * 1024 + b"}", "bad_number"), (b'{"a":-0.' + b"0" * 5000 + b"}", "bad_number"),
]  # fmt: skip


@pytest.mark.parametrize(("doc", "fault"), REFUSED)
def test_refused_documents_and_their_fault(doc: bytes, fault: str) -> None:
    assert _core._test_json_scan(doc, [b"a"]) == (fault, [])


@pytest.mark.parametrize(
    "doc",
    [
        b"{}", b" \t\r\n{ \t\r\n} \t\r\n", b'{"a":1}', b'{ "a" : [ 1 , { } , [ ] ] , "b" : null }',
        b'{"a":{"a":{"a":1}}}', b'{"x":[{"a":1},{"a":2}],"a":3}', b'{"a":-0}', b'{"a":0.0e-0}',
        b'{"a":1E+2,"b":1e400,"c":true,"d":false}', b'{"a":' + b"[" * 31 + b"]" * 31 + b"}",
        b'{"a":' * 32 + b"1" + b"}" * 32, b'{"a":1' + b"0" * 1023 + b"}",
        rb'{"a":1,"a\u0000":2,"\u0000a":3,"":4}',
    ],
)  # fmt: skip
def test_accepted_documents(doc: bytes) -> None:
    assert oracle(doc) is not None
    check_against_oracle(doc)


def test_every_prefix_of_a_document_is_refused() -> None:
    doc = rb'{"key":"j\u00e9\ud83d\ude00 \n","exp":-12.5e+3,"l":[true,false,null,{"a":[]}],"u":"' + "é😀".encode() + b'"}'
    assert _core._test_json_scan(doc, [])[0] == "ok"
    for length in range(len(doc)):
        assert _core._test_json_scan(doc[:length], [b"key", b"exp"])[0] != "ok", doc[:length]


def test_as_many_names_as_may_be_open_and_one_more() -> None:
    def doc(count: int) -> bytes:
        return json.dumps({f"claim{i}": i for i in range(count)}).encode()

    fault, found = _core._test_json_scan(doc(MAX_OPEN), [b"claim0", b"claim255", b"claim256"])
    assert fault == "ok"
    assert [ceiling for _, _, ceiling in found] == [0, 255, None]
    assert _core._test_json_scan(doc(MAX_OPEN + 1), []) == ("crowded", [])
    beside = json.dumps({str(i): {f"{i}.{k}": k for k in range(50)} for i in range(60)}).encode()
    assert _core._test_json_scan(beside, [])[0] == "ok"  # a closed object gives its room back


def test_names_made_to_share_a_hash_are_refused_before_they_cost_much() -> None:
    # The hash takes a name's last one to three bytes as one word: trailing zero bytes change nothing in it.
    clashing = [b"abcde", b"abcde\\u0000", b"abcde\\u0000\\u0000"]
    doc = b"{" + b",".join(b'"%s":1' % name for name in clashing) + b"}"
    assert _core._test_json_scan(doc, clashing[:1])[0] == "ok"  # a few prove nothing
    many = [name.replace(b"a", b"%c" % first) for first in b"fghij" for name in clashing]
    assert _core._test_json_scan(b"{" + b",".join(b'"%s":1' % n for n in many) + b"}", [])[0] == "crowded"


@pytest.mark.parametrize(
    ("number", "ceiling"),
    [
        (b"0", 0), (b"-0", 0), (b"-0.9", 0), (b"0.1", 1), (b"1.0000000000000000000001", 2),
        (b"1700000000.5", 1700000001), (b"-1.5", -1), (b"15e-1", 2), (b"1.5e1", 15), (b"1.55e1", 16),
        (b"0.00017e7", 1700), (b"1e0", 1), (b"100e-2", 1), (b"9007199254740992", 2**53),
        (b"9007199254740993", None), (b"9007199254740991.5", 2**53), (b"9007199254740992.0", 2**53),
        (b"9007199254740992.1", None), (b"-9007199254740992", -(2**53)), (b"-9007199254740992.1", None),
        (b"-9007199254740991.9", -(2**53) + 1), (b"1e400", None), (b"-1e400", None), (b"1e-400", 1),
        (b"-1e-400", 0), (b"0e999999999999999999999999", 0), (b"1e999999999999999999999999", None),
        (b"1e-999999999999999999999999", 1), (b"18446744073709551616", None), (b"9223372036854775808", None),
        (b"0." + b"0" * 1000 + b"1e1001", 1), (b"1" + b"0" * 1000 + b"e-1000", 1), (b"9" * 1024, None),
    ],
)  # fmt: skip
def test_ceilings_are_exact(number: bytes, ceiling: int | None) -> None:
    assert _core._test_json_scan(b'{"n":' + number + b"}", [b"n"]) == ("ok", [("number", number, ceiling)])


@given(st.from_regex(rb"-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True))
def test_any_number_has_the_exact_ceiling(number: bytes) -> None:
    check_against_oracle(b'{"n":' + number + b"}")


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=20,
)
layouts = st.sampled_from([{}, {"separators": (",", ":")}, {"indent": 1}, {"ensure_ascii": False}])


@given(st.dictionaries(texts, values, max_size=8), layouts)
def test_any_object_is_accepted_with_its_values(value: dict[str, Any], layout: dict[str, Any]) -> None:
    check_against_oracle(json.dumps(value, **layout).encode())


edits = st.lists(
    st.tuples(
        st.integers(0, 200),
        st.sampled_from("drc"),
        st.sampled_from(list(b'{}[]",:\\/u0deE.+-1 \n\x00\x7f\x80\xc3\xed\xf4')),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=400)
@given(st.dictionaries(texts, values, max_size=4), layouts, edits)
def test_any_damage_is_judged_as_the_oracle_does(
    value: dict[str, Any], layout: dict[str, Any], damage: list[tuple[int, str, int]]
) -> None:
    doc = bytearray(json.dumps(value, **layout).encode())
    for place, what, byte in damage:
        at = place % (len(doc) + 1)
        if what == "c":
            doc[at:at] = doc[at : at + 7]  # a repeated piece: duplicate names, doubled signs
        else:
            doc[at : at + 1] = b"" if what == "d" else bytes([byte])
    check_against_oracle(bytes(doc))


fragments = [
    b"{", b"}", b"[", b"]", b",", b":", b'"a"', b'"b"', rb'"\u0061"', b'"', b"1", b"-", b"0", b".", b"e",
    b"true", b"null", b" ", b'{"a":', b'"\xc3\xa9"', rb"\ud83d", b"1.5e3", b"//", b"NaN",
]  # fmt: skip


@settings(max_examples=400)
@given(st.lists(st.sampled_from(fragments), max_size=14).map(b"".join))
def test_any_heap_of_tokens_is_judged_as_the_oracle_does(doc: bytes) -> None:
    check_against_oracle(doc)
    check_against_oracle(b'{"a":' + doc + b"}")
