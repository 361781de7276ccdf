"""The reactor on real sockets, in the hand of a test that plays the event loop: when it gives the loop its turn."""

import contextlib
import fcntl
import os
import resource
import select
import socket
import weakref
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
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


def test_who_calls_has_the_event_loop_s_turn_at_once(reactor: _core.Reactor, loop: Loop) -> None:
    """A drain that would go on waiting ends, and what it asks for comes before the event loop looks at its descriptors."""
    caller = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    try:
        reactor.call_on(caller)
        for _ in range(3):
            reactor.drain()
            assert not loop.soon, "nothing was there"
            os.eventfd_write(caller, 1)
            reactor.drain()
            assert len(loop.soon) == 1
            assert os.eventfd_read(caller) == 1
            loop.turn()
            assert not loop.soon
    finally:
        os.close(caller)


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


def test_it_keeps_time_by_itself_again_and_again(reactor: _core.Reactor, connect: Callable[[], socket.socket]) -> None:
    """What waits for its time, here lines of the log, needs no more than that its descriptor is heard."""
    reactor.install(snapshot())
    reader, writer = os.pipe2(os.O_NONBLOCK)
    try:
        reactor.access_log(writer)
        reactor.keep_time()
        client = connect()
        for _ in range(3):
            client.send(GET)
            while not select.select([reader], [], [], 0)[0]:
                assert select.select([reactor.fileno()], [], [], 10)[0], "nothing more is due"
                reactor.drain()
            assert os.read(reader, 4096).count(b"\n") == 1
            client.recv(4096)
    finally:
        reactor.access_log(-1)
        os.close(reader)
        os.close(writer)


def test_a_beat_alone_keeps_the_event_loop_no_longer(reactor: _core.Reactor) -> None:
    """A drain waits for what may come behind a request; behind the beat nothing does."""
    reactor.keep_time()
    slept = 0
    for _ in range(8):
        assert select.select([reactor.fileno()], [], [], 10)[0], "nothing more is due"
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
        reactor.drain()
        slept += resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - before
    assert slept < 4  # not once per beat; the kernel may have reasons of its own to let a thread sleep


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


def dropped(reactor: _core.Reactor) -> Routes:
    """Those of a snapshot that another one has followed, without them."""
    routes = Routes()
    edit = _core.Edit()
    routes.put(edit)
    old = edit.finish()
    reactor.install(old)
    edit = _core.Edit(old)
    routes.drop(edit)
    reactor.install(edit.finish())
    del old, edit
    return routes


def test_what_an_old_snapshot_leaves_is_freed_in_pieces(reactor: _core.Reactor, loop: Loop) -> None:
    routes = dropped(reactor)
    all_go_in_pieces(reactor, loop, routes)


def test_it_is_freed_though_nobody_ticks(reactor: _core.Reactor, loop: Loop) -> None:
    routes = dropped(reactor)
    reactor.keep_time()
    while routes.left() == MANY:
        assert select.select([reactor.fileno()], [], [], 10)[0], "nothing more is due"
        reactor.drain()
    while loop.soon:
        loop.turn()
    assert routes.left() == 0


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


BODY = bytes(300_000)


class Proxied:
    """A reactor between a client and an upstream, both in the test's hand."""

    def __init__(self, reactor: _core.Reactor, client: socket.socket, server: socket.socket) -> None:
        pool = _core.Pool("x:1")
        pool.resolve(*server.getsockname())
        reactor.install(snapshot(to=_core.Upstream([(pool, 1, 0, b"x")])))
        self.reactor, self.client, self.server = reactor, client, server

    def long_answer(self) -> None:
        """Passes, and the upstream's connection ends."""
        self.client.send(GET)
        self.reactor.drain()
        up = self.server.accept()[0]
        up.setblocking(False)
        left = memoryview(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY)
        got = 0
        while got < len(BODY):
            with contextlib.suppress(BlockingIOError):
                left = left[up.send(left) :]
            self.reactor.drain()
            with contextlib.suppress(BlockingIOError):
                got += len(self.client.recv(65536))
        up.close()
        self.reactor.drain()
        with contextlib.suppress(BlockingIOError):
            self.client.recv(65536)


@pytest.fixture
def proxied(reactor: _core.Reactor, connect: Callable[[], socket.socket]) -> Iterator[Proxied]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield Proxied(reactor, connect(), server)


def pipes() -> int:
    """Descriptors of pipes that this process has."""
    count = 0
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            count += os.readlink(f"/proc/self/fd/{fd}").startswith("pipe:")
    return count


def test_pipes_kept_for_later_make_room_for_a_connection(proxied: Proxied) -> None:
    before = pipes()
    proxied.long_answer()
    assert pipes() > before
    proxied.client.send(GET)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    fillers = []
    try:
        with contextlib.suppress(OSError):
            while True:
                fillers.append(os.dup(0))
        proxied.reactor.drain()
    finally:
        for fd in fillers:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with pytest.raises(BlockingIOError):  # no answer yet: the upstream has been asked
        proxied.client.recv(1000)
    with proxied.server.accept()[0] as up:
        assert up.recv(1000).startswith(b"GET ")


QUOTA = Path("/proc/sys/fs/pipe-user-pages-soft")
SET_SIZE, GET_SIZE = 1031, 1032  # F_SETPIPE_SZ, F_GETPIPE_SZ
NOBODY = 65534


def over_quota(proxied: Proxied) -> int:
    """Pipes that a long answer leaves where the user's quota is used up."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if os.getuid() == 0:
        os.setuid(NOBODY)
    while True:
        end = os.pipe()[1]
        with contextlib.suppress(PermissionError):
            fcntl.fcntl(end, SET_SIZE, 1 << 18)
        if fcntl.fcntl(end, GET_SIZE) < 65536:
            break
    before = pipes()
    proxied.long_answer()
    return pipes() - before


@pytest.mark.skipif(QUOTA.read_text().strip() == "0", reason="this kernel has no quota of pipes")
def test_a_body_is_copied_where_pipes_are_tiny(proxied: Proxied) -> None:
    child = os.fork()
    if child == 0:
        left = 99
        try:
            left = over_quota(proxied)
        finally:
            os._exit(left)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
