"""Routing from outside: a gateway, its configuration file, requests. Routes answer themselves, each with a status of its own."""

from pathlib import Path
from typing import Any

from tests.support.gateway import Gateway
from tests.support.waiting import until
from tests.support.wire import Address, raw

ROUTES: list[dict[str, Any]] = [
    {"uri": "/u/:id", "host": "a.test"},  # 210
    {"uri": "/u/*", "priority": 9},
    {"uri": "/u/me"},
    {"uri": "/deep/*/end", "hosts": ["*.a.test", "b.test:81"]},
    {"uri": "/deep/*", "host": "*a.test"},
    {"uri": "/deep/*"},
]


def config(mode: str | None) -> dict[str, Any]:
    routes = [
        {
            "id": str(i),
            **route,
            "plugins": {"workflow": {"rules": [{"actions": [["return", {"code": 210 + i}]]}]}},
        }
        for i, route in enumerate(ROUTES)
    ]
    return {"routes": routes, **({} if mode is None else {"router": {"http": mode}})}


def asked(data: Address, path: str, host: str = "other") -> int:
    answer = raw(data, f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    return int(answer.split(b" ", 2)[1])


def test_the_three_modes_and_what_a_reload_changes(tmp_path: Path) -> None:
    with Gateway(tmp_path, config(None)) as gateway:

        def found(*requests: tuple[str, str]) -> list[int]:
            return [asked(gateway.data, path, host) for path, host in requests]

        assert found(("/u/:id", "a.test"), ("/u/5", "a.test"), ("/u/me", "a.test")) == [210, 211, 212]
        assert found(("/deep/x/y/end", "x.y.A.test"), ("/deep/x/end", "b.test:81"), ("/deep/x", "a.test")) == [213, 215, 214]
        assert found(("/deep/x/end", "aa.test"), ("/deep/x/end", "x.a.test.")) == [214, 213]
        old = set(gateway.workers())
        gateway.reload(config("radixtree_uri_with_parameter"))
        until(lambda: not old & set(gateway.workers()), "the old worker is gone")
        # The priority of /u/* goes before the longer pattern: both have the prefix /u/.
        assert found(("/u/5", "a.test"), ("/u/me", "a.test")) == [211, 212]
        assert found(("/deep/x/end", "b.test:81"), ("/deep/x/end", "b.test:82"), ("/deep/x/end", "x.a.test")) == [213, 215, 213]
        explained = gateway.api("POST", "explain", {"uri": "/deep/x/end", "host": "b.test:81"}).json()["route"]
        assert explained["id"] == "3"
        assert explained["why"] == "the path matches /deep/*/end, the host is b.test:81; goes before route 5"
        low = {**ROUTES[0], "plugins": {"workflow": {"rules": [{"actions": [["return", {"code": 299}]]}]}}, "priority": 10}
        assert gateway.api("PUT", "routes/0", low).status in (200, 201)
        assert found(("/u/5", "a.test"), ("/u/5", "b.test"), ("/u/5/6", "a.test"), ("/u/", "a.test")) == [299, 211, 211, 211]


def test_patterns_come_and_go_by_the_admin_api(tmp_path: Path) -> None:
    with Gateway(tmp_path) as gateway:
        for i in range(40):
            plugins = {"workflow": {"rules": [{"actions": [["return", {"code": 300 + i}]]}]}}
            assert gateway.api("PUT", f"routes/{i}", {"uri": f"/*/{i}/*x", "plugins": plugins}).status == 201
        assert [asked(gateway.data, f"/a/b/{i}/") for i in range(40)] == [300 + i for i in range(40)]
        for i in range(0, 40, 2):
            assert gateway.api("DELETE", f"routes/{i}").status == 200
        assert [asked(gateway.data, f"/a/b/{i}/") for i in range(40)] == [300 + i if i % 2 else 404 for i in range(40)]
