"""A request on a route whose plugins are native runs no Python function and makes no Python object.

Shown by two witnesses that a request would trip if it entered the interpreter: the profile hook, which sees every call of
a Python function, and the peak of traced memory, which sees every object, also one that is gone again.
"""

import os
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from fastgw import _core
from fastgw.compile import Compiler
from tests.support.core import OK, TOKEN, john, snapshot
from tests.support.signing import digest, signed
from tests.unit.test_compile import SECRET as COMPILED_SECRET
from tests.unit.test_compile import Change, consumer, route

PLUGINS: dict[str, dict[str, Any]] = {
    "request-id": {},
    "cors": {"allow_origins": "http://a.test,http://b.test", "timing_allow_origins": "http://a.test"},
    "real-ip": {"source": "http_x_real_ip", "trusted_addresses": ["192.0.2.0/24"]},
    "client-control": {"max_body_size": 9},
    "attach-consumer-label": {"headers": {"X-Team": "$team"}},
    "traffic-split": {"rules": [{"match": [{"vars": [["uri", "==", "/"]]}], "weighted_upstreams": [{"weight": 1}]}]},
    "ip-restriction": {"whitelist": ["192.0.2.0/24"]},
    "proxy-rewrite": {"regex_uri": ["^/(.*)", "/x/$1"], "host": "up.test", "headers": {"add": {"X-A": "$uri"}}},
    "referer-restriction": {"whitelist": ["*.test"], "bypass_missing": True},
    "acl": {"allow_labels": {"team": ["a", "b"]}, "deny_labels": {"role": ["y"]}},
    "consumer-restriction": {"type": "route_id", "whitelist": ["r"]},
    "basic-auth": {"hide_credentials": True},
    "jwt-auth": {"hide_credentials": True, "header": "x-token"},
    "key-auth": {"hide_credentials": True},
    "multi-auth": {"auth_plugins": [{"key-auth": {"header": "x-none"}}, {"basic-auth": {}}]},
    "limit-count": {"count": 1000, "time_window": 60},
}


def calls_in(push: Callable[[], None]) -> list[str]:
    """The Python functions that run while it does."""
    seen: list[str] = []

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            seen.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        push()
    finally:
        sys.setprofile(None)
    return seen[1:]  # but for itself


def memory_in(push: Callable[[], None]) -> int:
    """Bytes of Python memory that it has at its highest, above where it began."""
    tracemalloc.start()
    try:
        push()  # what is made once is made
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        push()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def serve(snap: _core.Snapshot, request: bytes, log: int = -1) -> tuple[list[str], int, bytes]:
    """What Python did for whole requests with their answers, beyond what it does for no bytes at all."""
    wire = _core.Wire(snap)
    wire.access_log(log)
    line = wire.open()
    wire.push(line, request)
    proxied = len(wire.lines()) > 1
    if proxied:
        wire.push(1, OK)

    def one() -> None:
        wire.push(line, request)
        if proxied:
            wire.push(1, OK)

    def none() -> None:
        wire.push(line, b"")
        if proxied:
            wire.push(1, b"")

    assert calls_in(none) == []
    return calls_in(one), memory_in(one) - memory_in(none), wire.pull(line)


def compiled(plugins: dict[str, dict[str, Any]]) -> _core.Snapshot:
    changes = [
        *consumer("john", labels={"team": "b,c", "role": '["x"]'}),
        Change("credentials", "john/k", {"id": "k", "plugins": {"key-auth": {"key": "john-api-key"}}}),
        Change("credentials", "john/b", {"id": "b", "plugins": {"basic-auth": {"username": "john", "password": "pw"}}}),
        Change("credentials", "john/h", {"id": "h", "plugins": {"hmac-auth": {"key_id": "john", "secret_key": "s"}}}),
        route("r", "/*", plugins=plugins),
    ]
    build = Compiler().apply(changes)
    assert build.faults == ()
    return build.snapshot


def request(token: bytes) -> bytes:
    fields = [b"Authorization: Basic am9objpwdw==", b"X-Token: " + token, b"apikey: john-api-key", b"Origin: http://b.test"]
    return b"\r\n".join([b"GET /a?b=1 HTTP/1.1", b"Host: h", *fields, b"", b""])


