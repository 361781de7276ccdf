"""The page at /ui as HTTP has it, without a browser: which files there are, who may have them, what nobody may keep."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastgw.admin.pages import PATHS
from tests.support import wire
from tests.support.gateway import Gateway
from tests.support.processes import ROOT

FILES = ROOT / "fastgw" / "admin" / "ui"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("ui")) as started:
        yield started


@pytest.mark.parametrize("path", PATHS)
def test_files_come_as_they_are(gateway: Gateway, path: str) -> None:
    answer = wire.get(gateway.admin, path)
    name, content_type = PATHS[path]
    assert (answer.status, answer.headers["content-type"]) == (200, content_type)
    assert answer.body == (FILES / name).read_bytes()
    assert wire.get(gateway.admin, f"{path}?v=1").status == 200
    head = wire.request(gateway.admin, "HEAD", path)
    assert (head.status, head.headers["content-length"], head.body) == (200, str(len(answer.body)), b"")
    assert "set-cookie" not in answer.headers
    assert "access-control-allow-origin" not in answer.headers


def test_every_file_has_a_path() -> None:
    assert {name for name, _ in PATHS.values()} == {path.name for path in FILES.iterdir()}


@pytest.mark.parametrize(
    "path",
    [
        "/ui/nothing",
        "/ui/index.html",
        "/ui//",
        "/ui//app.js",
        "/ui/app.js/",
        "/ui/../ui/app.js",
        "/ui/../api.py",
        "/ui/%2e%2e/api.py",
        "/ui/..%2fapi.py",
        "/ui/app%2ejs",
        "/ui/app.js%00",
        "/ui/\\..\\api.py",
        "/uix",
    ],
)
def test_names_are_looked_up_and_never_followed(gateway: Gateway, path: str) -> None:
    assert wire.get(gateway.admin, path).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_it_is_read_only(gateway: Gateway, method: str) -> None:
    answer = wire.request(gateway.admin, method, "/ui")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


def test_a_stranger_is_answered_before_there_is_a_body(gateway: Gateway) -> None:
    with wire.connect(gateway.admin) as sock:
        sock.sendall(b"POST /ui HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n")
        assert wire.read_response(sock).status == 405  # and not 100


def test_addresses_that_may_not_ask_do_not_see_it(tmp_path: Path) -> None:
    with Gateway(tmp_path, {"admin": {"allow": ["192.0.2.0/24"]}}) as gateway:
        for path in PATHS:
            assert wire.get(gateway.admin, path).status == 403


@pytest.mark.parametrize("place", ["stats", "stats/history", "limits", "limits?key=x"])
def test_nobody_keeps_what_it_shows(gateway: Gateway, place: str) -> None:
    answer = gateway.api("GET", place)
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
    assert gateway.api("GET", place, key=None).status == 401


def test_files_name_no_other_host_and_make_no_markup() -> None:
    for path in FILES.iterdir():
        content = path.read_text().replace("http://www.w3.org/2000/svg", "")  # a name, never asked for
        assert not re.search(r"(?i)\b(?:https?:)?//[a-z0-9-]+\.[a-z]", content), path.name
        sinks = (
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.(?:write|cookie)|\beval\(|new Function|(?:local|session)Storage"
        )
        assert not re.search(sinks, content), path.name
    page = (FILES / "index.html").read_text()
    assert not re.search(r"\sstyle=|\son\w+=|<style|javascript:", page)
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", page))
