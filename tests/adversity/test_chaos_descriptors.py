"""Chaos: descriptors run out, in workers, in the admin process and in the master, below what any of them has reckoned with.

Held: no wrong answer; what cannot be served is answered 502, or waits; who dies is replaced; once there are descriptors again
all is as before, and none was lost. Sequences follow from a seed: tests/support/chaos.py.
"""

import contextlib
import os
import resource
import signal
from pathlib import Path

import pytest

from tests.support import wire
from tests.support.asking import Asking, Telling
from tests.support.chaos import LIMIT_S, Turn, turns
from tests.support.gateway import Gateway, one_route
from tests.support.processes import open_files
from tests.support.upstreams import Answering
from tests.support.waiting import until

CLIENTS = 12
STORM = 40  # connections beyond


def _bound(pid: int, spare: int) -> tuple[int, int]:
    """So many more descriptors than it has; gives what the limit was."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_files(pid) + spare, before[1]))
    return before


@pytest.mark.timeout(LIMIT_S)
def test_a_worker_without_descriptors(directory: Path) -> None:
    with Telling() as upstream, Gateway(directory, one_route(upstream.address)) as gateway:
        (worker,) = gateway.workers()
        gateway.get("/l/first/2")
        clean = open_files(worker)

        def play(turn: Turn) -> None:
            spare = turn.chance.randrange(0, CLIENTS)
            where = f"{turn.where}: {spare} spare"
            with Asking(lambda: gateway.data, CLIENTS, name=f"f{turn.number}", seed=turn.number) as asking:
                until(lambda: asking.done > 4 * CLIENTS, "the load runs")
                before = _bound(worker, spare)
                held = [wire.connect(gateway.data) for _ in range(STORM)]  # the kernel takes them, if nobody else does
                for sock in held:
                    sock.sendall(b"GET /l/held/2 HTTP/1.1\r\nHost: a\r\n\r\n")
                seen = asking.done
                until(lambda: asking.done > seen + 4 * CLIENTS, f"{where}: who is there is served")
                resource.prlimit(worker, resource.RLIMIT_NOFILE, before)
                answers = [wire.read_response(sock) for sock in held]
                for sock in held:
                    sock.close()
            assert asking.wrong == [], where
            assert set(asking.statuses) <= {200, 502}, where
            assert (asking.cut, asking.refused) == (0, 0), where
            assert {each.status for each in answers} <= {200, 502}, where
            assert all(each.status == 200 or b"upstream.unreachable" in each.body for each in answers), where
            assert gateway.workers() == [worker], where
            until(lambda: gateway.get("/l/after/2").status == 200, f"{where}: recovers")
            # Idle connections towards the upstream are kept on purpose; each of them was one of a client that was served at once.
            until(
                lambda: open_files(worker) <= clean + CLIENTS + STORM,
                f"{where}: {open_files(worker)} descriptors, {clean} before",
            )

        for turn in turns("worker without descriptors", least=3):
            play(turn)
        peak = open_files(worker)
        with Asking(lambda: gateway.data, CLIENTS, total=40 * CLIENTS, name="end") as asking:
            pass
        assert (set(asking.statuses), asking.cut) == ({200}, 0)
        until(lambda: open_files(worker) <= peak, "no descriptor was lost")


@pytest.mark.timeout(LIMIT_S)
def test_an_admin_process_without_descriptors(directory: Path) -> None:
    with Answering() as upstream, Gateway(directory, one_route(upstream.address)) as gateway:
        gateway.put("routes/two", {"uri": "/two", "upstream": {"nodes": {str(upstream.address): 1}}})

        def play(turn: Turn) -> None:
            (admin,) = gateway.pids("admin")
            clean = open_files(admin)
            before = _bound(admin, turn.chance.randrange(3))
            held = []
            for _ in range(STORM):
                held.append(wire.connect(gateway.admin))
                held[-1].sendall(b"GET /apisix/admin/routes HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert gateway.get("/").status == 200, turn.where
            resource.prlimit(admin, resource.RLIMIT_NOFILE, before)
            for sock in held:
                # libuv closes at once what it has no descriptor for; who gets an answer gets the right one.
                assert wire.read_to_end(sock)[:13] in (b"", b"HTTP/1.1 401 "), turn.where
                sock.close()
            assert gateway.pids("admin") == [admin], gateway.log()
            until(lambda: open_files(admin) <= clean + 2, f"{turn.where}: {open_files(admin)} descriptors, {clean} before")
            until(lambda: written(turn.where), f"{turn.where}: a write is taken")

        def written(desc: str) -> bool:
            try:
                gateway.put("routes/two", {"uri": "/two", "desc": desc, "upstream": {"nodes": {str(upstream.address): 1}}})
            except ConnectionError:
                return False  # libuv goes on to close what had queued up
            return True

        for turn in turns("admin without descriptors", least=2):
            play(turn)


@pytest.mark.timeout(LIMIT_S)
def test_a_master_without_descriptors(directory: Path) -> None:
    """What it is told meanwhile it does not do, and says so; it lives, and so does everybody."""
    log = directory / "access.log"
    with Telling() as upstream:
        config = {"workers": 2, "access_log": {"path": str(log)}, **one_route(upstream.address)}
        with Gateway(directory, config) as gateway:
            gateway.reload()
            clean = open_files(gateway.process.pid)

            def play(turn: Turn) -> None:
                with Asking(lambda: gateway.data, CLIENTS, name=f"m{turn.number}", seed=turn.number) as asking:
                    before = _bound(gateway.process.pid, turn.chance.randrange(3))
                    orders = [turn.chance.choice(("reload", "grow", "reopen", "upgrade")) for _ in range(3)]
                    orders[turn.chance.randrange(3)] = "kill"  # one worker of two: its successor may not be able to start
                    where = f"{turn.where}: {' '.join(orders)}"
                    for order in orders:
                        _order(gateway, order, config)
                        _goes_on(asking, f"{where}\n{gateway.log()[-4000:]}")
                    resource.prlimit(gateway.process.pid, resource.RLIMIT_NOFILE, before)
                    for pid in gateway.workers():  # born with the low limit
                        with contextlib.suppress(ProcessLookupError):
                            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
                    until(lambda: "refused" not in gateway.reload(config), f"{where}: reloads again", 60)
                    until(lambda: len(gateway.workers()) == 2, f"{where}: both workers\n{gateway.log()[-4000:]}", 60)
                assert asking.wrong == [], where
                assert set(asking.statuses) == {200}, where
                assert asking.cut <= 2 * CLIENTS * 1, where
                assert asking.refused == 0, where
                until(lambda: open_files(gateway.process.pid) <= clean, f"{where}: {open_files(gateway.process.pid)}, {clean}")

            for turn in turns("master without descriptors", least=2):
                play(turn)


def _goes_on(asking: Asking, where: str) -> None:
    seen = asking.done
    until(lambda: asking.done > seen + 4 * CLIENTS, f"{where}: the load goes on")


def _order(gateway: Gateway, order: str, config: dict[str, object]) -> None:
    if order == "kill":
        os.kill(gateway.workers()[0], signal.SIGKILL)
    elif order == "reopen":
        gateway.process.signal(signal.SIGUSR1)
    elif order == "upgrade":
        seen = len(gateway.log())
        gateway.process.signal(signal.SIGUSR2)
        until(lambda: "cannot be started" in gateway.log()[seen:] or "upgrade failed" in gateway.log()[seen:], gateway.log(), 60)
    else:
        gateway.reload({**config, "workers": 6} if order == "grow" else config)
