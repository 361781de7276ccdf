"""proxy-cache against who would choose what others get: requests of which the gateway and the upstream see another thing."""

import re
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from tests.plugins.caching import HOUR, MEMORY, STATUS
from tests.plugins.mirror import parse
from tests.support import wire
from tests.support.gateway import Gateway
from tests.support.upstreams import Answering

NUMBERS = count()
TOLD = re.compile(rb"(?im)^(x-lang|cookie|content-type|content-encoding): (.*)\r$")


def answer(request: bytes) -> bytes:
    """As an application that makes something of these alone: of fields that have exactly that name, of arguments the last."""
    fields = b"; ".join(name.lower() + b"=" + value for name, value in TOLD.findall(request))
    argument = re.findall(rb"[?&]x=([^& ]*)", request.split(b"\r\n")[0])[-1:]
    body = b" ".join([fields, *argument]) or b"nothing"
    head = f"HTTP/1.1 200 OK\r\n{HOUR}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + (b"Vary: X-Lang\r\n\r\n" if b"/vary/" in request else b"\r\n") + body


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    shared = {**MEMORY, "consumer_isolation": False}
    confs: dict[str, dict[str, Any]] = {
        "vary": shared,
        "header": {**shared, "cache_key": ["$host", "$uri", "$http_x_lang"]},
        "cookie": {**shared, "cache_key": ["$host", "$uri", "$cookie_lang"]},
        "argument": {**shared, "cache_key": ["$host", "$uri", "$arg_x"]},
        "post": {**shared, "cache_method": ["GET", "POST"]},
    }
    with Answering(answer) as upstream:
        node = {"type": "roundrobin", "nodes": {str(upstream.address): 1}}
        routes: list[dict[str, Any]] = [
            {"id": name, "uri": f"/{name}/*", "upstream": node, "plugins": {"proxy-cache": conf}} for name, conf in confs.items()
        ]
        added = {"proxy-rewrite": {"headers": {"add": {"X-Lang": "en"}}}, "proxy-cache": shared}
        routes.append({"id": "added", "uri": "/added/vary/*", "upstream": node, "plugins": added})
        with Gateway(tmp_path_factory.mktemp("poison"), {"routes": routes}) as running:
            yield running


def ask(gateway: Gateway, target: str, *fields: str, body: bytes | None = None) -> tuple[bytes, str]:
    lines = ["GET" if body is None else "POST", f" {target} HTTP/1.1\r\n", "Host: test\r\nConnection: close\r\n"]
    lines += [f"{field}\r\n" for field in (*fields, *([] if body is None else [f"Content-Length: {len(body)}"]))]
    found = parse(wire.raw(gateway.data, "".join([*lines, "\r\n"]).encode() + (body or b"")))
    return found.body, found.header(STATUS)[0]


NOMINATED = ("X-Lang: de", "Connection: X-Lang")
TWICE = ("X-Lang: de", "X-Lang: fr")


@pytest.mark.parametrize(
    ("route", "hostile", "honest", "body"),
    [
        ("/vary", NOMINATED, ("X-Lang: de",), b"x-lang=de"),
        ("/vary", ("X_Lang: de",), ("X-Lang: de",), b"x-lang=de"),
        ("/vary", ("X_Lang: de", "X-Lang: fr"), ("X-Lang: de, fr",), b"x-lang=de, fr"),
        ("/added/vary", TWICE, ("X-Lang: de",), b"x-lang=de; x-lang=en"),
        ("/header", NOMINATED, ("X-Lang: de",), b"x-lang=de"),
        ("/header", ("X_Lang: de",), ("X-Lang: de",), b"x-lang=de"),
        ("/header", TWICE, ("X-Lang: de",), b"x-lang=de"),
        ("/cookie", ("Cookie: lang=de; lang=fr",), ("Cookie: lang=de",), b"cookie=lang=de"),
        ("/cookie", ("Cookie: lang=de", "Cookie: lang=fr"), ("Cookie: lang=de",), b"cookie=lang=de"),
    ],
)
def test_a_header_that_the_upstream_sees_otherwise(
    gateway: Gateway, route: str, hostile: tuple[str, ...], honest: tuple[str, ...], body: bytes
) -> None:
    target = f"{route}/{next(NUMBERS)}"
    assert ask(gateway, target, *hostile)[1] == "MISS"
    assert ask(gateway, target, *honest) == (body, "MISS")
    assert ask(gateway, target, *honest) == (body, "HIT")


@pytest.mark.parametrize("hostile", ["x=de&x=fr", "x=de&%78=fr", "x=de&y=1&x"])
def test_an_argument_that_comes_twice(gateway: Gateway, hostile: str) -> None:
    target = f"/argument/{next(NUMBERS)}"
    assert ask(gateway, f"{target}?{hostile}")[1] == "MISS"
    assert ask(gateway, f"{target}?x=de") == (b" de", "MISS")
    assert ask(gateway, f"{target}?y=2&x=de") == (b" de", "HIT")


@pytest.mark.parametrize(
    "hostile",
    [
        ("Content-Type: text/plain",),
        ("Content-Type: application/json", "Content-Encoding: gzip"),
        ("Content_Type: application/json",),
        (),
    ],
)
def test_a_body_that_is_said_to_be_another_thing(gateway: Gateway, hostile: tuple[str, ...]) -> None:
    target, honest = f"/post/{next(NUMBERS)}", "Content-Type: application/json"
    assert ask(gateway, target, *hostile, body=b"{}")[1] == "MISS"
    assert ask(gateway, target, honest, body=b"{}") == (b"content-type=application/json", "MISS")
    assert ask(gateway, target, honest, body=b"{}") == (b"content-type=application/json", "HIT")


def test_a_coding_that_connection_names(gateway: Gateway) -> None:
    target, coded = f"/post/{next(NUMBERS)}", "Content-Encoding: gzip"
    assert ask(gateway, target, coded, "Connection: content-encoding", body=b"{}") == (b"nothing", "MISS")
    assert ask(gateway, target, coded, body=b"{}") == (b"content-encoding=gzip", "MISS")
