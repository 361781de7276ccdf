"""Supervision: back-off by the clock, deaths that are wanted and those that are not."""

import os
import signal

from fastgw import _core
from fastgw.supervisor import Role, Supervisor
from tests.support.slots import slots_of
from tests.support.waiting import until


def role() -> Role:
    return Role("worker 1", lambda slot: 0)


def test_first_death_is_answered_at_once_then_pauses_double() -> None:
    dying = role()
    now, pauses = 100.0, []
    for _ in range(9):
        dying.begin(now, 0, 1)
        pauses.append(dying.end(now + 0.5))
        now = dying.due
    assert pauses == [0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_a_life_of_a_second_clears_the_record() -> None:
    dying = role()
    for _ in range(4):
        dying.begin(0.0, 0, 1)
        dying.end(0.5)
    dying.begin(10.0, 0, 1)
    assert dying.end(11.0) == 0


def test_children_are_replaced_until_retired() -> None:
    with slots_of(_core.Region.create(16)) as slots:
        supervisor = Supervisor(slots)
        child = Role("child", lambda slot: _wait_for_signal())
        supervisor.start(child)
        first, slot = child.pid, child.slot
        os.kill(first, signal.SIGKILL)
        until(lambda: reaped(supervisor, child, first), "the death is noticed")
        supervisor.restart_due()
        assert child.pid not in (0, first)
        assert child.slot == slot
        assert os.eventfd_read(slots.ack) == 1
        supervisor.retire([child])
        until(lambda: reaped(supervisor, child, child.pid) or not supervisor.roles, "the end")
        assert supervisor.roles == []
        assert supervisor.next_due() is None


def reaped(supervisor: Supervisor, child: Role, pid: int) -> bool:
    supervisor.reap()
    return child.pid != pid


def _wait_for_signal() -> int:
    signal.pause()
    return 0
