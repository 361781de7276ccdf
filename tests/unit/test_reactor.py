"""The reactor on real sockets, in the hand of a test that plays the event loop: when it gives the loop its turn."""

import contextlib
import resource
import socket
import weakref
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from fastgw import _core
from tests.support.core import chain, snapshot

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
CLIENTS = 64


class Awaited:
    """What a plugin waits for."""

    def __await__(self) -> Iterator[None]:
        return iter(())


class Task:
    """Of a coroutine that does not run; it ends when the test says so."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        coroutine.close()
        self.calls: list[Callable[[Task], None]] = []

    def add_done_callback(self, call: Callable[["Task"], None]) -> None:
        self.calls.append(call)

    def result(self) -> _core.Reply:
        return _core.Reply(200)

    def end(self) -> None:
        for call in self.calls:
            call(self)


class Loop:
    """Keeps what is asked of it."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], None]] = []
        self.tasks: list[Task] = []

    def call_soon(self, call: Callable[[], None]) -> None:
        self.soon.append(call)

    def create_task(self, coroutine: Coroutine[Any, Any, Any]) -> Task:
        self.tasks.append(Task(coroutine))
        return self.tasks[-1]

    def turn(self) -> None:
        """What an event loop does of this in one iteration."""
        calls, self.soon = self.soon, []
        for call in calls:
            call()


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def reactor(loop: Loop) -> Iterator[_core.Reactor]:
    made = _core.Reactor(loop=loop, region=_core.Region.create(1024), slot=0)
    yield made
    made.close()


@pytest.fixture
def connect(reactor: _core.Reactor) -> Iterator[Callable[[], socket.socket]]:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=CLIENTS))
        listener.setblocking(False)
        reactor.listen(listener.fileno())

        def one() -> socket.socket:
            client = stack.enter_context(socket.create_connection(listener.getsockname()))
            client.setblocking(False)
            return client

        yield one


def test_a_drain_that_work_is_left_of_is_called_again_once(
    reactor: _core.Reactor, loop: Loop, connect: Callable[[], socket.socket]
) -> None:
    # Both ways lead to drain, the descriptor and the call that an earlier drain asked for. Were each to ask for one more, an
    # iteration of the loop would become longer and longer under load.
    for _ in range(CLIENTS):
        client = connect()
        with contextlib.suppress(BlockingIOError):
            while True:
                client.send(GET * 100)
    for call in (reactor.drain, loop.turn, reactor.drain):
        call()
        assert len(loop.soon) == 1


def test_a_coroutine_that_begins_in_a_drain_is_not_kept_waiting(
    reactor: _core.Reactor, loop: Loop, connect: Callable[[], socket.socket]
) -> None:
    reactor.install(snapshot(_core.PythonStep("slow", "access", lambda conf, request: Awaited(), None)))
    client = connect()
    slept = 0
    for n in range(1, CLIENTS + 1):
        client.send(GET)
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
        reactor.drain()
        slept += resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - before
        assert len(loop.tasks) == n
        loop.tasks[-1].end()
        assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert slept < CLIENTS / 2  # not once per request; the kernel may have reasons of its own to let a thread sleep


MANY = 5000


class Routes:
    """Very many of them, and which are still in memory."""

    def __init__(self) -> None:
        self.pools: list[weakref.ref[_core.Pool]] = []
        self.plans = [self.plan(number) for number in range(MANY)]

    def plan(self, number: int) -> _core.Plan:
        pool = _core.Pool(f"192.0.2.1:{number + 1}")
        self.pools.append(weakref.ref(pool))
        return _core.Plan(b"r", _core.Steps([]), _core.Upstream([(pool, 1, 0, b"h")]))

    def put(self, edit: _core.Edit) -> None:
        for number, plan in enumerate(self.plans):
            edit.put_route(plan, b"", b"/%d" % number)

    def drop(self, edit: _core.Edit) -> None:
        for number, plan in enumerate(self.plans):
            edit.drop_route(plan, b"", b"/%d" % number)
        self.plans.clear()

    def left(self) -> int:
        return sum(pool() is not None for pool in self.pools)


def all_go_in_pieces(reactor: _core.Reactor, loop: Loop, routes: Routes) -> None:
    # Thousands take many times as long as a piece may, on any machine.
    assert routes.left() == MANY
    reactor.tick()
    assert routes.left() > MANY / 2
    while loop.soon:
        before = routes.left()
        loop.turn()
        assert before - routes.left() < MANY / 2
    assert routes.left() == 0


def test_what_an_old_snapshot_leaves_is_freed_in_pieces(reactor: _core.Reactor, loop: Loop) -> None:
    routes = Routes()
    edit = _core.Edit()
    routes.put(edit)
    old = edit.finish()
    reactor.install(old)
    edit = _core.Edit(old)
    routes.drop(edit)
    reactor.install(edit.finish())
    del old, edit
    all_go_in_pieces(reactor, loop, routes)


def test_so_is_what_an_older_one_with_a_request_on_it_shared(
    reactor: _core.Reactor, loop: Loop, connect: Callable[[], socket.socket]
) -> None:
    slow = _core.PythonStep("slow", "access", lambda conf, request: Awaited(), None)
    routes = Routes()
    edit = _core.Edit()
    routes.put(edit)
    edit.put_route(_core.Plan(b"slow", chain(slow)), b"", b"/a")
    oldest = edit.finish()
    reactor.install(oldest)
    client = connect()
    client.send(GET)
    reactor.drain()
    old = _core.Edit(oldest).finish()
    reactor.install(old)
    edit = _core.Edit(old)
    routes.drop(edit)
    reactor.install(edit.finish())
    del oldest, old, edit
    reactor.tick()
    while loop.soon:
        loop.turn()
    loop.tasks[0].end()
    assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
    all_go_in_pieces(reactor, loop, routes)
