"""A page in Chromium, driven by the DevTools protocol over its WebSocket: no further package is needed.

Owns: starting and ending the browser, one page, what of the network it asked for. Must not know what the page is.
"""

import contextlib
import itertools
import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.support import wire
from tests.support.programs import program
from tests.support.waiting import until
from tests.support.wire import Address

__all__ = ["Page", "page"]

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
    "--window-size=1280,1400",
)


class Page:
    """One page; what it asked for is in `asked`, what its console said in `said`."""

    def __init__(self, line: ClientConnection) -> None:
        self._line = line
        self._numbers = itertools.count(1)
        self.asked: list[str] = []
        self.said: list[str] = []
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> Any:
        """One command, and its result; events that come meanwhile are kept."""
        number = next(self._numbers)
        self._line.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            told = json.loads(self._line.recv(timeout=30))
            if told.get("id") == number:
                assert "error" not in told, f"{method}: {told['error']}"
                return told["result"]
            self._note(told)

    def _note(self, event: Any) -> None:
        params = event.get("params", {})
        if event["method"] == "Network.requestWillBeSent":
            self.asked.append(params["request"]["url"])
        elif event["method"] == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.said.append(params["entry"]["text"])
        elif event["method"] == "Runtime.exceptionThrown":
            self.said.append(str(params["exceptionDetails"]))

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        until(lambda: self.run("document.readyState") == "complete", "the page is there")

    def run(self, script: str) -> Any:
        """The value of an expression; of a promise, what comes of it."""
        told = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def press(self, key: str) -> None:
        """Enter, Tab or a blank, in what has the focus."""
        code, text = {"Enter": (13, "\r"), "Tab": (9, ""), " ": (32, " ")}[key]
        named = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", **named, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **named)

    def type(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def focused(self) -> str:
        """The id of what has the focus."""
        return str(self.run("document.activeElement.id"))

    def text(self, selector: str) -> str:
        return str(self.run(f"document.querySelector({json.dumps(selector)}).innerText"))


@contextlib.contextmanager
def page() -> Iterator[Page]:
    """A browser with one page, for as long as the block lasts; skipped, visibly, where there is no Chromium."""
    path = program("chromium")
    with tempfile.TemporaryDirectory() as home:
        process = subprocess.Popen(
            [path, *FLAGS, f"--user-data-dir={home}", "about:blank"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        try:
            assert process.stderr
            for line in process.stderr:
                if found := re.search(rb"DevTools listening on ws://([\d.]+):(\d+)/", line):
                    break
            else:
                raise AssertionError("Chromium ended before it listened")
            at = Address(found[1].decode(), int(found[2]))
            pages = [each for each in json.loads(wire.get(at, "/json").body) if each["type"] == "page"]
            with connect(pages[0]["webSocketDebuggerUrl"], max_size=None) as line:
                yield Page(line)
        finally:
            process.terminate()
            process.communicate()
