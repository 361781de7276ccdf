"""The pictures of the live view and of `fastgw top` in the README, from a real run: `python -m tests.support.pictures`.

Owns: the gateway and the load that they show. It takes about two minutes and writes docs/ui.png and docs/top.svg.
"""

import base64
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from html import escape
from pathlib import Path
from typing import Any, Final

from tests.support import wire
from tests.support.chromium import Page, page
from tests.support.gateway import ADMIN_KEY, Gateway, free_addresses
from tests.support.processes import ROOT
from tests.support.tokens import token
from tests.support.waiting import until

LOAD_S: Final = 150
CLIENTS: Final = 4
SECRET: Final = "john-hs256-secret-of-enough-bytes"
NAMES: Final = ("johndoe", "janedoe", "billing", "mobile")


def config(echo: str, dead: str) -> dict[str, Any]:
    upstream = {
        "type": "roundrobin",
        "nodes": {echo: 1, dead: 1},
        "checks": {
            "active": {
                "http_path": "/status/200",
                "healthy": {"interval": 1, "successes": 1},
                "unhealthy": {"interval": 1, "tcp_failures": 1},
            }
        },
    }
    limit = {"limit-count": {"count": 400, "time_window": 20, "rejected_code": 429, "key": "consumer_name"}}
    consumers = [
        {
            "username": name,
            "credentials": [{"id": name, "plugins": {"jwt-auth": {"key": name, "secret": SECRET, "algorithm": "HS256"}}}],
        }
        for name in NAMES
    ]
    routes = [
        {"id": "orders", "uri": "/anything/orders/*", "upstream_id": "shop", "plugins": {"jwt-auth": {}, **limit}},
        {"id": "catalogue", "uri": "/anything/catalogue/*", "upstream_id": "shop"},
        {"id": "slow", "uri": "/delay/*", "upstream_id": "shop"},
    ]
    return {
        "workers": 2,
        "routes": routes,
        "upstreams": [{"id": "shop", **upstream}],
        "consumers": consumers,
        "access_log": {"enabled": False},
    }


def load(gateway: Gateway, until_s: float) -> None:
    """One client that asks now this, now that."""
    tokens = [token(name, SECRET) for name in NAMES]
    client = wire.Client(gateway.data)
    while time.monotonic() < until_s:
        busy = 0.5 + 0.5 * ((time.monotonic() / 30) % 1)
        chosen = random.random()
        if chosen < 0.6:
            shown = random.choices([*tokens, "none"], (60, 25, 10, 3, 2))[0]
            client.request("GET", f"/anything/orders/{random.randrange(100)}", headers={"Authorization": shown})
        elif chosen < 0.99:
            client.request("GET", f"/anything/catalogue/{random.randrange(100)}")
        else:
            client.request("GET", "/delay/0.05")
        time.sleep(random.random() * 0.01 / busy)


def drawn(text: str) -> str:
    """A terminal's text as SVG."""
    lines = text.rstrip("\n").split("\n")
    width, height = max(map(len, lines)) * 7.25 + 24, len(lines) * 17 + 24
    told = "\n".join(
        f'<text x="12" y="{24 + 17 * index}" xml:space="preserve">{escape(line)}</text>' for index, line in enumerate(lines)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" height="{height}">\n'
        '<rect width="100%" height="100%" rx="8" fill="#0d1117"/>\n'
        f'<g fill="#e6edf3" font-family="ui-monospace, monospace" font-size="12">\n{told}\n</g>\n</svg>\n'
    )


def shot(opened: Page, gateway: Gateway) -> bytes:
    opened.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}])
    opened.open(f"http://{gateway.admin}/ui")
    script = "document.querySelector('#key').value = {}; document.querySelector('#ask').requestSubmit()"
    opened.run(script.format(json.dumps(ADMIN_KEY)))
    until(lambda: opened.run("document.querySelectorAll('#graphs polyline').length") > 0, "the graphs")
    time.sleep(5)
    size = opened.run("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
    clip = {"x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1}
    return base64.b64decode(opened.call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)["data"])


def main() -> None:
    dead = free_addresses(1)[0]
    with tempfile.TemporaryDirectory() as directory, page() as opened:
        gateway = Gateway(Path(directory))
        gateway.write_config({**config(str(gateway.echo), str(dead)), "echo": str(gateway.echo)})
        with gateway:
            end = time.monotonic() + LOAD_S
            clients = [threading.Thread(target=load, args=(gateway, end)) for _ in range(CLIENTS)]
            for each in clients:
                each.start()
            time.sleep(LOAD_S - 25)
            command = [sys.executable, "-m", "fastgw", "top", "--once", "--interval", "4", str(gateway.config_path)]
            where = ["--admin", str(gateway.admin)]
            env = {**os.environ, "PYTHONPATH": str(ROOT), "FASTGW_ADMIN_KEY": ADMIN_KEY}
            told = subprocess.run([*command[:-1], *where, command[-1]], env=env, capture_output=True, text=True, check=True)
            (ROOT / "docs" / "top.svg").write_text(drawn(told.stdout))
            (ROOT / "docs" / "ui.png").write_bytes(shot(opened, gateway))
            for each in clients:
                each.join()


if __name__ == "__main__":
    main()
