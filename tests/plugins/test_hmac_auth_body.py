"""hmac-auth with validate_request_body: nothing of a body goes upstream before all of it was verified."""

import base64
import contextlib
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.mirror import Answer, mirror, parse
from tests.plugins.test_hmac_auth import IDENTITY, INVALID, KIM
from tests.support import wire
from tests.support.gateway import Gateway
from tests.support.signing import date, digest, signed
from tests.support.wire import Address

MOST = 100_000
CONFS: dict[str, dict[str, Any]] = {
    "body": {"validate_request_body": True, "max_req_body_size": MOST},
    "bound": {"validate_request_body": True, "signed_headers": ["date", "digest"]},
    "guest": {"validate_request_body": True, "max_req_body_size": MOST, "anonymous_consumer": "guest"},
}


def config(upstream: Address, **more: Any) -> dict[str, Any]:
    node = {"type": "roundrobin", "nodes": {str(upstream): 1}}
    routes = [{"id": n, "uri": f"/{n}", "upstream": node, "plugins": {"hmac-auth": c}} for n, c in CONFS.items()]
    return {"consumers": [KIM, {"username": "guest"}], "routes": routes, **more}


def head(target: str, *fields: str, method: str = "POST") -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: test", "Connection: close", *fields, "", ""]).encode()


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x;ext=1\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nX-Trailer: 1\r\n\r\n"


def post(gateway: Gateway, target: str, body: bytes, *fields: str, cut: Iterable[int] = ()) -> Answer:
    """With a Content-Length."""
    return parse(wire.raw(gateway.data, wire.cut(head(target, f"Content-Length: {len(body)}", *fields) + body, *cut)))


def proof(target: str, body: bytes) -> list[str]:
    return [f"Digest: {digest(body)}", *signed(target, method="POST")]


