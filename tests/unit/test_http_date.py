"""Dates as HTTP writes them, against the standard library's calendar; what is no date is none."""

import calendar
import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw import _core

UTC = datetime.timezone.utc
LAST = 253402300799  # 9999-12-31T23:59:59
FORMS = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b {day:2d} %H:%M:%S %Y")


def written(seconds: int, form: str) -> bytes:
    moment = datetime.datetime.fromtimestamp(seconds, UTC)
    return moment.strftime(form.format(day=moment.day)).encode()


@pytest.mark.parametrize("form", [FORMS[0], FORMS[2]])
@given(seconds=st.integers(0, LAST))
def test_every_moment_from_1970_on(form: str, seconds: int) -> None:
    assert _core._test_http_date(written(seconds, form)) == seconds


@given(seconds=st.integers(0, calendar.timegm((2069, 12, 31, 23, 59, 59))))
def test_two_digits_of_a_year_are_those_of_1970_to_2069(seconds: int) -> None:
    assert _core._test_http_date(written(seconds, FORMS[1])) == seconds


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"0",
        b"Sun, 06 Nov 1994 08:49:37 UTC",
        b"Sun, 06 Nov 1994 08:49:37 +0000",
        b"Sun, 6 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Nov 1994 08:49:37",
        b"Sun, 06 Nov 1994 08:49:37 GMT ",
        b" Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Nov 1994 24:00:00 GMT",
        b"Sun, 06 Nov 1994 08:60:37 GMT",
        b"Sun, 06 Nov 1994 08:49:61 GMT",
        b"Sun, 06 Nov 1994 08-49-37 GMT",
        b"Sun, 00 Nov 1994 08:49:37 GMT",
        b"Sun, 31 Nov 1994 08:49:37 GMT",
        b"Tue, 29 Feb 2100 08:49:37 GMT",
        b"Wed, 29 Feb 2023 08:49:37 GMT",
        b"Sun, 06 nov 1994 08:49:37 GMT",
        b"Son, 06 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Nov 1969 08:49:37 GMT",
        b"Sun, -6 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Nov +994 08:49:37 GMT",
        b"Sun, 06-Nov-94 08:49:37 GMT",
        b"Sunday, 06-Nov-1994 08:49:37 GMT",
        b"Sunday, 06-Nov-9x 08:49:37 GMT",
        b"Saturda, 06-Nov-94 08:49:37 GMT",
        b"Sun Nov 06 08:49:37 94  ",
        b"Sun Nov x6 08:49:37 1994",
        b"1994-11-06T08:49:37Z         ",
        b"\0" * 29,
    ],
)
def test_what_is_no_date(text: bytes) -> None:
    assert _core._test_http_date(text) == -1


def test_edges() -> None:
    assert _core._test_http_date(b"Thu, 29 Feb 2024 00:00:00 GMT") == calendar.timegm((2024, 2, 29, 0, 0, 0))
    assert _core._test_http_date(b"Tue, 29 Feb 2000 00:00:00 GMT") == calendar.timegm((2000, 2, 29, 0, 0, 0))
    assert _core._test_http_date(b"Sat, 31 Dec 2016 23:59:60 GMT") == calendar.timegm((2017, 1, 1, 0, 0, 0))  # a leap second
    assert _core._test_http_date(b"Fri, 31 Dec 9999 23:59:59 GMT") == LAST


@given(text=st.binary(max_size=40))
def test_any_bytes(text: bytes) -> None:
    assert _core._test_http_date(text) == -1
