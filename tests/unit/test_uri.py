"""Request targets: their parts, the one normal form of a path, host[:port].

Owns: the uri room.
"""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fastgw import _core
from tests.oracle import uri as oracle
from tests.oracle import uri_target as target_oracle

ORIGIN, ABSOLUTE, ASTERISK = 1, 2, 3


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/", (ORIGIN, b"", b"/", None)),
        (b"/a/b?c=d&e", (ORIGIN, b"", b"/a/b", b"c=d&e")),
        (b"/a?", (ORIGIN, b"", b"/a", b"")),
        (b"/a?b?c/d", (ORIGIN, b"", b"/a", b"b?c/d")),
        (b"//a/b", (ORIGIN, b"", b"//a/b", None)),
        (b"*", (ASTERISK, b"", b"", None)),
        (b"http://a", (ABSOLUTE, b"a", b"", None)),
        (b"http://a?q", (ABSOLUTE, b"a", b"", b"q")),
        (b"HTTPS://a:1/b?q", (ABSOLUTE, b"a:1", b"/b", b"q")),
        (b"http://a/http://b/", (ABSOLUTE, b"a", b"/http://b/", None)),
        (b"", None),
        (b"*a", None),
        (b"**", None),
        (b"a", None),
        (b"?a", None),
        (b"http:/a", None),
        (b"http://", None),
        (b"http:///a", None),
        (b"http://?a", None),
        (b"ftp://a/", None),
        (b"a:80", None),
        (b"/a#b", None),
        (b"/a?b#", None),
        (b"http://a#b", None),
    ],
)
def test_split(target, expected):
    assert _core._test_uri_split(target) == expected


@pytest.mark.parametrize(
    ("path", "normal"),
    [
        (b"", b"/"),
        (b"/", b"/"),
        (b"//", b"/"),
        (b"/a/b", b"/a/b"),
        (b"/a/b/", b"/a/b/"),
        (b"//a///b//", b"/a/b/"),
        (b"/.", b"/"),
        (b"/./a/./", b"/a/"),
        (b"/a/.", b"/a/"),
        (b"/a/..", b"/"),
        (b"/a/../", b"/"),
        (b"/a/b/../c", b"/a/c"),
        (b"/a/b/../../c", b"/c"),
        (b"/a//../b", b"/b"),
        (b"/a/%2e/b", b"/a/b"),
        (b"/a/%2E%2e/b", b"/b"),
        (b"/a/.%2e/b", b"/b"),
        (b"/...", b"/..."),
        (b"/.a/..b/c..", b"/.a/..b/c.."),
        (b"/a/..;/b", b"/a/..;/b"),
        (b"/%61%7A%2d%5f", b"/az-_"),
        (b"/%40%3a%2B", b"/@:+"),
        (b"/a%2fb", b"/a%2Fb"),
        (b"/a/..%2fb", b"/a/..%2Fb"),
        (b"/a%5c..%5cb", b"/a%5C..%5Cb"),
        (b"/%3f%23", b"/%3F%23"),
        (b"/%252e%252E/", b"/%252e%252E/"),
        (b"/100%25", b"/100%25"),
        (b"/a b", b"/a%20b"),
        (b"/%0d%0a", b"/%0D%0A"),
        (b'/{id}|"<>^`', b"/%7Bid%7D%7C%22%3C%3E%5E%60"),
        ("/café".encode(), b"/caf%C3%A9"),
        (b"/caf%c3%a9", b"/caf%C3%A9"),
        (b"/%c0%af..%c0%af", b"/%C0%AF..%C0%AF"),
        (b"/..", None),
        (b"/../a", None),
        (b"/a/../../b", None),
        (b"/./..", None),
        (b"/%2e%2e", None),
        (b"/a/%2e%2e/%2e%2e", None),
        (b"a", None),
        (b"%2f", None),
        (b"/%00", None),
        (b"/a%00b", None),
        (b"/\x00", None),
        (b"/a\\b", None),
        (b"/%", None),
        (b"/%a", None),
        (b"/%gg", None),
        (b"/%-1", None),
        (b"/%u0041", None),
    ],
)
def test_normalise(path, normal):
    already, found = _core._test_uri_normalise(path)
    assert found == normal
    assert already == (path == normal)
    assert oracle.normalise(path) == normal


PATHS = st.lists(
    st.sampled_from([b"/", b"//", b".", b"..", b"%2e", b"%2F", b"%5c", b"%25", b"%00", b"%", b"a", b"B", b"~", b";"])
    | st.binary(min_size=1, max_size=3),
    max_size=16,
).map(lambda parts: b"/" + b"".join(parts))


@settings(deadline=None)
@given(PATHS)
@example(b"/a/%2e%2e//%2e/")
def test_normalise_as_the_oracle_and_once_for_all(path):
    already, normal = _core._test_uri_normalise(path)
    assert normal == oracle.normalise(path)
    assert already == (normal == path)
    if normal is not None:
        assert _core._test_uri_normalise(normal) == (True, normal)


@settings(deadline=None)
@given(PATHS, st.integers(0, 60))
def test_normalise_within_its_room(path, room):
    normal = oracle.normalise(path)
    found = _core._test_uri_normalise(path, room)[1]
    assert found in (None, normal)
    if normal is not None and room >= 3 * len(path):
        assert found == normal


@pytest.mark.parametrize(
    ("authority", "expected"),
    [
        (b"a", (b"a", 0)),
        (b"Example.COM", (b"example.com", 0)),
        (b"example.com.", (b"example.com", 0)),
        (b"example.com.:80", (b"example.com", 80)),
        (b"a:", (b"a", 0)),
        (b"a:65535", (b"a", 65535)),
        (b"127.0.0.1:9080", (b"127.0.0.1", 9080)),
        (b"a_b-c.d", (b"a_b-c.d", 0)),
        (b"[::1]", (b"[::1]", 0)),
        (b"[2001:DB8::A]:443", (b"[2001:db8::a]", 443)),
        (b"[::ffff:1.2.3.4]", (b"[::ffff:1.2.3.4]", 0)),
        (b"a" * 256, (b"a" * 256, 0)),
        *[
            (bad, None)
            for bad in (
                b"", b":80", b".", b"..", b".a", b"a..b", b"a.b..", b"a:65536", b"a:123456", b"a:8o", b"a:-1",
                b"a:+1", b"a: 1", b"a:1:2", b"user@a", b"user:pw@a", b"a b", b" a", b"a,b", b"a/b", b"a?b", b"a#b",
                b"a\\b", b'"a"', b"'a'", b"a\x80", b"a\x00", b"a%41", b"a;b", b"*.a", b"[", b"[]", b"]", b"[::1",
                b"::1", b"[::1]x", b"[::1]:x", b"[[::1]]", b"[1.2.3.4]", b"[fe80::1%25eth0]", b"[v1.a]", b"[a]b",
                b"[" + b"0:" * 40 + b"0]", b"a" * 257,
            )
        ],
    ],
)  # fmt: skip
def test_host(authority, expected):
    assert _core._test_host_split(authority) == expected
    assert target_oracle.host(authority) == expected


@settings(deadline=None)
@given(st.text("aA.-_:[]1fF@,% ", max_size=12).map(str.encode))
def test_host_as_the_oracle(authority):
    assert _core._test_host_split(authority) == target_oracle.host(authority)


@settings(deadline=None)
@given(st.sampled_from([b"/", b"http://", b"*", b""]), st.text("a/?#:*@", max_size=10).map(str.encode))
def test_split_as_the_oracle(start, rest):
    assert _core._test_uri_split(start + rest) == target_oracle.split(start + rest)