@pytest.mark.parametrize("body", [b"x", b"hello", b"\0" * 70_000, bytes(range(256)) * 390], ids=len)
def test_a_verified_body_goes_upstream(body: bytes, directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        whole = post(gateway, "/body", body, *proof("/body", body))
        assert whole.status == 200
        assert IDENTITY in whole.sent
        assert f"Content-Length: {len(body)}\r\n" in whole.sent
        assert whole.body.endswith(b"\r\n\r\n" + body)
        pieces = chunked(body[:1], body[1:4], body[4:]) if len(body) > 4 else chunked(body)
        fields = ("Transfer-Encoding: chunked", *proof("/body", body))
        sent = head("/body", *fields) + pieces
        for cut in ((), (len(sent) - 3,), (len(head("/body", *fields)),)):
            answer = parse(wire.raw(gateway.data, wire.cut(sent, *cut)))
            assert answer.status == 200
            assert "ransfer-Encoding" not in answer.sent  # whole, and so with its length
            assert f"Content-Length: {len(body)}\r\n" in answer.sent
            assert answer.body.endswith(b"\r\n\r\n" + body)


def test_no_body_is_an_empty_one(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        for fields in ((), ("Content-Length: 0",)):
            assert parse(wire.raw(gateway.data, head("/body", *fields, *proof("/body", b"")))).status == 200
        empty = head("/body", "Transfer-Encoding: chunked", *proof("/body", b"")) + b"0\r\n\r\n"
        assert parse(wire.raw(gateway.data, empty)).status == 200
        assert parse(wire.raw(gateway.data, head("/body", *signed("/body", method="POST")))).body == INVALID


def test_a_body_that_is_not_the_one_described_goes_nowhere(directory: Path) -> None:
    body = b"amount=5"
    raw = base64.b64encode(hashlib.sha256(body).digest()).decode()
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        auth = signed("/body", method="POST")
        for fields in (
            (),
            (f"Digest: {digest(b'amount=6')}",),
            (f"Digest: {digest(body)}", f"Digest: {digest(body)}"),
            (f"Digest: {raw}",),
            (f"Digest: MD5={raw}",),
            (f"Digest: SHA-512={raw}",),
            (f"Digest: SHA-256={raw}x",),
            (f"Digest: SHA-256={raw[:-4]}",),
            ("Digest: SHA-256=",),
            ("Digest:",),
        ):
            answer = post(gateway, "/body", body, *auth, *fields)
            assert (answer.status, answer.body) == (401, INVALID), fields
            assert answer.header("WWW-Authenticate") == ['hmac realm="hmac"']
        other = post(gateway, "/body", b"amount=6", *auth, f"Digest: {digest(body)}")
        assert other.body == INVALID
        assert upstream.received == []
        for good in (digest(body), digest(body).replace("SHA", "sha"), digest(body).rstrip("=")):
            assert post(gateway, "/body", body, *auth, f"Digest: {good}").status == 200


def test_a_digest_may_be_bound_to_the_signature(directory: Path) -> None:
    body = b"amount=5"
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        assert post(gateway, "/bound", body, *signed("/bound", f"Digest: {digest(body)}", method="POST")).status == 200
        assert post(gateway, "/bound", body, *proof("/bound", body)).body == INVALID  # there, but not signed
        fields = [
            f"Digest: {digest(b'amount=6')}" if each.startswith("Digest") else each
            for each in signed("/bound", f"Digest: {digest(body)}", method="POST")
        ]
        assert post(gateway, "/bound", b"amount=6", *fields).body == INVALID


def test_a_body_that_is_too_large(directory: Path) -> None:
    body = b"x" * (MOST + 1)
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        assert post(gateway, "/body", body[1:], *proof("/body", body[1:])).status == 200
        seen = len(upstream.received)
        for target in ("/body", "/guest"):
            said = b'{"message":"request size %d is greater than the maximum size %d allowed"}\n' % (MOST + 1, MOST)
            announced = parse(wire.raw(gateway.data, head(target, f"Content-Length: {MOST + 1}", *proof(target, body))))
            assert (announced.status, announced.body, announced.header("WWW-Authenticate")) == (413, said, [])
            assert announced.header("Connection") == ["close"]
            fields = ("Transfer-Encoding: chunked", *proof(target, body))
            in_chunks = parse(wire.raw(gateway.data, head(target, *fields) + chunked(body[:5], body[5:])))
            assert (in_chunks.status, in_chunks.body) == (413, said)
        assert len(upstream.received) == seen
        # Who has no good signature is not told, and nothing of it is held.
        wrong = [f"Digest: {digest(body)}", *signed("/body", method="POST", secret="other")]
        assert parse(wire.raw(gateway.data, head("/body", f"Content-Length: {MOST + 1}", *wrong))).status == 401


def test_nothing_goes_upstream_before_the_last_byte(directory: Path) -> None:
    body = b"x" * 50_000
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        fields = (f"Content-Length: {len(body)}", "Expect: 100-continue", *proof("/body", body))
        with contextlib.closing(wire.connect(gateway.data)) as sock:
            sock.sendall(head("/body", *fields))
            assert wire.read_until(sock, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            sock.sendall(body[:-1])
            assert gateway.get("/body").status == 401  # served meanwhile
            assert upstream.received == []
            sock.sendall(body[-1:])
            answer = parse(wire.read_to_end(sock))
        assert answer.status == 200
        assert answer.body.endswith(body)


def test_the_connection_lives_on_behind_a_body(directory: Path) -> None:
    body = b"hello"
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:

        def keep(*fields: str) -> bytes:
            return head("/body", *fields).replace(b"Connection: close\r\n", b"")

        good = keep("Transfer-Encoding: chunked", *proof("/body", body)) + chunked(body)
        bad = keep("Content-Length: 5", *proof("/body", b"other")) + body
        plain = keep("Content-Length: 5", *proof("/body", body)) + body
        last = head("/body", "Content-Length: 5", *proof("/body", body)) + body
        received = wire.raw(gateway.data, good + bad + plain + bad + last)
        codes = [part[:3] for part in received.split(b"HTTP/1.1 ")[1:] if part[:3].isdigit()]
        assert codes == [b"200", b"401", b"200", b"401", b"200"]


def test_bodies_that_break(directory: Path) -> None:
    log = directory / "access.log"
    body = b"x" * 1000
    limits = {"body_timeout": 1, "body_bytes": 2000}
    with mirror() as upstream:
        with Gateway(directory, config(upstream.address, access_log={"path": str(log)}, limits=limits)) as gateway:
            fields = ("Transfer-Encoding: chunked", *proof("/body", body))
            assert parse(wire.raw(gateway.data, head("/body", *fields) + b"zz\r\n")).status == 400
            assert parse(wire.raw(gateway.data, head("/body", *fields) + b"fffff\r\n")).status == 413
            slow = parse(wire.raw(gateway.data, head("/body", "Content-Length: 1000", *proof("/body", body)) + body[:-1]))
            assert slow.status == 408
            assert wire.raw(gateway.data, head("/body", "Content-Length: 1000", *proof("/body", body)), half_close=True) == b""
            assert post(gateway, "/body", body, *proof("/body", body)).status == 200
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        found = [(line["status"], line.get("refused")) for line in lines]
        expected = [(400, "framing.chunk"), (413, "body.too_large"), (408, "timeout.body"), (499, "client.left"), (200, None)]
        assert found == expected
        assert len(upstream.received) == 1


def test_whoever_shows_no_good_digest_is_the_anonymous_consumer(directory: Path) -> None:
    body = b"hello"
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        for fields in ((), tuple(proof("/guest", b"other")), tuple(signed("/guest", method="POST", when=date(-4000)))):
            guest = post(gateway, "/guest", body, *fields)
            assert "X-Consumer-Username: guest\r\n" in guest.sent
            assert guest.body.endswith(b"\r\n\r\n" + body)
        assert IDENTITY in post(gateway, "/guest", body, *proof("/guest", body)).sent


def test_refusals_are_in_the_log(directory: Path) -> None:
    log = directory / "access.log"
    with mirror() as upstream:
        with Gateway(directory, config(upstream.address, access_log={"path": str(log)})) as gateway:
            post(gateway, "/body", b"hello", *proof("/body", b"other"))
            post(gateway, "/body", b"x" * (MOST + 1), *proof("/body", b"x"))
        found = [json.loads(line).get("refused") for line in log.read_text().splitlines()]
        assert found == ["hmac.bad_digest", "hmac.body_too_large"]
