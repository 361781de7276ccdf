"""Upstream nodes by name: resolved before a change is live, never on the request path."""

from pathlib import Path

from tests.support.gateway import Gateway
from tests.support.wire import Address


def test_a_named_node_serves_from_the_first_request(directory: Path, echo: Address) -> None:
    named = {"uri": "/anything", "upstream": {"nodes": {f"localhost:{echo.port}": 1}}}
    with Gateway(directory, {"routes": [{"id": "r", **named}], "workers": 2}) as gateway:
        for _ in range(8):
            assert gateway.get("/anything").status == 200
        gateway.put("routes/r", {**named, "uri": "/anything/else"})
        for _ in range(8):
            assert gateway.get("/anything/else").status == 200


def test_a_name_that_does_not_resolve_harms_no_other(directory: Path, echo: Address) -> None:
    with Gateway(directory, {"workers": 2}) as gateway:
        gateway.put("routes/lost", {"uri": "/lost", "upstream": {"nodes": {"no-such-host.invalid:80": 1}}})
        gateway.put("routes/good", {"uri": "/anything", "upstream": {"nodes": {str(echo): 1}}})
        assert gateway.get("/anything").status == 200
        assert gateway.get("/lost").status in (502, 503)
        assert "cannot resolve no-such-host.invalid: " in gateway.log()
