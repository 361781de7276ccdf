"""traffic-split from outside: shares over workers, rules, and what becomes of a route when an upstream goes."""

from collections import Counter
from pathlib import Path
from typing import Any

from tests.plugins.mirror import ask
from tests.support.gateway import Gateway
from tests.support.upstreams import Answering


def named(name: bytes) -> Answering:
    return Answering(lambda request: b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(name), name))


def test_requests_go_where_the_rules_say(directory: Path) -> None:
    with named(b"own") as own, named(b"green") as green, named(b"blue") as blue:

        def node(upstream: Answering) -> dict[str, Any]:
            return {"type": "roundrobin", "nodes": {str(upstream.address): 1}}

        rules = [
            {"match": [{"vars": [["arg_release", "==", "blue"]]}], "weighted_upstreams": [{"upstream": node(blue)}]},
            {"weighted_upstreams": [{"upstream_id": "green", "weight": 2}, {"weight": 8}]},
        ]
        split = {"id": "r", "uri": "/*", "upstream": node(own), "plugins": {"traffic-split": {"rules": rules}}}
        config = {"routes": [split], "upstreams": [{"id": "green", **node(green)}]}
        with Gateway(directory, config) as gateway:
            assert Counter(ask(gateway, "/").body for _ in range(50)) == {b"own": 40, b"green": 10}
            assert Counter(ask(gateway, "/?release=blue").body for _ in range(5)) == {b"blue": 5}
            gateway.put(
                "routes/r",
                {**split, "plugins": {"traffic-split": {"rules": [{"weighted_upstreams": [{"upstream_id": "green"}]}]}}},
            )
            assert ask(gateway, "/").body == b"green"
            bad = {"rules": [{"weighted_upstreams": [{"upstream": {"nodes": {"a:0": 1}}}]}]}
            answer = gateway.api("PUT", "routes/x", {"uri": "/x", "plugins": {"traffic-split": bad}})
            assert answer.status == 400
            assert b"failed to check the configuration of plugin traffic-split err: " in answer.body
