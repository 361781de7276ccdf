"""Peers that are Python packages, each run for real with 1,000 consumers; skipped, and said so, where not installed."""

import http.client
import os
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest

from bench.peers import PEERS
from bench.peers.base import GATEWAY, PROXY, Job, Peer, Place
from bench.process import Program, free_port
from bench.tokens import Consumer, expired, good, tampered, with_key_id
from tests.support import servers
from tests.support.programs import program

CONSUMERS = tuple(
    Consumer(f"caller-{number}", f"key-{number}", f"secret-{number:05}-of-exactly-32-bytes", 2 + number % 2)
    for number in range(1000)
)
JOB = Job(GATEWAY, CONSUMERS, "/anything")
FIRST, MIDDLE, LAST = CONSUMERS[0], CONSUMERS[501], CONSUMERS[999]


class Running:
    def __init__(self, peer: Peer, port: int) -> None:
        self.peer = peer
        self._port = port

    def ask(self, token: str | None = None, times: int = 1, path: str = "/anything") -> list[int]:
        """Statuses of the same request over and over."""
        headers = {"Authorization": f"Bearer {self.peer.token(token, JOB)}"} if token else {}
        statuses = []
        for _ in range(times):
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            self.body, self.headers = answer.read(), answer.headers
            statuses.append(answer.status)
            connection.close()
        return statuses


class TestKeyIds:
    """What Envoy's tokens carry beside: nothing else may change by it."""

    @pytest.mark.parametrize("make", [good, expired])
    def test_a_genuine_token_stays_genuine(self, make) -> None:
        before, after = (
            jwt.decode_complete(token, MIDDLE.secret, algorithms=["HS256"], options={"verify_exp": False})
            for token in (make(MIDDLE), with_key_id(make(MIDDLE), CONSUMERS))
        )
        assert after["payload"] == before["payload"]
        assert after["header"] == {**before["header"], "kid": MIDDLE.key}

    def test_a_tampered_token_stays_tampered(self) -> None:
        token = with_key_id(tampered(MIDDLE), CONSUMERS)
        assert jwt.get_unverified_header(token)["kid"] == MIDDLE.key
        with pytest.raises(jwt.InvalidSignatureError):
            jwt.decode(token, MIDDLE.secret, algorithms=["HS256"])

    def test_what_is_no_token_is_left_alone(self) -> None:
        assert with_key_id("somewrongkey", CONSUMERS) == "somewrongkey"

    def test_other_peers_are_asked_as_they_were(self) -> None:
        token = good(MIDDLE)
        changed = {name for name, peer in PEERS.items() if peer.token(token, JOB) != token}
        assert changed == {"envoy-jwt", "envoy-jwt-cached"}


@pytest.fixture
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
    peer = PEERS[request.param]
    if missing := peer.missing():
        pytest.skip(f"peer {peer.name}: {', '.join(missing)}")
    for name in ("setpriv", "taskset"):
        program(name)
    with servers.echo(tmp_path) as upstream:
        place = Place(tmp_path, free_port(), free_port(), upstream.port, 1)
        with Program(peer.name, peer.prepare(place, JOB), sorted(os.sched_getaffinity(0)), tmp_path) as started:
            started.wait_listening(place.port)
            yield Running(peer, place.port)


@pytest.mark.parametrize("running", ["envoy-jwt", "envoy-jwt-cached", "fastapi", "aiohttp"], indirect=True)
class TestGateways:
    def test_each_consumer_has_its_secret_and_its_limit(self, running: Running) -> None:
        for one in (FIRST, MIDDLE, LAST):
            assert running.ask(good(one), times=one.limit + 2) == [200] * one.limit + [429, 429], one.name

    def test_who_it_is_reaches_the_upstream(self, running: Running) -> None:
        assert running.ask(good(MIDDLE)) == [200]
        assert b"X-Consumer-Username" in running.body
        assert MIDDLE.key.encode() in running.body or MIDDLE.name.encode() in running.body

    def test_who_is_refused(self, running: Running) -> None:
        stolen = good(Consumer(FIRST.name, FIRST.key, LAST.secret, 1))  # says to be the first, signed by the last
        for token in (None, tampered(MIDDLE), expired(MIDDLE), "somewrongkey", stolen):
            assert running.ask(token) == [401], token
        assert running.ask(good(MIDDLE), times=MIDDLE.limit) == [200] * MIDDLE.limit  # refusals are not counted


@pytest.mark.parametrize("running", ["caddy-plain"], indirect=True)
def test_a_plain_proxy_passes_everything(running: Running) -> None:
    assert running.peer.claims_in(JOB) == PROXY
    assert running.ask(tampered(FIRST)) == [200]
    assert b"/anything" in running.body
