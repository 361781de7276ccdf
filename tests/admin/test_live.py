"""Live on return: a write is answered when every serving process runs on it, and not before."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from fastgw._core import Region
from fastgw.admin.live import Live
from tests.support.waiting import until

from .conftest import SERVING, WORKER, Admin

FREE, STARTING, DRAINING = 0, 1, 3


def test_each_write_is_in_every_follower_when_it_is_answered(make_admin: Callable[..., Admin]) -> None:
    admin = make_admin()
    followers = [admin.follow(slot) for slot in range(3)]
    for number in range(50):
        answer = admin.call("PUT", "/consumers", {"username": f"c{number % 5}", "desc": str(number)})
        for follower in followers:
            assert follower.objects["consumers", f"c{number % 5}"] == answer.body["value"]
    admin.call("DELETE", "/consumers/c0")
    assert all(follower.objects["consumers", "c0"] is None for follower in followers)


def test_a_write_waits_for_the_last_follower(make_admin: Callable[..., Admin]) -> None:
    admin = make_admin()
    admin.region.set_slot(3, os.getpid(), WORKER, DRAINING)
    answers: list[int] = []
    writer = threading.Thread(target=lambda: answers.append(admin.call("PUT", "/consumers", {"username": "a"}).status))
    writer.start()
    until(lambda: admin.region.target() == 1, "the revision is published")
    assert os.eventfd_read(admin.wakes[3]) == 1, "its process is woken"
    assert not answers
    admin.region.set_applied(3, 1)
    os.eventfd_write(admin.ack, 1)
    writer.join()
    assert answers == [201]


def test_a_refused_write_and_a_read_publish_nothing(make_admin: Callable[..., Admin]) -> None:
    admin = make_admin()
    admin.call("PUT", "/routes/x", {})
    admin.call("GET", "/routes")
    admin.call("DELETE", "/routes/x")
    assert admin.region.target() == 0


def test_a_commit_that_was_not_published_is_served_once_there_is_an_admin_process_again(make_admin: Callable[..., Admin]) -> None:
    """A process that dies between the two leaves what every reader of the Admin API sees, and traffic must not differ."""
    admin = make_admin()
    follower = admin.follow(0)
    admin.process.kill()
    admin.process.wait(20)
    store = admin.store()
    store.put("consumers", "a", {"username": "a"})
    store.close()
    admin.start()
    assert follower.objects["consumers", "a"] == {"username": "a"}


class Bench:
    """A Live in this process on a real region and real eventfds."""

    def __init__(self, deadline: float) -> None:
        self.region = Region.create(1024, None, 4)
        self.wakes = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(4)]
        self.ack = os.eventfd(0, os.EFD_NONBLOCK)
        self.live = Live(self.region, self.wakes, self.ack, deadline)

    def run(self, revision: int, meanwhile: Callable[[], None] = lambda: None, changes: int = 1) -> None:
        async def main() -> None:
            self.live.start()
            reached = asyncio.ensure_future(self.live.reach(revision, changes))
            await asyncio.sleep(0)
            meanwhile()
            await reached
            self.live.stop()

        asyncio.run(main())

    def woken(self, index: int) -> bool:
        try:
            return os.eventfd_read(self.wakes[index]) > 0
        except BlockingIOError:
            return False


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench(deadline=1.0)
    yield made
    for fd in (*made.wakes, made.ack):
        os.close(fd)


def test_only_those_who_serve_are_waited_for_and_only_those_who_live_are_woken(bench: Bench) -> None:
    bench.region.set_slot(1, os.getpid(), WORKER, STARTING)
    bench.region.set_slot(2, os.getpid(), 2, SERVING)  # the admin process itself
    bench.run(7)
    assert bench.region.target() == 7
    assert [bench.woken(index) for index in range(4)] == [False, True, True, False]


def test_a_process_that_dies_meanwhile_is_not_waited_for(bench: Bench) -> None:
    """It acknowledges nothing; its slot is freed by the master."""
    bench.region.set_slot(1, os.getpid(), WORKER, SERVING)
    bench.run(7, lambda: bench.region.set_slot(1, 0, 0, FREE))


def test_a_process_that_does_not_apply_in_time_is_killed(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    laggard = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    fine = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    bench.region.set_slot(0, laggard.pid, WORKER, SERVING)
    bench.region.set_slot(1, fine.pid, WORKER, SERVING)
    bench.region.set_applied(1, 7)
    bench.run(7)
    assert laggard.wait(20) == -signal.SIGKILL
    assert fine.poll() is None
    fine.kill()
    fine.wait()
    assert f"process {laggard.pid} (slot 0) has not applied revision 7 within 1 s" in caplog.text


def test_a_large_change_may_take_longer(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """201 objects: twice the second that the deadline of this bench allows for one."""
    laggard = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    bench.region.set_slot(0, laggard.pid, WORKER, SERVING)
    bench.run(7, changes=201)
    assert laggard.wait(20) == -signal.SIGKILL
    assert "has not applied revision 7 within 2 s" in caplog.text


def test_the_target_never_goes_back(bench: Bench) -> None:
    bench.run(9)
    bench.run(7)
    assert bench.region.target() == 9
