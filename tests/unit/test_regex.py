"""Regular expressions in paths: those that the core matches by itself match as RE2 has it."""

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from fastgw import _core
from fastgw.errors import Path
from fastgw.plugins.substitution import _plain, pair_faults, pairs_of

PLAIN = [
    "^/",
    "^/a$",
    "^/a/(.*)",
    "^/a/(.+)$",
    r"^/a\.b/([^/]+)/(.*)$",
    r"^/v(\d+)/([^/]*)/c",
    r"^/([0-9]+)-(\w+)/$",
    "^",
    "^$",
    "^(.*)$",
    r"^/a\$",
]
NOT_PLAIN = [
    "/a",
    "^/a|/b",
    "^/a.b",
    "^/a?",
    "^/(.*)/(.*)",
    r"^/(\d+)(.*)",
    r"^/(\d+)1",
    "^/((.*))",
    "^/[ab]/",
    "(?i)^/a",
    "^/(.*)b",
]


@pytest.mark.parametrize("pattern", PLAIN)
def test_simple_expressions_need_no_interpreter(pattern: str) -> None:
    assert _plain(pattern)[0] is not None


@pytest.mark.parametrize("pattern", NOT_PLAIN)
def test_others_are_left_to_re2(pattern: str) -> None:
    assert _plain(pattern)[0] is None


pieces = st.sampled_from(["/", "a", "1", "/a", r"\.", "-", "(.*)", "(.+)", "([^/]+)", "([^/]*)", r"(\d+)", "([0-9]*)", r"(\w+)"])
patterns = st.builds(lambda parts, end: "^" + "".join(parts) + end, st.lists(pieces, max_size=6), st.sampled_from(["", "$"]))


@given(patterns, st.lists(st.text("/a1.-_%b", max_size=12), min_size=1, max_size=8))
def test_both_ways_agree(pattern: str, texts: list[str]) -> None:
    compiled = re2.compile(pattern.encode())
    ((regex, _),) = pairs_of([pattern, "/"])
    for text in ["", "/", *texts]:
        match = compiled.search(text.encode())
        expected = None if match is None else [match.span(i) for i in range(compiled.groups + 1)]
        found = _core._test_regex(regex, text.encode())
        assert found == (expected and [(max(a, 0), max(b, 0)) for a, b in expected])


def test_re2_finds_what_lies_anywhere() -> None:
    ((regex, _),) = pairs_of(["b(c)?(d)", "/"])
    assert _core._test_regex(regex, b"/abd") == [(2, 4), (0, 0), (3, 4)]
    assert _core._test_regex(regex, b"/abx") is None


def test_what_makes_other_engines_slow_does_not_matter() -> None:
    ((regex, _),) = pairs_of(["^(a+)+$", "/"])
    assert _core._test_regex(regex, b"a" * 8000 + b"b") is None


@pytest.mark.parametrize(
    ("pattern", "text", "at"),
    [
        ("(", "/", 0),
        ("(?=a)", "/", 0),
        (r"(a)\1", "/", 0),
        ("a", "/$1", 1),
        ("(a)", "/$2", 1),
        ("(a)" * 32, "/", 1),
        ("a", "/%00", 1),
    ],
)
def test_faults_name_their_place(pattern: str, text: str, at: int) -> None:
    (fault,) = pair_faults(["/", "/", pattern, text], Path(("regex_uri",)))
    assert fault.path == Path(("regex_uri", 2 + at))
