"""What Cache-Control and its kin say to a shared cache, beside what the plugin's tests show from outside."""

import pytest

from fastgw.cache.control import Fields, date, directives, kept, seconds, varying

NOW = 1_800_000_000


def judged(*fields: tuple[str, str], status: int = 200, default: int | None = 300, authorized: bool = False) -> object:
    found = kept(status, list(fields), authorized=authorized, cookies=False, default=default, asked=NOW - 2, now=NOW)
    return None if found is None else (found.lifetime, found.age)


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ((), {}),
        (("",), {}),
        (("max-age=5",), {"max-age": "5"}),
        (("Max-Age = 5",), {"max-age": None}),  # white space is no part of it: then there is no number
        (('max-age="5", x="a, no-store"',), {"max-age": "5", "x": "a, no-store"}),
        (("no-store,,  private",), {"no-store": None, "private": None}),
        (("max-age=5", "max-age=3"), {"max-age": "3"}),
        (("max-age=3", "max-age=5"), {"max-age": "3"}),
        (("max-age=5, max-age=x",), {"max-age": "x"}),
        (('private="set-cookie"',), {"private": "set-cookie"}),
        (('max-age=9, x="unclosed, no-store',), {"max-age": "9", "x": "unclosed", "no-store": None}),
        (('x="a\\", no-store',), {"no-store": None}),
        (('x="a\\"b", private',), {"x": 'a\\"b', "private": None}),
    ],
)
def test_directives(lines: tuple[str, ...], found: dict[str, str | None]) -> None:
    said = directives(lines)
    assert {name: said[name] for name in found} == found


@pytest.mark.parametrize("part", ['a="\\"', " ", ",", 'a="', "a=,", '"', "a", "\\", 'W/"'])
def test_long_headers_are_read_in_one_pass(part: str) -> None:
    """With a quadratic one this would last for minutes."""
    line = part * (1_000_000 // len(part))
    assert len(directives([line + ", no-store"])) >= 1


def test_seconds_and_dates() -> None:
    assert [seconds(text) for text in ("0", "7", None, "", "-1", "1.5", "٣", "9" * 400)] == [0, 7, 0, 0, 0, 0, 0, 2**31]
    assert date("Thu, 01 Jan 1970 00:00:10 GMT") == 10
    assert date("Thursday, 01-Jan-70 00:00:10 GMT") == 10
    assert [date(text) for text in ("", "0", "nonsense", "x" * 1000, "Thu, 99 Foo 99999 99:99:99 GMT")] == [None] * 5


def test_ages_and_lifetimes() -> None:
    assert judged(("Cache-Control", "max-age=60")) == (60, 2)  # the time that the answer took
    assert judged(("Cache-Control", "max-age=60"), ("Age", "10")) == (60, 12)
    assert judged(("Cache-Control", "max-age=60"), ("Age", "nonsense")) == (60, 2)
    assert judged() == (302, 2)
    assert judged(default=None) is None
    assert judged(("Expires", "Fri, 15 Jan 2027 08:01:00 GMT"), ("Date", "Fri, 15 Jan 2027 08:00:00 GMT")) == (60, 2)
    assert judged(("Expires", "Fri, 15 Jan 2027 08:01:00 GMT"), ("Expires", "0")) is None
    assert judged(("Cache-Control", "max-age=60"), ("Date", "Fri, 15 Jan 2027 07:59:30 GMT")) == (60, 30)
    assert judged(("Cache-Control", "max-age=30"), ("Date", "Fri, 15 Jan 2027 07:59:30 GMT")) is None


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ([], ()),
        ([("Vary", "")], ()),
        ([("Vary", "B, a"), ("vary", "b")], ("a", "b")),
        ([("Vary", "a, *")], None),
        ([("Vary", "a b")], None),
    ],
)
def test_vary(fields: Fields, names: tuple[str, ...] | None) -> None:
    assert varying(fields) == names
