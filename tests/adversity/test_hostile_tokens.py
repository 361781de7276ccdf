"""The attack corpus against a running gateway: each token is answered 401 with APISIX's message, and nothing else happens.

Owns: header, query and cookie; the connection, which goes on being used; the access log, which names the reason. Must not know
what is wrong with a token.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote_from_bytes

import pytest

from tests.corpus.tokens import QUIET, Attack, attacks
from tests.support import wire
from tests.support.gateway import Gateway
from tests.support.signers import SIGNERS, Signer, now
from tests.support.upstreams import OK, Answering
from tests.support.waiting import until

FAR = 86_400  # seconds: "soon" is not reached while the tests run
CHALLENGE = 'Bearer realm="jwt"'


class Running(NamedTuple):
    gateway: Gateway
    upstream: Answering
    log: Path

    def passed(self) -> int:
        """Requests that reached the upstream so far."""
        return sum(bytes(data).count(b"\r\n\r\n") for data in self.upstream.received)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One route with jwt-auth, and a credential of every kind."""
    directory = tmp_path_factory.mktemp("hostile")
    with Answering(lambda request: OK) as upstream:
        assert isinstance(upstream, Answering)
        node = {"type": "roundrobin", "nodes": {str(upstream.address): 1}}
        config: dict[str, Any] = {
            "access_log": {"path": str(directory / "access.log")},
            "consumers": [signer.consumer() for signer in SIGNERS.values()],
            "routes": [{"id": "r", "uri": "/*", "plugins": {"jwt-auth": {}}, "upstream": node}],
        }
        with Gateway(directory, config) as gateway:
            yield Running(gateway, upstream, directory / "access.log")


def corpus(signer: Signer) -> list[Attack]:
    return attacks(signer, now(), soon=now() + FAR)


def fields(authorization: bytes = b"", target: bytes = b"/", cookie: bytes = b"") -> bytes:
    lines = [b"GET %b HTTP/1.1" % target, b"Host: test"]
    lines += [b"Authorization: " + authorization] if authorization else []
    lines += [b"Cookie: " + cookie] if cookie else []
    return b"\r\n".join([*lines, b"", b""])


def by_header(token: bytes) -> bytes:
    return fields(b"Bearer " + token)


def by_query(token: bytes) -> bytes:
    return fields(target=b"/?a=1&jwt=%b&b=2" % quote_from_bytes(token, safe="-_.~").encode())


def by_cookie(token: bytes) -> bytes:
    return fields(cookie=b"a=1; jwt=%b; b=2" % token)


def faults(sock: socket.socket, request: bytes, honest: bytes, message: str) -> list[str]:
    """What is wrong with the answers to an attack and to a good request right behind it on the same connection."""
    sock.sendall(request + honest)
    refusal, good = wire.read_pipelined(sock, 2)
    found = []
    if refusal.status != 401:
        found.append(f"status {refusal.status}")
    if refusal.body != json.dumps({"message": message}, separators=(",", ":")).encode() + b"\n":
        found.append(f"body {refusal.body!r}")
    if refusal.headers.get("www-authenticate") != CHALLENGE:
        found.append(f"challenge {refusal.headers.get('www-authenticate')!r}")
    if (good.status, good.body) != (200, b"ok"):
        found.append(f"then {good.status} {good.body!r}")
    return found


