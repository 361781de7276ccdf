"""Connections that are not taken, or not yet, on real sockets: bounds, descriptors, what waits when listening ends."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import socket
from collections.abc import Callable, Iterator

import pytest

from fastgw import _core
from tests.support.waiting import until

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
QUEUE = 512
CONNECTIONS, DESCRIPTORS, KERNEL = 1, 2, 3  # why a listener paused


class Loop:
    """An event loop that nothing is asked of."""

    def call_soon(self, call: Callable[[], None]) -> None:
        pass


class Door:
    """A reactor that listens, and its clients. It has no configuration: it answers 503."""

    def __init__(self, stack: contextlib.ExitStack, **limits: float) -> None:
        self.stack = stack
        self.region = _core.Region.create(64, slots=2, revocations=1)
        self.reactor = _core.Reactor(loop=Loop(), region=self.region, slot=0, limits=limits)
        stack.callback(self.reactor.close)
        self.listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=QUEUE))
        self.listener.setblocking(False)
        self.reactor.listen(self.listener.fileno())

    def client(self, source: str = "127.0.0.1") -> socket.socket:
        made = socket.create_connection(self.listener.getsockname(), source_address=(source, 0))
        made.setblocking(False)
        return self.stack.enter_context(made)

    def turn(self) -> None:
        self.reactor.tick()
        self.reactor.drain()

    def served(self, client: socket.socket) -> bool:
        """Whether it gets an answer."""
        self.turn()
        try:
            return client.recv(1000).startswith(b"HTTP/1.1 503 ")
        except BlockingIOError:
            return False

    @property
    def pauses(self) -> tuple[int, int]:
        return self.reactor.unaccepted()[2:]


@pytest.fixture
def door() -> Iterator[Callable[..., Door]]:
    with contextlib.ExitStack() as stack:
        yield lambda **limits: Door(stack, **limits)


def closed(client: socket.socket) -> bool:
    """Whether the gateway has closed it."""
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def test_beyond_the_bound_connections_wait_and_the_loop_sleeps(door: Callable[..., Door]) -> None:
    it = door(connections=2)
    first, second, third = it.client(), it.client(), it.client()
    third.send(GET)
    it.turn()
    it.turn()
    assert it.reactor.active() == 2
    assert it.pauses[1] == CONNECTIONS
    assert select.select([it.reactor.fileno()], [], [], 0)[0] == [], "the queue wakes nobody"
    first.close()
    second.send(GET)
    until(lambda: it.served(third), "the third has the first one's place")
    assert it.region.metrics()["accept_pauses"] == it.pauses[0]


def test_idle_connections_give_way_to_those_that_wait(door: Callable[..., Door]) -> None:
    """Who only holds connections shuts nobody out; who asked a moment ago keeps his."""
    it = door(connections=3)
    busy, idle, silent = it.client(), it.client(), it.client()
    for one in (busy, idle):
        one.send(GET)
        until(lambda one=one: it.served(one), "an answer")
    late = [it.client(), it.client()]
    for one in late:
        one.send(GET)

    def both() -> bool:
        busy.send(GET)
        until(lambda: it.served(busy), "an answer")
        return closed(idle) and closed(silent)

    until(both, "room for the late ones")
    for one in late:
        until(lambda one=one: it.served(one), "an answer to the late ones")
    busy.send(GET)
    until(lambda: it.served(busy), "an answer to the busy one")


def test_connections_of_both_sides_share_the_descriptors(door: Callable[..., Door]) -> None:
    it = door(descriptors=2)
    clients = [it.client() for _ in range(3)]
    it.turn()
    assert (it.reactor.active(), it.pauses[1]) == (2, DESCRIPTORS)
    clients[0].close()
    clients[2].send(GET)
    until(lambda: it.served(clients[2]), "an answer")


def test_without_descriptors_it_waits_and_goes_on(door: Callable[..., Door]) -> None:
    it = door()
    client = it.client()
    client.send(GET)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    fillers = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                fillers.append(os.dup(0))
        it.reactor.drain()
        assert (it.reactor.active(), it.pauses) == (0, (1, KERNEL))
        poll = select.poll()
        poll.register(it.reactor.fileno(), select.POLLIN)
        assert poll.poll(0) == [], "it does not spin"
        it.turn()
        assert it.pauses == (2, KERNEL)
    finally:
        for fd in fillers:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    until(lambda: it.served(client), "an answer")


def test_one_of_an_address_too_many_is_closed(door: Callable[..., Door]) -> None:
    it = door(connections_per_address=2)
    clients = [it.client() for _ in range(5)]
    other = it.client("127.0.0.2")
    it.turn()
    assert it.reactor.active() == 3
    assert [closed(each) for each in clients] == [False, False, True, True, True]
    assert it.reactor.unaccepted()[:2] == (3, "127.0.0.1")
    other.send(GET)
    until(lambda: it.served(other), "an answer")
    clients[0].close()
    again = it.client()
    again.send(GET)
    until(lambda: it.served(again), "an answer")


def test_peers_on_a_unix_socket_are_not_counted() -> None:
    with contextlib.ExitStack() as stack:
        it = Door(stack, connections_per_address=1)
        path = f"\0fastgw-test-{os.getpid()}"
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(path)
        listener.listen(8)
        listener.setblocking(False)
        it.reactor.listen(listener.fileno())
        for _ in range(3):
            stack.enter_context(socket.socket(socket.AF_UNIX)).connect(path)
        it.turn()
        assert (it.reactor.active(), it.reactor.unaccepted()[0]) == (3, 0)


def test_all_that_waits_is_taken_when_listening_ends(door: Callable[..., Door]) -> None:
    it = door()
    for _ in range(300):
        it.client()
    it.reactor.stop_listening()
    assert it.reactor.active() == 300
