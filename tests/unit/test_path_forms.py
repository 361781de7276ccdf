"""What is done to paths beyond their normal form, where the configuration says so."""

import pytest

from fastgw import _core
from tests.support.core import OK, chain, upstream

FORMS = ("normalize_uri_like_servlet", "delete_uri_tail_slash")


def taken(path: str, *forms: str, pattern: bytes = b"/a/b") -> int:
    """The status; 200 from a route of this path, else 404 or 400."""
    plan = _core.Plan(b"r", chain(), upstream())
    wire = _core.Wire(_core.Snapshot([(plan, b"", pattern)], {}, chain(), paths=forms))
    line = wire.open()
    wire.push(line, f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    if len(wire.lines()) > 1:
        sent = wire.pull(1)
        assert sent.startswith(f"GET {path} HTTP/1.1\r\n".encode())  # the upstream gets it as it came
        wire.push(1, OK)
    return int(wire.pull(line).split(b" ")[1])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/a/b", 200),
        ("/a;x=1/b;y=2;z", 200),
        ("/a;/b;", 200),
        ("/a%3Bx/b", 200),
        ("/%61;x/./b?c;d/e", 200),
        ("/a/b/", 404),
        ("/a/b/;x", 404),  # the last segment may be empty
        ("/a/.;x/b", 400),
        ("/a/c/..;/b", 400),
        ("/a/c/%2e%2E;x/b", 400),
        ("/a/c/..%3b/b", 400),
        ("/a/;x/b", 400),
        ("/;a/b", 400),
        ("/a/...;x", 404),
    ],
)
def test_like_a_servlet(path: str, status: int) -> None:
    assert taken(path, FORMS[0]) == status
    assert taken(path) == (200 if path == "/a/b" else 404)


def test_an_empty_last_segment_stays() -> None:
    assert taken("/a/b/;x", FORMS[0], pattern=b"/a/b/") == 200
    assert taken("/a/b/;x", *FORMS) == 200


@pytest.mark.parametrize(("path", "status"), [("/a/b", 200), ("/a/b/", 200), ("/a/b//", 200), ("/a/b/c", 404), ("/a;/b", 404)])
def test_without_the_last_slash(path: str, status: int) -> None:
    assert taken(path, FORMS[1]) == status


def test_the_root_keeps_its_slash() -> None:
    assert taken("/", FORMS[1], pattern=b"/") == 200


def test_an_edit_keeps_the_forms() -> None:
    edit = _core.Edit(_core.Edit(paths=FORMS).finish())
    edit.put_route(_core.Plan(b"r", chain(), upstream()), b"", b"/a")
    wire = _core.Wire(edit.finish())
    wire.push(wire.open(), b"GET /a;x/ HTTP/1.1\r\nHost: h\r\n\r\n")
    assert len(wire.lines()) == 2
