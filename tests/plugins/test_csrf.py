"""csrf from outside: tokens that go out, tokens that come back."""

import base64
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.plugins.mirror import Answer, ask, parse
from tests.support import wire
from tests.support.gateway import Gateway
from tests.support.upstreams import Answering, Upstream

KEY, NAME = "a-key", "apisix-csrf-token"


@pytest.fixture(scope="module")
def baking() -> Iterator[Upstream]:
    """An upstream that sets cookies of its own."""
    head = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n"
    with Answering(lambda request: head) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def gateway(up: Answering, baking: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    def route(name: str, conf: dict[str, Any], upstream: Upstream = up) -> dict[str, Any]:
        node = {"type": "roundrobin", "nodes": {str(upstream.address): 1}}
        return {"id": name, "uri": f"/{name}", "upstream": node, "plugins": {"csrf": conf}}

    routes = [
        route("default", {"key": KEY}),
        route("own", {"key": KEY, "name": "Token", "expires": 60}),
        route("ever", {"key": KEY, "expires": 0}),
        route("baking", {"key": KEY}, baking),
    ]
    with Gateway(tmp_path_factory.mktemp("csrf"), {"routes": routes}) as running:
        yield running


def send(gateway: Gateway, target: str, *fields: str, method: str = "POST") -> Answer:
    lines = [f"{method} {target} HTTP/1.1", "Host: test", "Connection: close", *fields, "", ""]
    return parse(wire.raw(gateway.data, "\r\n".join(lines).encode()))


def cookie(answer: Answer) -> str:
    (line,) = answer.header("Set-Cookie")
    return line.partition("=")[2].partition(";")[0]


def made(random: Any = "1", expires: Any = None, sign: Any = None, key: str = KEY) -> str:
    """A token as the page has it."""
    when = int(time.time()) if expires is None else expires
    own = hmac.digest(key.encode(), f"{when}.{random}".encode(), "sha256").hex() if sign is None else sign
    return base64.b64encode(json.dumps({"sign": own, "random": random, "expires": when}).encode()).decode()


def shown(token: str, header: str | None = None, name: str = NAME) -> list[str]:
    return [f"Cookie: other=1; {name}={token}", f"{name}: {token if header is None else header}"]


def refusal(answer: Answer) -> tuple[int, str]:
    return answer.status, json.loads(answer.body)["error_msg"]


def test_a_token_goes_out_and_comes_back(gateway: Gateway) -> None:
    for target, name in (("/default", NAME), ("/own", "Token"), ("/ever", NAME)):
        token = cookie(ask(gateway, target))
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            assert send(gateway, target, *shown(token, name=name), method=method).status == 200
        again = send(gateway, target, *shown(token, name=name))
        assert cookie(again) != token


def test_what_the_cookie_is_like(gateway: Gateway) -> None:
    (line,) = ask(gateway, "/default").header("Set-Cookie")
    text, *attributes = line.split(";")
    assert attributes[:2] == ["path=/", "SameSite=Lax"]
    assert attributes[2].startswith("Expires=")
    token = json.loads(base64.b64decode(text.partition("=")[2], validate=True))
    assert set(token) == {"sign", "random", "expires"}
    assert abs(token["expires"] - time.time()) < 60
    assert "Expires" not in ask(gateway, "/ever").header("Set-Cookie")[0]


def test_the_upstreams_cookies_stay(gateway: Gateway) -> None:
    lines = ask(gateway, "/baking").header("Set-Cookie")
    assert [line.partition("=")[0] for line in lines] == ["a", "b", NAME]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_what_changes_nothing_passes(gateway: Gateway, method: str) -> None:
    assert send(gateway, "/default", method=method).status == 200


def test_refusals(gateway: Gateway) -> None:
    good = made()
    bad = "Failed to verify the csrf token signature"
    for fields, message in (
        ([], "no csrf token in headers"),
        ([f"Cookie: {NAME}={good}"], "no csrf token in headers"),
        ([f"{NAME}: {good}"], "no csrf cookie"),
        ([f"{NAME}: {good}", f"Cookie: x{NAME}={good}"], "no csrf cookie"),
        (shown(good, made("2")), "csrf token mismatch"),
        ([*shown(good), f"{NAME}: other"], "csrf token mismatch"),
        (shown(made(key="another")), bad),
        (shown(made(sign="")), bad),
        (shown(made(sign="é")), bad),
        (shown(made(random="2", sign=json.loads(base64.b64decode(good))["sign"])), bad),
        (shown(made(expires=int(time.time()) - 7300)), bad),
        (shown(made(expires=int(time.time()) + 3600)), bad),
    ):
        answer = send(gateway, "/default", *fields)
        assert refusal(answer) == (401, message)
        assert len(answer.header("Set-Cookie")) == 1
    assert send(gateway, "/default", *shown(good)).status == 200
    assert send(gateway, "/own", *shown(made(expires=int(time.time()) - 120), name="Token")).status == 401
    assert send(gateway, "/ever", *shown(made(expires=1))).status == 200


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "====",
        "é",
        "e30=",
        base64.b64encode(b"[]").decode(),
        base64.b64encode(b"null").decode(),
        base64.b64encode(b'{"sign":1,"random":1,"expires":"x"}').decode(),
        base64.b64encode(b'{"sign":"","random":"","expires":1e999}').decode(),
        base64.b64encode(b'{"sign":"\\ud800","random":"\\ud800","expires":1}').decode(),
        base64.b64encode(b'{"sign":"","random":"","expires":' + b"9" * 2000 + b"}").decode(),
        base64.b64encode(b"[" * 2500).decode(),
        base64.b64encode(b"\xff" * 20).decode(),
        "A" * 8000,
    ],
)
def test_no_token_is_more_than_refused(gateway: Gateway, token: str) -> None:
    assert refusal(send(gateway, "/default", *shown(token)))[0] == 401


def test_lawful_configurations(gateway: Gateway) -> None:
    for conf in ({}, {"key": ""}, {"key": 1}, {"key": "k", "expires": -1}, {"key": "k", "name": "a b"}, {"key": "k", "name": ""}):
        answer = gateway.api("PUT", "routes/x", {"uri": "/x", "plugins": {"csrf": conf}})
        assert answer.status == 400, conf
        assert b"failed to check the configuration of plugin csrf err: " in answer.body
