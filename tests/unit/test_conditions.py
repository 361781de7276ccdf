"""Entity tags: what the two fields may hold, and what follows (RFC 9110 sections 8.8.3, 13.1.1, 13.1.2, 13.2.2)."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw.admin.conditions import Conditions, tag_of
from fastgw.admin.envelope import Failure, Reply

REPLY = Reply(200, b"{}", (("X-API-VERSION", "v3"),))


def read(**fields: str) -> Conditions:
    return Conditions.read({name.replace("_", "-"): value for name, value in fields.items()})


def holds(conditions: Conditions, now: str | None) -> bool:
    try:
        conditions.require("route [1]", now)
    except Failure as exc:
        return exc.status != 412
    return True


@pytest.mark.parametrize(
    ("value", "holds_for_7", "matches_7"),
    [
        ("*", True, True),
        (" * ", True, True),
        ('"7"', True, True),
        ('  "7"\t', True, True),
        ('"6", "7"', True, True),
        ('"6","7"', True, True),
        (',, "6" ,\t, "7",', True, True),
        ('"6,7"', False, False),
        ('"77"', False, False),
        ('"7-viewer"', False, False),
        ('""', False, False),
        ('"\xe4\xff"', False, False),
        ('W/"7"', False, True),
        ('W/"7", "7"', True, True),
        ('"7", W/"8"', True, True),
        ('"W/7"', False, False),
    ],
)
def test_what_a_field_says_of_version_7(value: str, holds_for_7: bool, matches_7: bool) -> None:
    now = tag_of(7)
    assert holds(read(if_match=value), now) is holds_for_7
    assert holds(read(if_none_match=value), now) is not matches_7
    assert read(if_none_match=value).answer(REPLY, "", now).status == (304 if matches_7 else 200)
    assert not holds(read(if_match=value), None)
    assert holds(read(if_none_match=value), None)


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        ",",
        "7",
        'w/"7"',
        'W/ "7"',
        '"7',
        '7"',
        '"7" "8"',
        '"7";"8"',
        '*, "7"',
        '"7", *',
        "**",
        '"7"x',
        '"a b"',
        "'7'",
        "W/*",
    ],
)
@pytest.mark.parametrize("field", ["If-Match", "If-None-Match"])
def test_what_a_field_may_not_hold(field: str, value: str) -> None:
    with pytest.raises(Failure) as told:
        Conditions.read({field.lower(): value})
    found = value.strip() or "nothing"
    text = f'invalid header {field}: expected * or entity tags such as "7", found {found}'
    assert (told.value.status, told.value.message) == (400, text)


TAGS = st.tuples(st.sampled_from(["", "W/"]), st.text(string.digits + string.ascii_letters + ",*/'\xfc", max_size=4))
GAPS = st.sampled_from([",", ", ", " ,", ",,", "\t, ,"])


@given(st.lists(st.tuples(TAGS, GAPS), min_size=1), TAGS)
def test_lists_are_read_as_they_are_written(written: list[tuple[tuple[str, str], str]], now: tuple[str, str]) -> None:
    tags = [tag for tag, _ in written]
    value = "".join(f'{weak}"{opaque}"{gap}' for (weak, opaque), gap in written)
    current = f'"{now[1]}"'
    assert holds(read(if_match=value), current) is (("", now[1]) in tags)
    assert holds(read(if_none_match=value), current) is (now[1] not in [opaque for _, opaque in tags])


@pytest.mark.parametrize(
    ("fields", "now", "text"),
    [
        ({"if_match": '"6"'}, '"7"', 'precondition failed: If-Match: "6", but route [1] is now "7"'),
        ({"if_match": "*"}, None, "precondition failed: If-Match: *, but route [1] is not there"),
        ({"if_none_match": "*"}, '"7"', 'precondition failed: If-None-Match: *, but route [1] is now "7"'),
        ({"if_match": '"6"', "if_none_match": '"7"'}, '"7"', 'precondition failed: If-Match: "6", but route [1] is now "7"'),
    ],
)
def test_a_refusal_names_the_object_and_both_versions(fields: dict[str, str], now: str | None, text: str) -> None:
    with pytest.raises(Failure) as told:
        read(**fields).require("route [1]", now)
    assert (told.value.status, told.value.message) == (412, text)


def test_a_read_answers_with_the_tag_or_with_304() -> None:
    assert read().answer(REPLY, "route [1]", '"7"') == Reply(200, b"{}", (*REPLY.headers, ("ETag", '"7"')))
    same = read(if_match='"7"', if_none_match='"7"').answer(REPLY, "route [1]", '"7"')
    assert same == Reply(304, b"", (*REPLY.headers, ("ETag", '"7"')))
    with pytest.raises(Failure, match="precondition failed: If-Match"):
        read(if_match='"6"', if_none_match='"7"').answer(REPLY, "route [1]", '"7"')
