"""consumer-restriction from outside: the four types, both lists and the methods, the rows of APISIX's answers."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.mirror import Answer, consumer, mirror, parse
from tests.support import wire
from tests.support.gateway import Gateway
from tests.support.wire import Address

KIM = consumer("kim", ("k", {"key-auth": {"key": "kim-key"}}), group_id="staff")
LEE = consumer("lee", ("k", {"key-auth": {"key": "lee-key"}}))
ANN = consumer(  # may only use one service, whoever guards its routes
    "ann",
    ("k", {"key-auth": {"key": "ann-key"}}),
    plugins={"consumer-restriction": {"type": "service_id", "whitelist": ["s1"]}},
)
CONFS: dict[str, dict[str, Any]] = {
    "white": {"whitelist": ["kim", "ann"]},
    "black": {"blacklist": ["kim"], "rejected_code": 401, "rejected_msg": 'no "kim"'},
    "both": {"whitelist": ["kim", "lee"], "blacklist": ["lee"]},
    "methods": {"allowed_by_methods": [{"user": "kim", "methods": ["POST", "PUT"]}, {"user": "kim", "methods": ["GET"]}]},
    "trusted": {"whitelist": ["kim"], "allowed_by_methods": [{"user": "kim", "methods": ["POST"]}]},
    "none": {"allowed_by_methods": []},
    "group": {"type": "consumer_group_id", "whitelist": ["staff"]},
    "notgroup": {"type": "consumer_group_id", "blacklist": ["staff"]},
    "route": {"type": "route_id", "whitelist": ["route"]},
    "notroute": {"type": "route_id", "blacklist": ["notroute"], "rejected_code": 451},
    "quiet": {"blacklist": ["kim"], "rejected_msg": ""},
    "ends": {"blacklist": ["kimm", "ki", "Kim", "kim ", "*"]},
}


def config(upstream: Address, **more: Any) -> dict[str, Any]:
    node = {"type": "roundrobin", "nodes": {str(upstream): 1}}
    routes: list[dict[str, Any]] = [
        {"id": n, "uri": f"/{n}", "upstream": node, "plugins": {"key-auth": {}, "consumer-restriction": c}}
        for n, c in CONFS.items()
    ]
    by_service = {"consumer-restriction": {"type": "service_id", "whitelist": ["s1"]}}
    guest = {"key-auth": {"anonymous_consumer": "guest"}, "consumer-restriction": {"blacklist": ["guest"]}}
    for service in ("s1", "s2"):
        routes.append({"id": service, "uri": f"/{service}", "service_id": service, "upstream": node})
        routes.append({"id": f"{service}k", "uri": f"/{service}k", "service_id": service, "plugins": {"key-auth": {}}})
    routes += [
        {"id": "plain", "uri": "/plain", "upstream": node, "plugins": by_service},
        {"id": "open", "uri": "/open", "upstream": node, "plugins": {"consumer-restriction": {"whitelist": ["kim"]}}},
        {"id": "guest", "uri": "/guest", "upstream": node, "plugins": guest},
        {"id": "annonly", "uri": "/annonly", "upstream": node, "plugins": {"key-auth": {}}},
    ]
    services = [{"id": service, "upstream": node, "plugins": by_service} for service in ("s1", "s2")]
    groups = [{"id": "staff", "plugins": {}}]
    return {
        "consumers": [KIM, LEE, ANN, {"username": "guest"}],
        "consumer_groups": groups,
        "services": services,
        "routes": routes,
        **more,
    }


def ask(gateway: Gateway, target: str, key: str | None, method: str = "GET") -> Answer:
    lines = [f"{method} {target} HTTP/1.1", "Host: test", "Connection: close", *([f"apikey: {key}-key"] if key else []), "", ""]
    return parse(wire.raw(gateway.data, "\r\n".join(lines).encode()))


def refused(kind: str = "consumer_name") -> bytes:
    return b'{"message":"The %s is forbidden."}\n' % kind.encode()


def missing(kind: str = "consumer_name") -> bytes:
    return b'{"message":"The request is rejected, please check the %s for this request"}\n' % kind.encode()


def test_rows_of_the_reference(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        for target, key, method, status, body in (
            ("/white", "kim", "GET", 200, None),
            ("/white", "lee", "GET", 403, refused()),
            ("/black", "lee", "GET", 200, None),
            ("/black", "kim", "GET", 401, b'{"message":"no \\"kim\\""}\n'),
            ("/both", "kim", "GET", 200, None),
            ("/both", "lee", "GET", 403, refused()),  # the blacklist goes first
            ("/methods", "kim", "POST", 200, None),
            ("/methods", "kim", "PUT", 200, None),
            ("/methods", "kim", "GET", 403, refused()),  # of two entries for one user the first is meant
            ("/methods", "kim", "HEAD", 403, b""),
            ("/methods", "lee", "GET", 200, None),  # not named
            ("/trusted", "kim", "GET", 200, None),  # on the whitelist: any method
            ("/trusted", "lee", "POST", 403, refused()),
            ("/none", "lee", "DELETE", 200, None),
            ("/group", "kim", "GET", 200, None),
            ("/group", "lee", "GET", 401, missing("consumer_group_id")),
            ("/notgroup", "kim", "GET", 403, refused("consumer_group_id")),
            ("/notgroup", "lee", "GET", 401, missing("consumer_group_id")),
            ("/route", "lee", "GET", 200, None),
            ("/notroute", "lee", "GET", 451, refused("route_id")),
            ("/s1", None, "GET", 200, None),
            ("/s2", None, "GET", 403, refused("service_id")),
            ("/plain", None, "GET", 401, missing("service_id")),
            ("/open", "kim", "GET", 401, missing()),  # nobody asked who it is
            ("/guest", "lee", "GET", 200, None),
            ("/guest", None, "GET", 403, refused()),
            ("/quiet", "kim", "GET", 403, b'{"message":""}\n'),
            ("/ends", "kim", "GET", 200, None),  # names are equal or not: no prefix, no case, no pattern
        ):
            answer = ask(gateway, target, key, method)
            assert answer.status == status, (target, key, method, answer.body)
            assert answer.header("WWW-Authenticate") == []
            if body is not None:
                assert (answer.body, answer.sent) == (body, ""), (target, key, method)
                assert not body or answer.header("Content-Type") == ["application/json"]


def test_a_consumer_may_be_kept_to_a_service(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        assert ask(gateway, "/s1k", "ann").status == 200
        assert ask(gateway, "/s2k", "ann").body == refused("service_id")
        assert ask(gateway, "/annonly", "ann").body == missing("service_id")  # of no service
        assert ask(gateway, "/annonly", "lee").status == 200
        # The consumer's own takes the place of the route's.
        assert ask(gateway, "/white", "ann").body == missing("service_id")


def test_a_moved_route_is_of_its_new_service_when_the_write_is_answered(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address, workers=2)) as gateway:
        for service, status in (("s2", 403), ("s1", 200)) * 3:
            gateway.put("routes/s1", {"uri": "/s1", "service_id": service})
            assert ask(gateway, "/s1", None).status == status


@pytest.mark.parametrize(
    ("conf", "fault"),
    [
        ({}, b"object matches none of the required"),
        ({"type": "ip", "whitelist": ["a"]}, b"matches none of the enum values"),
        ({"whitelist": []}, b"expect array to have at least 1 items"),
        ({"blacklist": []}, b"expect array to have at least 1 items"),
        ({"whitelist": [1]}, b"wrong type: expected string, got number"),
        ({"whitelist": ["a"], "rejected_code": 199}, b"expected 199 to be at least 200"),
        ({"whitelist": ["a"], "rejected_msg": 5}, b"wrong type: expected string, got number"),
        ({"allowed_by_methods": [{"user": "a", "methods": ["GOT"]}]}, b"matches none of the enum values"),
        ({"allowed_by_methods": [{"user": "a", "methods": []}]}, b"expect array to have at least 1 items"),
        ({"allowed_by_methods": [{"methods": ["GET"]}]}, b"user"),
    ],
)
def test_write_errors(conf: dict[str, Any], fault: bytes, one: Gateway) -> None:
    answer = one.api("PUT", "routes/x", {"uri": "/x", "plugins": {"consumer-restriction": conf}})
    assert answer.status == 400
    assert b"failed to check the configuration of plugin consumer-restriction err: " in answer.body
    assert fault in answer.body


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with Gateway(tmp_path_factory.mktemp("one")) as gateway:
        yield gateway


def test_refusals_are_in_the_log(directory: Path) -> None:
    log = directory / "access.log"
    with mirror() as upstream:
        with Gateway(directory, config(upstream.address, access_log={"path": str(log)})) as gateway:
            for target, key in (("/white", "kim"), ("/white", "lee"), ("/group", "lee")):
                ask(gateway, target, key)
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        reasons = [None, "consumer-restriction.refused", "consumer-restriction.missing"]
        assert [line.get("refused") for line in lines] == reasons
        assert [line["consumer"] for line in lines] == ["kim", "lee", "lee"]
