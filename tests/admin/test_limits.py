"""What limits have counted, asked of a running gateway, and reset there."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.support import wire
from tests.support.gateway import ADMIN_KEY, Gateway, one_route
from tests.support.upstreams import Scripted
from tests.support.waiting import until
from tests.support.wire import Address

VIEWER = "a-viewer-key-for-tests-only"
HOUR = 3600
HERE = "127.0.0.1"


def limit(**members: Any) -> dict[str, Any]:
    return {"count": 3, "time_window": HOUR, "rejected_code": 429, **members}


def plugins(**routes: dict[str, Any]) -> list[dict[str, Any]]:
    """Routes by their ids, of which each is the path too."""
    return [{"id": id, "uri": f"/{id}", "plugins": each} for id, each in routes.items()]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, echo: Address) -> Iterator[Gateway]:
    routes = plugins(
        fixed={"limit-count": limit(key="http_x_key")},
        sliding={"limit-count": limit(window_type="sliding", time_window=24 * HOUR)},
        bucket={"limit-count": limit(window_type="token-bucket", burst=2, key="$uri!$http_x_key", key_type="var_combination")},
        one={"limit-count": limit(group="g", key="all", key_type="constant")},
        two={"limit-count": limit(group="g", key="all", key_type="constant")},
        req={"limit-req": {"rate": 0.001, "burst": 3, "nodelay": True, "key": "http_x_key"}},
        mine={"key-auth": {}},
    )
    for route in routes:
        route["upstream_id"] = "u"
    config = {
        "workers": 2,
        "admin": {"viewer_key": VIEWER},
        "upstreams": [{"id": "u", "nodes": {str(echo): 1}}],
        "routes": routes,
        "consumers": [
            {"username": "jack", "plugins": {"key-auth": {"key": "jacks-key"}, "limit-count": limit(key="consumer_name")}}
        ],
    }
    with Gateway(tmp_path_factory.mktemp("limits"), config) as started:
        yield started


def ask(gateway: Gateway, path: str, times: int = 1, **headers: str) -> None:
    for _ in range(times):
        gateway.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})


def call(gateway: Gateway, key: str | bytes, method: str = "GET", **more: str) -> wire.Response:
    return gateway.api(method, f"limits?key={quote(key)}" + "".join(f"&{name}={value}" for name, value in more.items()))


def counted(gateway: Gateway, key: str | bytes, **more: str) -> list[dict[str, Any]]:
    answer = call(gateway, key, **more)
    assert answer.status == 200, answer
    found = answer.json()
    assert found["total"] == len(found["list"])
    entries: list[dict[str, Any]] = found["list"]
    return entries


def test_a_fixed_window(gateway: Gateway) -> None:
    ask(gateway, "/fixed", 2, x_key="fixed-key")
    (entry,) = counted(gateway, "fixed-key")
    assert 0 < entry.pop("reset") <= HOUR
    assert entry == {
        "owner": "routes/fixed",
        "plugin": "limit-count",
        "policy": "local",
        "key": "fixed-key",
        "algorithm": "fixed",
        "limit": 3,
        "consumed": 2,
        "remaining": 1,
        "retry_after": 0,
    }
    ask(gateway, "/fixed", 2, x_key="fixed-key")
    (entry,) = counted(gateway, "fixed-key")
    assert (entry["consumed"], entry["remaining"]) == (3, 0)
    assert 0 < entry["retry_after"] == entry["reset"]


def test_every_algorithm_and_kind_of_key(gateway: Gateway) -> None:
    ask(gateway, "/sliding")
    ask(gateway, "/bucket", 2, x_key="b")
    ask(gateway, "/req", 2, x_key="req-key")
    ask(gateway, "/mine", apikey="jacks-key")
    assert [each["algorithm"] for each in counted(gateway, HERE)] == ["sliding"]
    (bucket,) = counted(gateway, "/bucket!b")
    assert (bucket["algorithm"], bucket["limit"], bucket["consumed"], bucket["remaining"]) == ("token-bucket", 2, 2, 0)
    (req,) = counted(gateway, "req-key")
    assert (req["plugin"], req["algorithm"], req["limit"]) == ("limit-req", "leaky-bucket", 4)
    assert (req["consumed"], req["remaining"]) == (2, 2)
    (mine,) = counted(gateway, "jack")
    assert (mine["owner"], mine["consumed"]) == ("consumers/jack", 1)


def test_a_group_is_one_limit_whose_members_lead_to_it(gateway: Gateway) -> None:
    ask(gateway, "/one")
    ask(gateway, "/two")
    (entry,) = counted(gateway, "all")
    assert (entry["owner"], entry["consumed"]) == ("group/g", 2)
    for owner in ("group/g", "routes/one", "routes/two"):
        assert counted(gateway, "all", owner=owner) == [entry | {name: pytest.approx(entry[name], abs=9) for name in ("reset",)}]
    assert counted(gateway, "all", owner="routes/fixed") == []


def test_a_key_is_bytes(gateway: Gateway) -> None:
    raw = b"\xff%\xe2\x82\xac"
    request = b"GET /fixed HTTP/1.1\r\nHost: a\r\nX-Key: %b\r\nConnection: close\r\n\r\n" % raw
    assert b" 404 " in wire.raw(gateway.data, request)  # the upstream's
    (entry,) = counted(gateway, raw)
    assert entry["key"] == "\\xff%€"


def test_owner_and_plugin_choose(gateway: Gateway) -> None:
    for path in ("/fixed", "/req"):
        ask(gateway, path, x_key="chosen")
    assert {each["plugin"] for each in counted(gateway, "chosen")} == {"limit-count", "limit-req"}
    assert [each["plugin"] for each in counted(gateway, "chosen", plugin="limit-req")] == ["limit-req"]
    assert [each["owner"] for each in counted(gateway, "chosen", owner="routes/fixed")] == ["routes/fixed"]
    assert counted(gateway, "chosen", owner="routes/absent") == []
    assert counted(gateway, "nobody") == []


def test_what_requests_hold(directory: Path) -> None:
    conf = {
        "default_conn_delay": 0.1,
        "rules": [
            {"conn": 2, "burst": 1, "key": "${http_x_key}"},
            {"conn": "${arg_n}", "burst": 1, "key": "${http_x_key}${uri}"},
        ],
    }
    with (
        Scripted([b""], keep_open=True) as silent,
        Gateway(directory, one_route(silent.address, plugins={"limit-conn": conf})) as gw,
    ):
        with wire.connect(gw.data) as client:
            client.sendall(b"GET /?n=5 HTTP/1.1\r\nHost: a\r\nX-Key: k\r\n\r\n")
            until(lambda: counted(gw, "k"), "it is held")
            (entry,) = counted(gw, "k")
            unknown = {"reset": None, "retry_after": None}
            told = {
                "owner": "routes/r",
                "plugin": "limit-conn",
                "policy": "local",
                "algorithm": "concurrent",
                "consumed": 1,
                **unknown,
            }
            assert entry == {**told, "key": "k", "rule": "${http_x_key}", "limit": 3, "remaining": 2}
            (entry,) = counted(gw, "k/")
            assert entry == {**told, "key": "k/", "rule": "${http_x_key}${uri}", "limit": None, "remaining": None}
            refused = call(gw, "k", "DELETE")
            assert refused.status == 400
            assert refused.json()["error_msg"] == "limit-conn: what requests hold cannot be reset; they give it back as they end"
            assert counted(gw, "k")
        until(lambda: not counted(gw, "k"), "it is given back")


def test_a_reset_lets_the_whole_limit_in_again_and_is_in_the_audit_log(gateway: Gateway) -> None:
    for path in ("/fixed", "/req"):
        ask(gateway, path, 5, x_key="reset-key")
    before = counted(gateway, "reset-key")
    answer = call(gateway, "reset-key", "DELETE", plugin="limit-count")
    assert answer.status == 200
    assert [each["consumed"] for each in answer.json()["list"]] == [3]
    assert [each["plugin"] for each in counted(gateway, "reset-key")] == ["limit-req"]
    refused = [gateway.get("/fixed", headers={"X-Key": "reset-key"}).status == 429 for _ in range(4)]
    assert refused == [False, False, False, True]
    entry = gateway.api("GET", "audit?limit=1").json()["list"][0]
    assert (entry["method"], entry["path"], entry["kind"], entry["id"]) == ("DELETE", "/apisix/admin/limits", "limits", "*")
    assert entry["changes"] == [{"object": "routes/fixed/limit-count", "path": "consumed", "before": 3, "after": 0}]
    assert entry["key"] == "admin"
    lines = (gateway.directory / "data" / "audit.log").read_text()
    assert json.loads(lines.splitlines()[-1]) == entry
    assert "reset-key" not in lines, "a key may be a secret: it is in no log"
    assert call(gateway, "reset-key", "DELETE", owner="routes/absent").status == 404
    assert call(gateway, "nobody", "DELETE").json() == {"message": "Key not found"}
    assert len(call(gateway, "reset-key", "DELETE").json()["list"]) == len(before) == 2
    assert counted(gateway, "reset-key") == []


def test_what_a_store_counts_is_named_and_left_to_it(gateway: Gateway) -> None:
    shared = limit(key="all", key_type="constant", policy="redis", redis_host="127.0.0.1", redis_port=1)
    gateway.put("routes/shared", {**plugins(shared={"limit-count": shared})[0], "upstream_id": "u"})
    assert [each["owner"] for each in counted(gateway, "all") if each["policy"] != "local"] == []
    (entry,) = counted(gateway, "all", owner="routes/shared")
    assert (entry["policy"], entry["consumed"], entry["limit"]) == ("redis", None, None)
    refused = call(gateway, "all", "DELETE", owner="routes/shared")
    assert refused.status == 400
    assert refused.json()["error_msg"] == "limit-count: what policy redis counts is to be reset in its store"
    assert gateway.api("DELETE", "routes/shared").status == 200


def test_what_is_asked_of_follows_the_configuration(gateway: Gateway) -> None:
    node = {"upstream_id": "u"}
    gateway.put("routes/late", {**plugins(late={"limit-count": limit(key="http_x_key")})[0], **node})
    ask(gateway, "/late", x_key="late-key")
    assert counted(gateway, "late-key")[0]["limit"] == 3
    gateway.put("routes/late", {**plugins(late={"limit-count": limit(key="http_x_key", count=9)})[0], **node})
    assert (counted(gateway, "late-key")[0]["limit"], counted(gateway, "late-key")[0]["remaining"]) == (9, 8)
    off = {"limit-count": {**limit(key="http_x_key"), "_meta": {"disable": True}}}
    gateway.put("routes/late", {**plugins(late=off)[0], **node})
    assert counted(gateway, "late-key") == []
    assert gateway.api("DELETE", "routes/late").status == 200
    assert counted(gateway, "late-key") == []


def test_a_viewer_looks_and_does_not_reset(gateway: Gateway) -> None:
    ask(gateway, "/fixed", x_key="seen")
    assert gateway.api("GET", "limits?key=seen", key=VIEWER).json()["total"] == 1
    assert gateway.api("DELETE", "limits?key=seen", key=VIEWER).status == 403
    assert gateway.api("GET", "limits?key=seen", key=None).status == 401
    assert counted(gateway, "seen")[0]["consumed"] == 1


@pytest.mark.parametrize(
    ("method", "query", "text"),
    [
        ("DELETE", "", "missing argument key: expected the value that requests are counted by"),
        (
            "GET",
            "?key=a&plugin=jwt-auth",
            "invalid argument plugin: expected one of workflow, limit-conn, limit-count, limit-req",
        ),
    ],
)
def test_what_is_wrong_is_said(gateway: Gateway, method: str, query: str, text: str) -> None:
    answer = gateway.api(method, f"limits{query}", key=ADMIN_KEY)
    assert (answer.status, answer.json()) == (400, {"error_msg": text})


def test_other_methods_have_no_such_place(gateway: Gateway) -> None:
    for method in ("PUT", "POST", "PATCH"):
        assert gateway.api(method, "limits?key=a", {}).status == 404


# -- the hottest keys, and what processes have counted ---------------------------------------------------


def test_without_a_key_the_hottest_are_told(gateway: Gateway) -> None:
    ask(gateway, "/fixed", 360, x_key="hot")
    ask(gateway, "/fixed", 120, x_key="wa\trm")
    ask(gateway, "/fixed", 120, x_key="x" * 100)
    answer = gateway.api("GET", "limits?owner=routes/fixed")
    assert answer.status == 200
    entries = {each["key"]: each for each in answer.json()["list"]}
    assert answer.json()["list"][0]["key"] == "hot"
    hot = entries["hot"]
    assert (hot["owner"], hot["plugin"], hot["limit"], hot["consumed"], hot["remaining"]) == (
        "routes/fixed",
        "limit-count",
        3,
        3,
        0,
    )
    assert hot["hits_per_second"] > hot["refused_per_second"] > 0
    assert entries["wa\trm"]["hits_per_second"] < hot["hits_per_second"]
    cut = entries["x" * 56 + "…"]
    assert (cut["limit"], cut["consumed"], cut["remaining"]) == (None, None, None)
    assert gateway.api("GET", "limits?owner=routes/absent").json() == {"total": 0, "list": []}


def test_a_viewer_sees_no_keys_that_he_did_not_name(gateway: Gateway) -> None:
    ask(gateway, "/fixed", 8, x_key="hidden")
    seen = gateway.api("GET", "limits", key=VIEWER).json()
    assert seen["total"] > 0
    assert {each["key"] for each in seen["list"]} == {None}


def test_stats_tell_of_every_process(gateway: Gateway) -> None:
    before = gateway.api("GET", "stats", key=VIEWER).json()
    ask(gateway, "/fixed", 6, x_key="counted")

    def counted_since() -> int:
        """An answer may be there a moment before its request is counted."""
        return int(gateway.api("GET", "stats").json()["totals"]["requests"] - before["totals"]["requests"])

    until(lambda: counted_since() >= 6, "the requests are counted")
    after = gateway.api("GET", "stats").json()
    assert counted_since() == 6
    assert after["time"] > before["time"]
    workers = [each for each in after["processes"] if each["role"] == "worker"]
    assert {each["pid"] for each in workers} == set(gateway.workers())
    assert {(each["state"], each["revision"]) for each in workers} == {("serving", after["revision"])}
    assert sum(each["requests"] for each in workers) == after["totals"]["requests"]
    assert [each["role"] for each in after["processes"] if each["role"] != "worker"] == ["admin"]
