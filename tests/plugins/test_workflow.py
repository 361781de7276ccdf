"""workflow over a real gateway with two workers and the Admin API: what is written is what is done, to each request once."""

from pathlib import Path
from typing import Any

import pytest

from tests.plugins.mirror import consumer
from tests.support.gateway import Gateway, one_route
from tests.support.upstreams import Answering, Upstream

COUNT = {"count": 3, "time_window": 3600, "rejected_code": 429}


def config(up: Upstream, *rules: dict[str, Any], workers: int = 2, **plugins: Any) -> dict[str, Any]:
    return {"workers": workers, **one_route(up.address, plugins={"workflow": {"rules": list(rules)}, **plugins})}


def limited(path: str, **limit: Any) -> dict[str, Any]:
    return {"case": [["uri", "==", path]], "actions": [["limit-count", {**COUNT, **limit}]]}


def statuses(gateway: Gateway, *paths: str) -> list[int]:
    return [gateway.get(path).status for path in paths]


def test_rules_decide_and_count_apart_over_all_workers(directory: Path, up: Answering) -> None:
    """Transcript of t/plugin/workflow.t, tests 8 to 18 (APISIX)."""
    refusal = {"case": [["arg_foo", "==", "bar"]], "actions": [["return", {"code": 403}]]}
    with Gateway(directory, config(up, refusal, limited("/hello"), limited("/hello1"))) as gateway:
        got = gateway.get("/hello?foo=bar")
        assert (got.status, got.json()) == (403, {"error_msg": "rejected by workflow"})
        assert statuses(gateway, *["/hello", "/hello1"] * 4) == [200] * 6 + [429] * 2
        assert statuses(gateway, *["/other"] * 5) == [200] * 5


def test_a_request_is_counted_once(directory: Path, up: Answering) -> None:
    """By the action, not by the route's own plugin as well (known-pains 2.8)."""
    own = {**COUNT, "count": 2, "key": "constant", "key_type": "constant"}
    with Gateway(directory, config(up, limited("/a"), **{"limit-count": own})) as gateway:
        assert statuses(gateway, *["/a"] * 4) == [200, 200, 200, 429]
        assert statuses(gateway, *["/b"] * 3) == [200, 200, 429]


def test_nor_by_the_consumer_s(directory: Path, up: Answering) -> None:
    whole = config(up, limited("/a"), **{"key-auth": {}})
    kim = consumer("kim", ("k", {"key-auth": {"key": "k-e-y"}}))
    whole["consumers"] = [{**kim, "plugins": {"limit-count": {**COUNT, "count": 1}}}]
    with Gateway(directory, whole) as gateway:
        key = {"apikey": "k-e-y"}
        assert [gateway.get("/a", headers=key).status for _ in range(4)] == [200, 200, 200, 429]
        assert [gateway.get("/b", headers=key).status for _ in range(2)] == [200, 429]


def test_counts_outlive_a_reload_and_belong_to_the_rule(directory: Path, up: Answering) -> None:
    with Gateway(directory, config(up, limited("/a"))) as gateway:
        assert statuses(gateway, "/a", "/a") == [200, 200]
        gateway.reload(config(up, limited("/a", count=4)))
        assert statuses(gateway, *["/a"] * 3) == [200, 200, 429]
        gateway.reload(config(up, limited("/b"), limited("/a", count=4)))  # now it is the second
        assert statuses(gateway, "/a") == [200]


def test_its_own_meta_holds_for_its_actions(directory: Path, up: Answering) -> None:
    whole = config(up, {"actions": [["return", {"code": 403}]]})
    whole["routes"][0]["plugins"]["workflow"]["_meta"] = {"filter": [["uri", "==", "/a"]], "error_response": {"no": "entry"}}
    with Gateway(directory, whole) as gateway:
        got = gateway.get("/a")
        assert (got.status, got.json()) == (403, {"no": "entry"})
        assert statuses(gateway, "/b") == [200]


@pytest.mark.parametrize(
    ("action", "said"),
    [
        (["return", {"status": 403}], 'return\' action: property "code" is required'),
        (
            ["limit-count", {**COUNT, "count": 0}],
            'limit-count\' action: property "count" validation failed: expected 0 to be greater than 0',
        ),
        (["limit-count", {**COUNT, "group": "g"}], "limit-count' action: group is not supported in workflow"),
    ],
)
def test_the_admin_api_refuses_in_the_words_of_apisix(directory: Path, action: list[Any], said: str) -> None:
    with Gateway(directory) as gateway:
        value = {"uri": "/", "plugins": {"workflow": {"rules": [{"actions": [action]}]}}}
        got = gateway.api("PUT", "routes/x", value)
        assert (got.status, got.json()["error_msg"]) == (
            400,
            f"failed to check the configuration of plugin workflow err: failed to validate the '{said}",
        )


def test_the_admin_api_tells_and_forgets_what_a_rule_has_counted(directory: Path, up: Answering) -> None:
    refusal = {"case": [["uri", "==", "/no"]], "actions": [["return", {"code": 403}]]}
    with Gateway(directory, config(up, refusal, limited("/a"))) as gateway:
        assert statuses(gateway, *["/a"] * 4) == [200, 200, 200, 429]
        (found,) = gateway.api("GET", "limits?key=127.0.0.1").json()["list"]
        told = (found["owner"], found["plugin"], found["rule"], found["consumed"])
        assert told == ("routes/r", "workflow", "1/limit-count", 3)
        assert gateway.api("DELETE", "limits?key=127.0.0.1&plugin=workflow").status == 200
        assert statuses(gateway, "/a") == [200]
