"""limit-req over a real gateway with two workers: requests flow at the rate, those within the burst wait for their turn."""

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tests.support.gateway import Gateway, one_route
from tests.support.load import Load
from tests.support.upstreams import OK, Answering
from tests.support.waiting import until
from tests.support.wire import connect, read_response

REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"


def limited(upstream: Answering, **limit: Any) -> dict[str, Any]:
    conf = {"key": "remote_addr", "rejected_code": 429, **limit}
    return {"workers": 2, **one_route(upstream.address, plugins={"limit-req": conf})}


class Stamped(Answering):
    """Notes when each request arrived."""

    def __init__(self) -> None:
        super().__init__(self.note)
        self.moments: list[float] = []

    def note(self, request: bytes) -> bytes:
        self.moments.append(time.monotonic())
        return OK


@contextmanager
def crowd(gateway: Gateway, count: int) -> Iterator[list[socket.socket]]:
    """So many clients that have each sent a request."""
    socks = [connect(gateway.data) for _ in range(count)]
    try:
        for sock in socks:
            sock.sendall(REQUEST)
        yield socks
    finally:
        for sock in socks:
            sock.close()


def test_the_rate_is_kept_over_all_workers(directory: Path) -> None:
    """No more than burst and rate allow, refusals at once, and what had to wait passes evenly."""
    rate, burst, seconds = 100, 20, 2.0
    with Stamped() as upstream, Gateway(directory, limited(upstream, rate=rate, burst=burst)) as gateway:
        began = time.monotonic()
        with Load(gateway.data, REQUEST, connections=64) as load:
            until(lambda: time.monotonic() - began > seconds, "the time is over")
        ended = time.monotonic()
        passed = sorted(upstream.moments)
    assert (load.lost, load.refused, set(load.statuses)) == (0, 0, {200, 429})
    assert load.statuses[200] == len(passed) <= 1 + rate * (ended - began)
    assert load.statuses[200] > burst


def test_nodelay_passes_the_burst_at_once(directory: Path) -> None:
    conf = {"rate": 0.001, "burst": 10, "nodelay": True, "rejected_msg": "one after the other"}
    with Stamped() as upstream, Gateway(directory, limited(upstream, **conf)) as gateway:
        answers = [gateway.get("/") for _ in range(13)]
    assert [answer.status for answer in answers] == [200] * 11 + [429] * 2
    assert answers[-1].json() == {"error_msg": "one after the other"}
    assert int(answers[-1].headers["retry-after"]) > 900


def test_each_waits_for_its_turn(directory: Path) -> None:
    """The n-th of those that come together passes no sooner than n / rate later."""
    with Stamped() as upstream, Gateway(directory, limited(upstream, rate=4, burst=10)) as gateway:
        began = time.monotonic()
        with crowd(gateway, 5) as socks:
            assert [read_response(sock).status for sock in socks] == [200] * 5
    assert all(moment - began >= n / 4 for n, moment in enumerate(sorted(upstream.moments)))


def test_a_drain_lets_those_that_wait_pass(directory: Path) -> None:
    with (
        Stamped() as upstream,
        Gateway(directory, limited(upstream, rate=1, burst=2)) as gateway,
        crowd(gateway, 3) as socks,
    ):
        until(lambda: upstream.moments, "one has passed")
        gateway.process.signal(signal.SIGTERM)
        assert [read_response(sock).status for sock in socks] == [200] * 3


def test_a_change_of_configuration_loses_none_that_waits(directory: Path) -> None:
    with (
        Stamped() as upstream,
        Gateway(directory, limited(upstream, rate=1, burst=3)) as gateway,
        crowd(gateway, 3) as socks,
    ):
        until(lambda: upstream.moments, "one has passed")
        assert "reloaded" in gateway.reload(limited(upstream, rate=1, burst=0))
        assert [read_response(sock).status for sock in socks] == [200] * 3


def test_the_client_that_leaves_is_not_served(directory: Path) -> None:
    """It waits for 4 s, and is known to have gone after 1 s."""
    with Stamped() as upstream, Gateway(directory, limited(upstream, rate=0.25, burst=5)) as gateway:
        assert gateway.get("/").status == 200
        with closing(connect(gateway.data)) as gone:
            gone.sendall(b"GET /gone HTTP/1.1\r\nHost: test\r\n\r\n")
        until(lambda: '"status":499' in gateway.log(), "the log tells of the one that left")
    assert not any(b"/gone" in received for received in upstream.received)
