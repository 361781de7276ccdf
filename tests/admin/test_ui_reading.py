"""The live view under load in the hands of a reader: by keyboard alone, on a phone, in light and dark, paused, left alone."""

import importlib.util
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import wire
from tests.support.chromium import Page, page
from tests.support.gateway import ADMIN_KEY, Gateway
from tests.support.waiting import until
from tests.support.wire import Address

CHECKS = {"active": {"http_path": "/get", "healthy": {"interval": 60}, "unhealthy": {"interval": 60}}}
PACE_S = 0.005


class Load:
    """A client that asks now and then, so that the page has a processor too; `done` requests so far."""

    def __init__(self, gateway: Gateway) -> None:
        self.done = 0
        self._client = wire.Client(gateway.data)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        self._client.connection.close()

    def _run(self) -> None:
        while not self._stopped.wait(PACE_S):
            self._client.request("GET", "/get", headers={"apikey": "jacks-key"})
            self.done += 1


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, echo: Address) -> Iterator[Gateway]:
    limit = {"count": 5, "time_window": 3600, "rejected_code": 429, "key": "a-key-that-is-long-" * 3, "key_type": "constant"}
    config = {
        "upstreams": [{"id": "u", "nodes": {str(echo): 1}, "checks": CHECKS}],
        "routes": [{"id": "r", "uri": "/get", "upstream_id": "u", "plugins": {"key-auth": {}, "limit-count": limit}}],
        "consumers": [{"username": "jack", "plugins": {"key-auth": {"key": "jacks-key"}}}],
    }
    with Gateway(tmp_path_factory.mktemp("reading"), config) as started:
        yield started


@pytest.fixture(scope="module")
def load(gateway: Gateway) -> Iterator[Load]:
    with Load(gateway) as running:
        yield running


@pytest.fixture(scope="module")
def reader(gateway: Gateway, load: Load) -> Iterator[Page]:
    """The page, where a reader has come by keyboard."""
    with page() as opened:
        opened.call("Emulation.setFocusEmulationEnabled", enabled=True)
        opened.open(f"http://{gateway.admin}/ui")
        assert opened.focused() == "key"
        opened.type(ADMIN_KEY)
        opened.press("Enter")
        until(lambda: opened.focused() == "pause", "the view is there")
        yield opened


def figure(reader: Page, name: str) -> str:
    lines = reader.text("#figures").splitlines()
    return lines[lines.index(name) + 1]


def asked(reader: Page) -> int:
    """How often it has asked, now that all its events have come."""
    reader.run("0")
    return len(reader.asked)


def test_numbers_change_under_load(reader: Page) -> None:
    first = figure(reader, "Requests so far")
    until(lambda: figure(reader, "Requests so far") != first, "more requests are shown")
    until(lambda: figure(reader, "Requests per second")[0] in "123456789", "a rate")
    until(lambda: float(figure(reader, "p99, ms")) >= float(figure(reader, "p50, ms")) > 0, "percentiles")
    for place, name in {"routes": "r", "consumers": "jack", "nodes": "127.0.0.1", "refused": "limit-count.exceeded"}.items():
        until(lambda place=place, name=name: name in reader.text(f"#{place}"), f"{name} in {place}")
    assert reader.said == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_it_can_be_read(reader: Page, scheme: str, width: int) -> None:
    reader.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 600)
    reader.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    assert reader.run("document.documentElement.scrollWidth") <= width
    ground = reader.run("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, ground[4:-1].split(","))) < 3 * 128) == (scheme == "dark")
    found = importlib.util.find_spec("axe_core_python")
    assert found is not None, "needs the package axe-core-python, of the extra `test`"
    assert found.origin is not None
    if not reader.run("typeof axe === 'object'"):
        reader.run(Path(found.origin).with_name("axe.min.js").read_text() + "; 0")
    shown = figure(reader, "Requests so far")
    until(lambda: figure(reader, "Requests so far") != shown, "it is drawn anew, at this width")
    faults = reader.run("axe.run().then((found) => found.violations.map((each) => [each.id, each.nodes.map((n) => n.html)]))")
    assert faults == []


def test_what_is_scrolled_keeps_the_focus(reader: Page) -> None:
    reader.call("Emulation.setDeviceMetricsOverride", width=360, height=800, deviceScaleFactor=1, mobile=True)
    until(lambda: reader.run("document.querySelector('#processes').tabIndex") == 0, "it is wider than the page")
    reader.run("document.querySelector('#processes').focus()")
    shown = figure(reader, "Requests so far")
    until(lambda: figure(reader, "Requests so far") != shown, "it is drawn anew")
    assert reader.focused() == "processes"
    reader.run("document.querySelector('#pause').focus()")


def test_it_can_be_paused(reader: Page, load: Load) -> None:
    assert reader.focused() == "pause"
    reader.press(" ")
    assert reader.run("document.querySelector('#pause').getAttribute('aria-pressed')") == "true"
    shown, before, done = figure(reader, "Requests so far"), asked(reader), load.done
    until(lambda: load.done > done + 50, "the load goes on")
    assert (figure(reader, "Requests so far"), asked(reader)) == (shown, before)
    reader.press(" ")
    until(lambda: figure(reader, "Requests so far") != shown, "it goes on")


def test_a_page_that_nobody_sees_asks_nothing(reader: Page, load: Load) -> None:
    """Seen or not is told by the browser, which here is told what to tell."""
    told = "Object.defineProperty(document, 'hidden', {{value: {}, configurable: true}}); "
    event = "document.dispatchEvent(new Event('visibilitychange'))"
    reader.run(told.format("true") + event)
    shown, before, done = figure(reader, "Requests so far"), asked(reader), load.done
    until(lambda: load.done > done + 50, "the load goes on")
    assert (figure(reader, "Requests so far"), asked(reader)) == (shown, before)
    reader.run(told.format("false") + event)
    until(lambda: figure(reader, "Requests so far") != shown, "it goes on")


def test_a_gateway_that_is_gone_is_said(reader: Page) -> None:
    line = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    reader.call("Network.emulateNetworkConditions", offline=True, **line)
    until(lambda: "does not answer" in reader.text("#trouble"), "it says so")
    assert not reader.run("document.querySelector('#live').hidden")  # what it had is better than nothing
    reader.call("Network.emulateNetworkConditions", offline=False, **line)
    until(lambda: reader.text("#trouble") == "", "it is back")


def test_the_key_is_forgotten_by_keyboard(reader: Page) -> None:
    reader.press("Tab")
    assert reader.focused() == "forget"
    reader.press("Enter")
    assert reader.focused() == "key"
    assert reader.run("document.querySelector('#live').hidden && document.querySelector('#pause').hidden")
    before = asked(reader)
    reader.type("a key with blanks")
    reader.press("Enter")
    until(lambda: "refused" in reader.text("#trouble"), "it says so")
    assert asked(reader) == before  # it could not be sent
    assert all(ADMIN_KEY not in each for each in reader.asked)
