"""acl from outside: labels of consumers in their three forms, which list goes first, the rows of APISIX's answers."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.mirror import ask, consumer, mirror
from tests.support.gateway import Gateway
from tests.support.wire import Address


def labelled(name: str, **labels: str) -> dict[str, Any]:
    return consumer(name, ("k", {"key-auth": {"key": f"{name}-key"}}), labels=labels)


CONSUMERS = [
    labelled("jack", org="apache", project="gateway,apisix,web-server"),
    labelled("rose", org='["opensource","apache"]', project='["tomcat","web-server","http,server"]'),
    labelled("odd", org="[1,apache", project=',apisix,,"x"', team="cloud|infra"),
    labelled("numbers", org='[1,null,{"a":"apache"},["apache"]]', project="[1e999]"),
    consumer("plain", ("k", {"key-auth": {"key": "plain-key"}})),
    {**labelled("own", org="apache"), "plugins": {"acl": {"deny_labels": {"org": ["apache"]}, "rejected_code": 451}}},
    {"username": "guest", "labels": {"org": "guests"}},
]
CONFS: dict[str, dict[str, Any]] = {
    "org": {"allow_labels": {"org": ["apache"]}},
    "project": {"allow_labels": {"project": ["apisix"]}},
    "deny": {"deny_labels": {"project": ["apisix"]}, "rejected_msg": 'no "apisix"', "rejected_code": 401},
    "several": {"deny_labels": {"project": ["apisix", "tomcat"]}},
    "comma": {"allow_labels": {"project": ["http,server"]}},
    "either": {"allow_labels": {"team": ["infra"], "project": ["none", "tomcat"]}},
    "both": {"allow_labels": {"org": ["apache"]}, "deny_labels": {"project": ["gateway"]}},
    "other": {"allow_labels": {"project": ["apache"], "apache": ["org"], "org": ["Apache", "apach", "apache "]}},
    "whole": {"allow_labels": {"team": ["cloud|infra"]}},
    "empty": {"allow_labels": {"project": [""]}},
    "quiet": {"deny_labels": {"org": ["apache"]}, "rejected_msg": ""},
    # What is said of other users does not concern consumers.
    "parser": {
        "allow_labels": {"project": ["apisix"]},
        "external_user_label_field": "$..project",
        "external_user_label_field_parser": "table",
    },
}
FORBIDDEN = b'{"message":"The consumer is forbidden."}\n'
MISSING = b'{"message":"Missing authentication."}\n'


def config(upstream: Address, **more: Any) -> dict[str, Any]:
    node = {"type": "roundrobin", "nodes": {str(upstream): 1}}
    plugins: dict[str, dict[str, Any]] = {name: {"key-auth": {}, "acl": conf} for name, conf in CONFS.items()}
    plugins["open"] = {"acl": CONFS["org"]}
    plugins["guest"] = {"key-auth": {"anonymous_consumer": "guest"}, "acl": {"deny_labels": {"org": ["guests"]}}}
    plugins["unguarded"] = {"key-auth": {}}
    routes = [{"id": name, "uri": f"/{name}", "upstream": node, "plugins": own} for name, own in plugins.items()]
    return {"consumers": CONSUMERS, "routes": routes, **more}


def test_rows_of_the_reference(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        for target, key, status, body in (
            ("/org", "jack", 200, None),
            ("/org", "rose", 200, None),
            ("/org", "odd", 403, FORBIDDEN),  # an array that is none has no values
            ("/org", "numbers", 403, FORBIDDEN),  # only texts are values
            ("/org", "plain", 403, FORBIDDEN),  # no labels at all
            ("/project", "jack", 200, None),
            ("/project", "rose", 403, FORBIDDEN),
            ("/project", "odd", 200, None),
            ("/deny", "jack", 401, b'{"message":"no \\"apisix\\""}\n'),
            ("/deny", "rose", 200, None),
            ("/deny", "plain", 200, None),
            ("/several", "jack", 403, FORBIDDEN),
            ("/several", "rose", 403, FORBIDDEN),
            ("/several", "numbers", 200, None),
            ("/comma", "jack", 403, FORBIDDEN),
            ("/comma", "rose", 200, None),
            ("/either", "rose", 200, None),
            ("/either", "jack", 403, FORBIDDEN),
            ("/both", "jack", 403, FORBIDDEN),  # what is denied goes before what is allowed
            ("/both", "rose", 200, None),
            ("/other", "jack", 403, FORBIDDEN),  # names and values are equal or not: no prefix, no case
            ("/whole", "odd", 200, None),  # commas only
            ("/empty", "odd", 200, None),
            ("/empty", "jack", 403, FORBIDDEN),
            ("/quiet", "jack", 403, b'{"message":""}\n'),
            ("/parser", "jack", 200, None),
            ("/open", "jack", 401, MISSING),  # nobody asked who it is
            ("/guest", "jack", 200, None),
            ("/guest", None, 403, FORBIDDEN),
            ("/org", None, 401, b'{"message":"Missing API key in request"}\n'),
            ("/unguarded", "own", 451, FORBIDDEN),
            ("/org", "own", 451, FORBIDDEN),  # the consumer's own takes the place of the route's
        ):
            answer = ask(gateway, target, *([f"apikey: {key}-key"] if key else []))
            assert answer.status == status, (target, key, answer.body)
            if body is not None:
                assert (answer.body, answer.sent) == (body, ""), (target, key)
                assert answer.header("Content-Type") == ["application/json"]


def test_labels_are_those_of_the_last_write(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address, workers=2)) as gateway:
        for org, status in (("apache", 200), ("others", 403), ("others,apache", 200)) * 2:
            gateway.put("consumers", {"username": "plain", "labels": {"org": org}})
            assert ask(gateway, "/org", "apikey: plain-key").status == status
        for allowed, status in ((["others"], 200), (["apache", "x"], 200), (["x"], 403)):
            conf = {"uri": "/org", "plugins": {"key-auth": {}, "acl": {"allow_labels": {"org": allowed}}}}
            gateway.put("routes/org", {**conf, "upstream": {"nodes": {str(upstream.address): 1}}})
            assert ask(gateway, "/org", "apikey: plain-key").status == status


@pytest.mark.parametrize(
    ("conf", "fault"),
    [
        ({}, b"object matches none of the required"),
        ({"allow_labels": {}}, b"expect object to have at least 1 properties"),
        ({"deny_labels": {"a": []}}, b"expect array to have at least 1 items"),
        ({"deny_labels": {"a": "b"}}, b"wrong type: expected array, got string"),
        ({"deny_labels": {"a": [1]}}, b"wrong type: expected string, got number"),
        ({"rejected_code": 199}, b"expected 199 to be at least 200"),
        ({"rejected_msg": 5}, b"wrong type: expected string, got number"),
        ({"external_user_label_field": ""}, b"string too short, expected at least 1, got 0"),
        ({"external_user_label_field": "$[?(@.a)]"}, b"expected a JSONPath of names, indexes, '*' and '..'"),
        ({"external_user_label_field_parser": "xml"}, b"matches none of the enum values"),
        ({"external_user_label_field_parser": "segmented_text"}, b'"external_user_label_field_separator" is required'),
        ({"external_user_label_field_separator": "(a"}, b"expected a regular expression that RE2 takes"),
        ({"external_user_label_field_separator": ")|("}, b"expected a regular expression that RE2 takes"),
    ],
)
def test_write_errors(conf: dict[str, Any], fault: bytes, one: Gateway) -> None:
    if conf and not conf.keys() & {"allow_labels", "deny_labels"}:
        conf = {"allow_labels": {"a": ["b"]}, **conf}
    answer = one.api("PUT", "routes/x", {"uri": "/x", "plugins": {"acl": conf}})
    assert answer.status == 400
    assert b"failed to check the configuration of plugin acl err: " in answer.body
    assert fault in answer.body.replace(b'\\"', b'"'), answer.body


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with Gateway(tmp_path_factory.mktemp("one")) as gateway:
        yield gateway


def test_refusals_are_in_the_log(directory: Path) -> None:
    log = directory / "access.log"
    with mirror() as upstream:
        with Gateway(directory, config(upstream.address, access_log={"path": str(log)})) as gateway:
            for target, key in (("/org", "jack"), ("/org", "plain"), ("/open", "jack")):
                ask(gateway, target, f"apikey: {key}-key")
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert [line.get("refused") for line in lines] == [None, "acl.refused", "acl.missing"]
        assert [line.get("consumer") for line in lines] == ["jack", "plain", None]