@pytest.mark.parametrize(
    "names",
    [*([name] for name in PLUGINS if name != "acl"), ["key-auth", "acl"], list(PLUGINS)],
    ids=lambda names: "+".join(names),
)
def test_native_plugins_never_enter_the_interpreter(names: list[str], tmp_path: Path) -> None:
    from fastgw.tokens import make

    token = make({"key": "john-key"}, COMPILED_SECRET.encode(), "HS256").encode()
    log = os.open(tmp_path / "access.log", os.O_WRONLY | os.O_CREAT)
    try:
        calls, memory, got = serve(compiled({name: PLUGINS[name] for name in names}), request(token), log)
    finally:
        os.close(log)
    assert got.count(b"HTTP/1.1 200 OK\r\n") == got.count(b"HTTP/1.1 ") == 4
    assert (calls, memory) == ([], 0)


@pytest.mark.parametrize("name", ["ip-restriction", "acl", "basic-auth", "jwt-auth", "key-auth", "multi-auth", "limit-count"])
def test_nor_do_their_refusals(name: str) -> None:
    plugins = {**PLUGINS, "ip-restriction": {"blacklist": ["192.0.2.0/24"]}, "limit-count": {"count": 1, "time_window": 60}}
    bare = b"GET /a?b=1 HTTP/1.1\r\nHost: h\r\n\r\n"
    snap = compiled({"request-id": {}, name: plugins[name]})
    if name == "limit-count":  # the first passes, and the rest of its line is the upstream's
        wire = _core.Wire(snap)
        line = wire.open()
        wire.push(line, bare)
        wire.push(1, OK)
        assert calls_in(lambda: wire.push(line, bare)) == []
        assert memory_in(lambda: wire.push(line, bare)) == memory_in(lambda: wire.push(line, b""))
        assert wire.pull(line).count(b"HTTP/1.1 503 ") == 3
        return
    calls, memory, got = serve(snap, bare)
    assert got.count(b"HTTP/1.1 40") == got.count(b"HTTP/1.1 ") == 4
    assert (calls, memory) == ([], 0)


def signed_request(secret: str) -> bytes:
    body = b"hello"
    fields = signed("/a?b=1", f"Digest: {digest(body)}", key_id="john", secret=secret, method="POST")
    return "\r\n".join(["POST /a?b=1 HTTP/1.1", "Host: h", *fields, "Content-Length: 5", "", ""]).encode() + body


@pytest.mark.parametrize("conf", [{}, {"validate_request_body": True, "hide_credentials": True}], ids=["head", "body"])
def test_signed_requests_do_not_either(conf: dict[str, Any]) -> None:
    for secret, status in (("s", b"200"), ("x", b"401")):
        calls, memory, got = serve(compiled({"hmac-auth": conf}), signed_request(secret))
        assert got.count(b"HTTP/1.1 " + status) == got.count(b"HTTP/1.1 ") == 4
        assert (calls, memory) == ([], 0)


def test_the_witnesses_see_a_python_plugin() -> None:
    def plugin(conf: Any, request: _core.Request) -> None:
        request.ctx["seen"] = bytes(1000)  # the request itself comes from a free list

    calls, memory, _ = serve(snapshot(_core.PythonStep("test", "access", plugin, None)), request(b"x"))
    assert calls == ["plugin"]
    assert memory > 0


def test_the_witnesses_see_a_signature_that_python_checks() -> None:
    def verify(signed: bytes, signature: bytes) -> bool:
        return True

    own = john()
    key = _core.SecretKey("RS256", verifier=verify)
    credential = _core.Credential(own.consumer, b"john-key", secret=key)
    token = b"eyJhbGciOiJSUzI1NiJ9." + TOKEN.split(b".")[1] + b".AAAA"
    snap = snapshot(_core.JwtAuthStep(header="x-token"), credentials=(credential,))
    calls, memory, got = serve(snap, request(token))
    assert b"HTTP/1.1 200 OK\r\n" in got
    assert calls == ["verify"]
    assert memory > 0
