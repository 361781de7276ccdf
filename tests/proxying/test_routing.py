"""Routing from outside: a gateway, its configuration file, requests. Routes answer themselves, each with a status of its own."""

from pathlib import Path
from typing import Any

from tests.support.gateway import Gateway
from tests.support.upstreams import Answering
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


def test_variables_of_the_connection_and_forms_of_paths(tmp_path: Path) -> None:
    route = {
        "id": "1",
        "uri": "/a",
        "vars": [["server_addr", "==", "127.0.0.1"], ["remote_port", ">", 0], ["hostname", "!", "==", None]],
        "plugins": {"workflow": {"rules": [{"actions": [["return", {"code": 299}]]}]}},
    }
    router = {"delete_uri_tail_slash": True, "normalize_uri_like_servlet": True}
    with Gateway(tmp_path, {"routes": [route], "router": router}) as gateway:
        assert [asked(gateway.data, path) for path in ("/a", "/a/", "/a;x=1", "/b/..;/a", "/b")] == [299, 299, 299, 400, 404]


def test_patterns_come_and_go_by_the_admin_api(tmp_path: Path) -> None:
    with Gateway(tmp_path) as gateway:
        for i in range(40):
            plugins = {"workflow": {"rules": [{"actions": [["return", {"code": 300 + i}]]}]}}
            assert gateway.api("PUT", f"routes/{i}", {"uri": f"/*/{i}/*x", "plugins": plugins}).status == 201
        assert [asked(gateway.data, f"/a/b/{i}/") for i in range(40)] == [300 + i for i in range(40)]
        for i in range(0, 40, 2):
            assert gateway.api("DELETE", f"routes/{i}").status == 200
        assert [asked(gateway.data, f"/a/b/{i}/") for i in range(40)] == [300 + i if i % 2 else 404 for i in range(40)]


def test_a_route_by_a_form_and_a_limit_by_json(tmp_path: Path) -> None:
    """Over real sockets, with the Admin API's own judgement of the objects."""
    answer = {"workflow": {"rules": [{"actions": [["return", {"code": 299}]]}]}}
    limit = {"count": 1, "time_window": 60, "key": "$remote_addr ${post_arg.user.id ?? nobody}", "key_type": "var_combination"}
    with Answering() as upstream, Gateway(tmp_path) as gateway:
        node = {"nodes": {str(upstream.address): 1}}
        form = {"uri": "/*", "priority": 1, "vars": [["post_arg_kind", "==", "b"]], "plugins": answer}
        other = {"uri": "/*", "plugins": {"limit-count": {**limit, "rejected_code": 429}}, "upstream": node}
        assert gateway.api("PUT", "routes/form", form).status == 201
        assert gateway.api("PUT", "routes/other", other).status == 201

        def posted(body: bytes, kind: str) -> int:
            head = (
                f"POST / HTTP/1.1\r\nHost: h\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            )
            return int(raw(gateway.data, head.encode() + body).split(b" ", 2)[1])

        urlencoded = "application/x-www-form-urlencoded"
        assert posted(b"kind=b", urlencoded) == 299
        assert [posted(b'{"user": {"id": %d}}' % i, "application/json") for i in (1, 1, 2)] == [200, 429, 200]
        assert b'\r\n\r\n{"user": {"id": 1}}' in upstream.received[0]
        assert gateway.api("PUT", "routes/form", {**form, "vars": [["status", "==", "200"]]}).status == 400
