"""limit-count from outside: every attribute, on one gateway with two workers whose counts are one."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastgw.plugins import limit_count
from fastgw.plugins.redis_fields import RedisCountConf
from tests.plugins.mirror import Answer, ask, consumer
from tests.support.attributes import rows
from tests.support.gateway import Gateway
from tests.support.upstreams import Answering
from tests.support.waiting import until

HOUR = {"time_window": 3600, "rejected_code": 429}
RULES = [
    {"count": 2, "time_window": 3600, "key": "$http_tenant"},
    {"count": "$http_most", "time_window": 3600, "key": "$http_user", "header_prefix": "User"},
]

CONFS: dict[str, dict[str, Any]] = {
    "plain": {"count": 3, **HOUR},
    "default-code": {"count": 1, "time_window": 3600},
    "message": {"count": 1, **HOUR, "rejected_msg": "slow down"},
    "sliding": {"count": 3, **HOUR, "window_type": "sliding"},
    "bucket": {"count": 3, **HOUR, "window_type": "token-bucket", "burst": 2},
    "var": {"count": 1, **HOUR, "key": "http_who"},
    "combination": {"count": 1, **HOUR, "key_type": "var_combination", "key": "$http_who $arg_a"},
    "constant": {"count": 1, **HOUR, "key_type": "constant", "key": "http_who"},
    "group-1": {"count": 2, **HOUR, "group": "g"},
    "group-2": {"count": 2, **HOUR, "group": "g"},
    "quiet": {"count": 1, **HOUR, "show_limit_quota_header": False},
    "quota": {"count": "$http_x_quota", **HOUR, "policy": "local"},
    "or-two": {"count": "${http_x_quota ?? 2}", **HOUR},
    "window": {"count": 1, "time_window": "${arg_window}", "rejected_code": 429},
    "degrading": {"count": "$http_x_quota", **HOUR, "allow_degradation": True},
    "rules": {"rules": RULES, "rejected_code": 429},
    "degrading-rules": {"rules": RULES, "rejected_code": 429, "allow_degradation": True},
    "shadow": {"count": 1, **HOUR, "_meta": {"shadow": True}},
    "both": {"count": 5, **HOUR},
    "consumer": {},
}


def config(upstream: Answering, **more: Any) -> dict[str, Any]:
    node = {"type": "roundrobin", "nodes": {str(upstream.address): 1}}
    routes = [
        {"id": name, "uri": f"/{name}", "upstream": node, "plugins": {"limit-count": conf} if conf else {"key-auth": {}}}
        for name, conf in CONFS.items()
    ]
    routes.append(
        {"id": "consumer-2", "uri": "/consumer-2", "upstream": node, "plugins": {"key-auth": {}, "limit-count": CONFS["plain"]}}
    )
    limit = {"plugins": {"limit-count": {"count": 2, **HOUR}}}
    consumers = [consumer(name, ("c", {"key-auth": {"key": name}}), **limit) for name in ("john", "jane")]
    return {"workers": 2, "routes": routes, "consumers": consumers, **more}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, up: Answering) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("gateway")
    with Gateway(directory, config(up, access_log={"path": str(directory / "access.log")})) as started:
        yield started


def statuses(gateway: Gateway, target: str, times: int, *fields: str) -> list[int]:
    return [ask(gateway, target, *fields).status for _ in range(times)]


def quota(answer: Answer, prefix: str = "X-RateLimit-") -> tuple[list[str], list[str], list[str]]:
    return answer.header(f"{prefix}Limit"), answer.header(f"{prefix}Remaining"), answer.header(f"{prefix}Reset")


def test_every_attribute_is_asked_for_here() -> None:
    used = {member for conf in CONFS.values() for member in conf if member != "_meta"}
    every = {row.name.partition("[")[0] for row in rows(limit_count.Conf)}
    assert used == every - {row.name for row in rows(RedisCountConf)}


def test_a_fixed_window(gateway: Gateway) -> None:
    first = ask(gateway, "/plain")
    assert (first.status, quota(first)) == (200, (["3"], ["2"], ["3600"]))
    assert statuses(gateway, "/plain", 2) == [200, 200]
    refused = ask(gateway, "/plain")
    assert (refused.status, refused.sent, quota(refused)[:2]) == (429, "", (["3"], ["0"]))
    assert 3500 < float(quota(refused)[2][0]) <= 3600
    assert 3500 < int(refused.header("Retry-After")[0]) <= 3600


def test_what_a_refusal_says(gateway: Gateway) -> None:
    assert statuses(gateway, "/default-code", 2) == [200, 503]
    assert ask(gateway, "/message").status == 200
    answer = ask(gateway, "/message")
    assert (answer.status, json.loads(answer.body)) == (429, {"error_msg": "slow down"})


def test_the_other_algorithms(gateway: Gateway) -> None:
    assert statuses(gateway, "/sliding", 4) == [200, 200, 200, 429]
    first = ask(gateway, "/bucket")
    assert (first.status, quota(first)) == (200, (["2"], ["1"], ["1200"]))
    assert statuses(gateway, "/bucket", 2) == [200, 429]


def test_what_requests_are_counted_by(gateway: Gateway) -> None:
    assert [ask(gateway, "/var", f"Who: {who}").status for who in "aab"] == [200, 429, 200]
    assert statuses(gateway, "/var", 2) == [200, 429]  # no value: the client's address
    assert [ask(gateway, f"/combination?a={a}", f"Who: {who}").status for who, a in ("a1", "a2", "b1", "a1")] == [
        200,
        200,
        200,
        429,
    ]
    assert [ask(gateway, "/constant", f"Who: {who}").status for who in "ab"] == [200, 429]


def test_those_of_a_group_share_one_count(gateway: Gateway) -> None:
    assert [ask(gateway, f"/group-{which}").status for which in (1, 2, 1, 2)] == [200, 200, 429, 429]


def test_a_client_may_not_be_told(gateway: Gateway) -> None:
    for status in (200, 429):
        answer = ask(gateway, "/quiet")
        assert (answer.status, quota(answer)) == (status, ([], [], []))


@pytest.mark.parametrize("value", ["0", "-1", "0.5", "1e9", "9007199254740992", "9" * 400, "", "all", "1;2", "1 or 2"])
def test_a_clients_word_is_a_number_or_nothing_passes(gateway: Gateway, value: str) -> None:
    for target in ("/quota", "/or-two", f"/window?window={value.replace(' ', '+')}"):
        answer = ask(gateway, target, f"X-Quota: {value}")
        assert (answer.status, answer.sent) == (500, "")
        assert json.loads(answer.body) == {"error_msg": "failed to limit count"}
        assert quota(answer) == ([], [], [])
    assert statuses(gateway, "/degrading", 3, f"X-Quota: {value}") == [200, 200, 200]


def test_numbers_of_the_request(gateway: Gateway) -> None:
    assert statuses(gateway, "/quota", 3, "X-Quota: 2") == [200, 200, 429]
    assert quota(ask(gateway, "/quota", "X-Quota: 9007199254740991"))[0] == ["9007199254740991"]
    assert statuses(gateway, "/quota", 1) == [500]
    assert statuses(gateway, "/or-two", 3) == [200, 200, 429]
    answer = ask(gateway, "/window?window=7200")
    assert (answer.status, quota(answer)[2]) == (200, ["7200"])
    assert statuses(gateway, "/window?window=2147483648", 1) == [500]


def test_rules(gateway: Gateway) -> None:
    who = ("Tenant: t", "User: u", "Most: 1")
    first, second = ask(gateway, "/rules", *who), ask(gateway, "/rules", *who)
    assert (first.status, quota(first, "X-1-RateLimit-")) == (200, (["2"], ["1"], ["3600"]))
    assert quota(first, "X-User-RateLimit-") == (["1"], ["0"], ["3600"])
    assert (second.status, quota(second, "X-1-RateLimit-")[1], quota(second, "X-User-RateLimit-")[1]) == (429, ["0"], ["0"])
    third = ask(gateway, "/rules", "Tenant: t", "User: another", "Most: 1")
    assert (third.status, quota(third, "X-User-RateLimit-")) == (429, ([], [], []))
    assert quota(third) == ([], [], [])
    assert statuses(gateway, "/rules", 2, "User: v", "Most: 1") == [200, 429]
    assert statuses(gateway, "/rules", 1, "User: v", "Most: 0") == [500]
    nobody = ask(gateway, "/rules")
    assert (nobody.status, json.loads(nobody.body)) == (500, {"error_msg": "failed to limit count"})
    assert statuses(gateway, "/degrading-rules", 2) == [200, 200]


def test_shadow_shows_in_the_log_only(gateway: Gateway) -> None:
    for _ in range(3):
        answer = ask(gateway, "/shadow")
        assert (answer.status, quota(answer), answer.header("Retry-After")) == (200, ([], [], []), [])
    log = gateway.directory / "access.log"

    def told() -> list[Any]:
        lines = (json.loads(line) for line in log.read_text().splitlines())
        return [(line.get("shadow"), line.get("refused")) for line in lines if line.get("route") == "shadow"]

    until(lambda: len(told()) == 3, "the log has three lines")
    assert told().count(("limit-count.exceeded", None)) == 2
    assert told().count((None, None)) == 1


def test_a_consumers_limit_is_one_for_its_routes_and_takes_the_place_of_theirs(gateway: Gateway) -> None:
    assert [ask(gateway, target, "apikey: john").status for target in ("/consumer", "/consumer-2", "/consumer")] == [
        200,
        200,
        429,
    ]
    assert statuses(gateway, "/consumer", 2, "apikey: jane") == [200, 200]


def test_refused_by_another_plugin_counts_nothing(gateway: Gateway) -> None:
    assert statuses(gateway, "/consumer-2", 5) == [401] * 5


def test_metadata_names_the_headers_and_switches_the_drafts(directory: Path, up: Answering) -> None:
    """Of a global rule and a route each is a member; the later one's own lines stand."""
    settings = config(
        up,
        plugin_metadata=[
            {"id": "limit-count", "limit_header": "X-L", "remaining_header": "X-M", "reset_header": "X-R", "draft_headers": True}
        ],
        global_rules=[{"id": "1", "plugins": {"limit-count": {"count": 900, "time_window": 86400}}}],
    )
    with Gateway(directory, settings) as gateway:
        answer = ask(gateway, "/both")
        assert (answer.header("X-L"), answer.header("X-M"), answer.header("X-R")) == (["5"], ["4"], ["3600"])
        assert quota(answer) == ([], [], [])
        assert answer.header("RateLimit-Policy") == ['"global-rule";q=900;w=86400, "route";q=5;w=3600']
        assert answer.header("RateLimit") == ['"global-rule";r=899;t=86400, "route";r=4;t=3600']
        answers = [ask(gateway, "/rules", "Tenant: t", "User: u", "Most: 1") for _ in range(2)]
        assert [answer.status for answer in answers] == [200, 429]
        assert [answer.header("RateLimit-Policy") for answer in answers] == [
            ['"global-rule";q=900;w=86400, "route-1";q=2;w=3600, "User";q=1;w=3600']
        ] * 2
        (told,) = answers[1].header("RateLimit")
        assert [member.partition(";t=")[0] for member in told.split(", ")] == [
            '"global-rule";r=897',
            '"route-1";r=0',
            '"User";r=0',
        ]


def test_an_edit_and_a_reload_keep_what_was_consumed(directory: Path, up: Answering) -> None:
    """Three of three are consumed; the limit becomes five: two more pass, and whichever worker is asked knows it."""
    with Gateway(directory, config(up)) as gateway:
        assert statuses(gateway, "/plain", 4) == [200, 200, 200, 429]
        settings = config(up)
        for route in settings["routes"]:
            if route["id"] == "plain":
                route["plugins"] = {"limit-count": {"count": 5, **HOUR}}
        assert "reloaded" in gateway.reload(settings)
        assert statuses(gateway, "/plain", 4) == [200, 200, 429, 429]
        gateway.process.signal(signal.SIGHUP)
        assert statuses(gateway, "/plain", 2) == [429, 429]