@pytest.mark.parametrize("name", SIGNERS)
def test_in_the_header(running: Running, name: str) -> None:
    """One connection for all of them; the log says why, in order, and the upstream has seen the good requests only."""
    signer = SIGNERS[name]
    honest = by_header(signer.token(payload=signer.payload(exp=now() + FAR)))
    tried = [attack for attack in corpus(signer) if attack.fits_a_header]
    assert len(tried) > 400
    before, logged = running.passed(), len(_lines(running.log))
    with closing(wire.connect(running.gateway.data)) as sock:
        wrong = {a.name: found for a in tried if (found := faults(sock, by_header(a.token), honest, a.message))}
    assert wrong == {}
    assert running.passed() - before == len(tried)
    lines = until(lambda: _at_least(running.log, logged + 2 * len(tried)), "the log has every line")[logged:]
    expected = [(reason, consumer) for a in tried for reason, consumer in ((a.reason, None), (None, name.lower()))]
    said = [(line.get("refused"), line.get("consumer")) for line in lines]
    assert {tried[i // 2].name: said[i] for i in range(len(expected)) if said[i] != expected[i]} == {}
    secrets = running.log.read_text()
    assert "ey" + "J" not in secrets  # no token, nor a piece of one


@pytest.mark.parametrize("place", [by_query, by_cookie])
@pytest.mark.parametrize("name", ["HS256", "RS256", "ES256", "EdDSA"])
def test_in_query_and_cookie(running: Running, name: str, place: Any) -> None:
    signer = SIGNERS[name]
    honest = place(signer.token(payload=signer.payload(exp=now() + FAR)))
    tried = [attack for attack in corpus(signer) if place is by_query or fits_a_cookie(attack)]
    assert len(tried) > 350
    before = running.passed()
    wrong = {}
    with closing(wire.connect(running.gateway.data)) as sock:
        for attack in tried:
            request = place(attack.token)
            if len(request) > 8000:  # a target has its own bound: that it is refused is tests/adversity's already
                continue
            found = faults(sock, request, honest, attack.message)
            # What has to be percent-encoded is no token as it stands: refused all the same, perhaps for that.
            if found and not (b"%" in request and not faults(sock, request, honest, QUIET)):
                wrong[attack.name] = found
    assert wrong == {}
    assert running.passed() > before
    assert "ey" + "J" not in running.log.read_text()  # nor what stood in an argument


def fits_a_cookie(attack: Attack) -> bool:
    return attack.fits_a_header and not any(byte in b' \t;,"' for byte in attack.token)


def test_what_no_field_may_carry_is_refused_with_the_connection(running: Running) -> None:
    """Control bytes in a field are not the token's affair: 400, and nothing behind them is served. CRLF ends a field lawfully."""
    signer = SIGNERS["HS256"]
    tried = [a for a in corpus(signer) if any(byte in a.token for byte in b"\0\n\x7f") and b"\r\n" not in a.token]
    assert len(tried) > 10
    before = running.passed()
    for attack in tried:
        received = wire.raw(running.gateway.data, by_header(attack.token) + by_header(b"x"))
        assert received.startswith(b"HTTP/1.1 400 "), attack.name
        assert received.count(b"HTTP/1.1") == 1, attack.name
    assert running.passed() == before


@pytest.mark.parametrize(
    "scheme", ["", "Bearer ", "bearer ", "BEARER ", "Bearer  ", "Basic ", "Token ", "JWT ", "Bearer\t", "Bearer="]
)
def test_schemes(running: Running, scheme: str) -> None:
    """Only none, `Bearer ` and `bearer ` lead to a token."""
    signer = SIGNERS["HS256"]
    token = signer.token(payload=signer.payload(exp=now() + FAR))
    with closing(wire.connect(running.gateway.data)) as sock:
        sock.sendall(fields(scheme.encode() + token))
        (answer,) = wire.read_pipelined(sock, 1)
    lawful = scheme in ("", "Bearer ", "bearer ")
    assert (answer.status, answer.body) == ((200, b"ok") if lawful else (401, b'{"message":"failed to verify jwt"}\n'))


def test_a_megabyte_is_refused_and_the_gateway_lives(running: Running) -> None:
    for byte in (b".", b"A", b"{"):
        assert wire.raw(running.gateway.data, by_header(byte * 1_000_000)).startswith(b"HTTP/1.1 431 ")
        assert wire.raw(running.gateway.data, by_query(byte * 1_000_000)).startswith(b"HTTP/1.1 414 ")
    honest = by_header(SIGNERS["HS256"].token())
    with closing(wire.connect(running.gateway.data)) as sock:
        assert faults(sock, by_header(b"x"), honest, QUIET) == []


def _lines(log: Path) -> list[dict[str, Any]]:
    text = log.read_text() if log.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _at_least(log: Path, count: int) -> list[dict[str, Any]]:
    lines = _lines(log)
    return lines if len(lines) >= count else []
