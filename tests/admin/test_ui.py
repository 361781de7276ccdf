"""The live view in Chromium: what it shows, that it keeps the key to itself, asks no other host, and is fit for all who look."""

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import wire
from tests.support.chromium import Page, page
from tests.support.core import TOKEN
from tests.support.gateway import ADMIN_KEY, Gateway
from tests.support.waiting import until
from tests.support.wire import Address

JWT = {"key": "john-key", "secret": "john-hs256-secret-of-enough-bytes", "algorithm": "HS256"}
VIEWER = "a-viewer-key-for-tests-only"
MARKUP = "<img src=x onerror=alert(1)>"
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


def config(echo: Address) -> dict[str, Any]:
    node = {"type": "roundrobin", "nodes": {str(echo): 1}}
    checked = {
        **node,
        "checks": {"active": {"http_path": "/", "timeout": 60, "healthy": {"interval": 60}, "unhealthy": {"interval": 60}}},
    }
    limit = {"limit-count": {"count": 3, "time_window": 86_400, "key": "http_x_key", "rejected_code": 429}}
    return {
        "workers": 2,
        "admin": {"viewer_key": VIEWER},
        "routes": [
            {"id": "plain", "uri": "/get", "upstream": checked, "plugins": limit},
            {"id": "auth", "uri": "/auth", "upstream": node, "plugins": {"jwt-auth": {}}},
        ],
        "consumers": [{"username": "john", "credentials": [{"id": "c", "plugins": {"jwt-auth": JWT}}]}],
    }


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, echo: Address) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("ui"), config(echo)) as started:
        yield started


def ask(gateway: Gateway) -> None:
    for _ in range(6):
        gateway.get("/get", headers={"X-Key": MARKUP})
    gateway.get("/auth", TOKEN.decode())
    gateway.get("/auth")


@pytest.fixture(scope="module")
def shown(gateway: Gateway) -> Iterator[Page]:
    """The page, with a key in it."""
    with page() as opened:
        opened.open(f"http://{gateway.admin}/ui")
        give(opened, VIEWER)
        ask(gateway)
        until(lambda: "john" in opened.text("#consumers"), "the page shows who asked")
        yield opened


def give(opened: Page, key: str) -> None:
    script = "document.querySelector('#key').value = {}; document.querySelector('#ask').requestSubmit()"
    opened.run(script.format(json.dumps(key)))
    until(
        lambda: opened.run("document.querySelector('#ask').hidden || !!document.querySelector('#trouble').innerText"),
        "it has asked",
    )


def test_its_files_need_no_key_and_allow_nothing_else(gateway: Gateway) -> None:
    for path, kind in (
        ("/ui", "text/html"),
        ("/ui/", "text/html"),
        ("/ui/app.js", "text/javascript"),
        ("/ui/style.css", "text/css"),
        ("/ui/icon.svg", "image/svg+xml"),
    ):
        answer = wire.get(gateway.admin, path)
        assert answer.status == 200
        assert answer.headers["content-type"].startswith(kind)
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        text = answer.body.decode()
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in text
        assert "innerHTML" not in text
        assert " style=" not in text
    assert wire.get(gateway.admin, "/ui/../api.py").status == 404
    assert wire.get(gateway.admin, "/ui/other").status == 404
    assert wire.request(gateway.admin, "POST", "/ui", "{}").status == 405
    assert wire.request(gateway.admin, "HEAD", "/ui").status == 200


def test_what_it_asks_for_is_not_for_strangers(gateway: Gateway) -> None:
    for place in ("stats", "stats/history", "limits"):
        assert gateway.api("GET", place, key=None).status == 401
        assert gateway.api("GET", place, key=VIEWER).status == 200
    assert gateway.api("POST", "stats/history").status == 404


def test_stats_have_what_is_shown(gateway: Gateway) -> None:
    ask(gateway)

    def told() -> Any:
        stats = gateway.api("GET", "stats").json()
        known = stats["refused"].get("jwt.no_token") and stats["consumers"] and stats["upstreams"]  # checks begin after the start
        return stats if known else None

    stats = until(told, "all is counted")
    assert {each["route"] for each in stats["routes"]} == {"plain", "auth"}
    assert [each["consumer"] for each in stats["consumers"]] == ["john"]
    assert [each["node"] for each in stats["nodes"]] == ["127.0.0.1"]
    assert [(each["name"], each["state"]) for each in stats["upstreams"]] == [("/apisix/routes/plain", "healthy")]
    assert sum(count for _, count in stats["latency_us"]) == stats["totals"]["requests"]
    assert all(each["connections"] >= 0 for each in stats["processes"])


def test_it_shows_what_the_gateway_does(shown: Page, gateway: Gateway) -> None:
    ask(gateway)
    until(lambda: "limit-count.exceeded" in shown.text("#refused"), "refusals")
    assert "worker" in shown.text("#processes")
    assert "serving" in shown.text("#processes")
    assert {"plain", "auth"} <= set(shown.text("#routes").split())
    assert "127.0.0.1" in shown.text("#nodes")
    assert "healthy" in shown.text("#upstreams")
    assert "Requests per second" in shown.text("#figures")
    assert shown.run("document.querySelectorAll('#graphs svg[role=img][aria-label]').length") == 3
    until(lambda: shown.run("document.querySelectorAll('#graphs polyline').length") > 0, "ten seconds are drawn")


def test_the_key_is_in_memory_only(shown: Page) -> None:
    assert shown.run("localStorage.length + sessionStorage.length + document.cookie.length") == 0
    assert shown.run("document.querySelector('#key').value") == ""
    assert VIEWER not in shown.run("document.documentElement.outerHTML")
    assert VIEWER not in shown.run("location.href")


def test_it_asks_no_other_host(shown: Page, gateway: Gateway) -> None:
    assert shown.asked
    assert {url.split("/")[2] for url in shown.asked} == {str(gateway.admin)}
    assert shown.said == []


def test_text_of_clients_is_no_markup(shown: Page, gateway: Gateway) -> None:
    """An admin key's limits show keys, which clients choose."""
    shown.run("document.querySelector('#forget').click()")
    give(shown, ADMIN_KEY)
    ask(gateway)
    until(lambda: MARKUP in shown.text("#limits"), "the key is shown as text")
    assert shown.run("document.images.length") == 0


def test_a_wrong_key_is_told_and_forgotten(shown: Page) -> None:
    shown.run("document.querySelector('#forget').click()")
    assert shown.run("document.querySelector('#live').hidden")
    give(shown, "a-key-that-is-wrong")
    assert "The key was refused" in shown.text("#trouble")
    assert shown.run("document.activeElement.id") == "key"
    give(shown, VIEWER)
    assert not shown.run("document.querySelector('#live').hidden")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("of", ["the form", "the view"])
def test_axe_finds_no_fault(shown: Page, scheme: str, of: str) -> None:
    found = importlib.util.find_spec("axe_core_python")
    if found is None or found.origin is None:
        pytest.skip("axe-core-python is not installed")
    shown.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    if of == "the form":
        shown.run("document.querySelector('#forget').click()")
    shown.call("Runtime.evaluate", expression=Path(found.origin).with_name("axe.min.js").read_text())
    told = shown.run(
        "axe.run().then((found) => found.violations.map((each) => [each.id, each.impact, each.nodes.map((n) => n.html)]))"
    )
    if of == "the form":
        give(shown, VIEWER)
    assert told == []
