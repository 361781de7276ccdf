"""Path patterns: the examples of lua-resty-radixtree, regular expressions as an oracle, and paths made to take long."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastgw import _core
from fastgw.entries import within
from fastgw.plugins.check import pattern_of
from tests.oracle.router import params_of


def taken(pattern: str, path: str, params: bool = True) -> dict[str, str] | None:
    found = _core._test_pattern(_core.Pattern(pattern_of(pattern), params), path.encode())
    return None if found is None else {name.decode(): text.decode() for name, text in found.items()}


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        # lua-resty-radixtree, t/parameter.t
        ("/name/*name", "/name/json", {"name": "json"}),
        ("/name/*name", "/name/", {"name": ""}),
        ("/name/*", "/name/json/foo/bar", {":ext": "json/foo/bar"}),
        ("/name/*", "/name/", {":ext": ""}),
        ("/name/:name/id/:id", "/name/json/id/1", {"name": "json", "id": "1"}),
        ("/name/:name/id/:id", "/name/json/id/", None),
        ("/name/:name/id/:id/*other", "/name/json/id/1/foo/bar/gloo", {"name": "json", "id": "1", "other": "foo/bar/gloo"}),
        ("/name/:name/id/:id", "/name/json", None),
        ("/name/:name/foo", "/name/json/foo", {"name": "json"}),
        ("/name/:name/foo", "/name/json", None),
        ("/:name/foo", "/json/", None),
        ("/:name/foo", "/json/bar", None),
        ("/:name/foo", "/json/foo", {"name": "json"}),
        ("/:name/foo", "/json/foo/bar", None),
        ("/file/:filename", "/file/123&45@dd:d=test;", {"filename": "123&45@dd:d=test;"}),
        ("/file/:filename", "/file/t!e*s't,(file)", {"filename": "t!e*s't,(file)"}),
        ("/name/:name/", "/name/json/", {"name": "json"}),
        ("/name/:name/", "/name/json", None),
        # ours
        ("/a/*/b", "/a/x/y/b", {":ext": "x/y"}),
        ("/a/*/b", "/a/b", None),
        ("/a/*/b", "/a//b", {":ext": ""}),
        ("/a/*/b", "/a/x/b/", None),
        ("/a/*/b", "/a/b/b/b", {":ext": "b/b"}),
        ("/a/*x/b/*y/c", "/a/1/b/2/b/3/c/c", {"x": "1/b/2", "y": "3/c"}),
        ("/a/*/b/:c", "/a/b/b/b/b", {":ext": "b/b", "c": "b"}),
        ("/a/*x/*x", "/a/1/2", {"x": "2"}),
        ("/foo*bar", "/fooxbar", {}),
        ("/foo*bar", "/foobar", {}),
        ("/foo*bar", "/foobarx", None),
        ("/foo**bar*", "/foo-bar-", {}),
        ("/a*/b/:c", "/ax/y/b/z", {"c": "z"}),
        # nothing in a literal text means anything else
        ("/a.c/*/(b)+", "/abc/x/bb", None),
        ("/a.c/*/(b)+", "/a.c/x/(b)+", {":ext": "x"}),
        ("/a/%2A/*", "/a/*/x", {":ext": "x"}),
        ("/a/%2A/*", "/a/y/x", None),
        ("/a/%3Ab/:c", "/a/:b/x", {"c": "x"}),
        ("/a/%3Ab/:c", "/a/y/x", None),
        ("/a/b:c/:d", "/a/b:c/x", {"d": "x"}),
    ],
)
def test_an_example(pattern: str, path: str, expected: dict[str, str] | None) -> None:
    assert taken(pattern, path) == expected


def test_a_colon_is_literal_without_parameters() -> None:
    assert taken("/u/:id/*", "/u/5/x", params=False) is None
    assert taken("/u/:id/*", "/u/:id/x", params=False) == {":ext": "x"}


PATTERNS = st.lists(
    st.sampled_from(["a", "b", "ab", ":x", ":y", "*", "*z", "a*", "*", "a*b", "", "a:b"]), min_size=1, max_size=6
).map(lambda segments: "/" + "/".join(segments))
PATHS = st.text("ab/", max_size=12).map(lambda text: "/" + text)


@given(PATTERNS, PATHS, st.booleans())
@example("/a/*/b/*/b", "/a/b/b/b/b/b", True)
def test_as_a_regular_expression_has_it(pattern: str, path: str, params: bool) -> None:
    native = _core._test_pattern(_core.Pattern(pattern.encode(), params), path.encode())
    expected = params_of(pattern, path, params)
    assert (native is None) == (expected is None)
    if native is not None:
        assert native == {name.encode(): text.encode() for name, text in expected.items()}


@given(PATTERNS, PATHS, st.booleans())
def test_what_a_pattern_is_found_by(pattern: str, path: str, params: bool) -> None:
    """Whatever matches is found: a route alone in the index takes what its regular expression does."""
    text = pattern.encode()
    own = _core.Pattern(text, params) if within(text, params) else None
    plan = _core.Plan(b"r", _core.Steps([]), pattern=own)
    snapshot = _core.Snapshot([(plan, b"", text)], {}, _core.Steps([]))
    taken_ = _core._test_route(snapshot, b"h", path.encode()) is not None
    assert taken_ == (params_of(pattern, path, params) is not None)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/" + "*a/" * 50 + "b", "/" + "a/" * 4000),
        ("/" + "x*" * 100 + "y", "/" + "x" * 8000),
        ("/*" + "/a" * 60 + "/:b/c/*", "/" + "a/" * 4000),
        ("/*/" + ":a/" * 100 + "*/b", "/" + "a/" * 4000),
    ],
)
def test_no_path_takes_long(pattern: str, path: str) -> None:
    """With backtracking these would take longer than the universe has existed; so the generous limit."""
    own = _core.Pattern(pattern.encode(), True)
    start = time.process_time()
    for _ in range(10):
        assert _core._test_pattern(own, path.encode()) is None
    assert time.process_time() - start < 10
