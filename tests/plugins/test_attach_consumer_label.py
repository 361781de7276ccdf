"""attach-consumer-label from outside: with a consumer, and without."""

from pathlib import Path

from tests.plugins.mirror import ask, mirror
from tests.support.gateway import Gateway


def test_the_upstream_is_told_the_label(directory: Path) -> None:
    label = {"attach-consumer-label": {"headers": {"X-Department": "$department"}}}
    with mirror() as upstream:
        node = {"type": "roundrobin", "nodes": {str(upstream.address): 1}}
        routes = [
            {"id": "auth", "uri": "/auth", "upstream": node, "plugins": {"key-auth": {}, **label}},
            {"id": "open", "uri": "/open", "upstream": node, "plugins": label},
        ]
        consumers = [
            {"username": "ann", "labels": {"department": "devops"}, "plugins": {"key-auth": {"key": "a"}}},
            {"username": "bob", "plugins": {"key-auth": {"key": "b"}}},
        ]
        with Gateway(directory, {"routes": routes, "consumers": consumers}) as gateway:
            board = "X-Department: board"
            assert "\r\nX-Department: devops\r\n" in ask(gateway, "/auth", "apikey: a", board).sent
            for answer in (ask(gateway, "/auth", "apikey: b", board), ask(gateway, "/open", board, "x_department: board")):
                assert answer.status == 200
                assert "department" not in answer.sent.lower()
            conf = {"attach-consumer-label": {"headers": {"X-Department": "department"}}}
            assert gateway.api("PUT", "routes/x", {"uri": "/x", "plugins": conf}).status == 400
