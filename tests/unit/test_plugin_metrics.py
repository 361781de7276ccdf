"""What Python plugins are counted by: names claimed once over all processes, sums over slots, buckets, what is kept."""

import gc
import os

import pytest

from fastgw import _core
from tests.support.core import OK, snapshot

REQUEST = b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
PLACES = 64  # PLUGIN_PLACES in native/plugin_metrics.pxd


def call(region: _core.Region, *names: str, slot: int = 0, then: object = None) -> None:
    """One request that these plugins see."""
    steps = [_core.PythonStep(name, "access", lambda conf, request: then, None) for name in names]
    wire = _core.Wire(snapshot(*steps), region=region, slot=slot)
    line = wire.open()
    wire.push(line, REQUEST)
    if len(wire.lines()) > 1:
        wire.push(1, OK)
    assert wire.active == 0


def region(slots: int = 4) -> _core.Region:
    return _core.Region.create(16, slots=slots, revocations=1)


def test_nobody_was_called() -> None:
    assert region().plugins() == {}


def test_slots_are_added_up() -> None:
    shared = region()
    for slot in (0, 3, 3):
        call(shared, "one", "two", slot=slot)
    call(shared, "two", slot=1, then=5)
    counted = shared.plugins()
    assert {name: (each["calls"], each["failures"]) for name, each in counted.items()} == {"one": (3, 0), "two": (4, 1)}
    for each in counted.values():
        assert each["timeouts"] == each["kept"] == 0
        assert 0 < each["latency_ns"] <= each["held_ns"]
        assert sum(n for _, n in each["latency_us"]) == each["calls"]
        assert all((bound + 1).bit_count() == 1 for bound, _ in each["latency_us"])


def test_a_later_process_counts_on_under_the_same_names() -> None:
    shared = region()
    call(shared, "one")
    call(_core.Region.attach(shared.fileno()), "two", "one", slot=1)
    assert list(shared.plugins()) == ["one", "two"]
    assert shared.plugins()["one"]["calls"] == 2


def test_of_many_processes_each_name_is_one() -> None:
    shared = region(slots=8)
    names = [f"plugin-{n}" for n in range(20)]
    children = []
    for slot in range(8):
        pid = os.fork()
        if pid == 0:
            try:
                call(shared, *(names if slot % 2 else reversed(names)), slot=slot)
            finally:
                os._exit(0)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 8
    assert {name: each["calls"] for name, each in shared.plugins().items()} == dict.fromkeys(names, 8)


def test_those_beyond_the_last_place_are_served_and_not_counted() -> None:
    shared = region()
    for n in range(PLACES + 3):
        call(shared, f"plugin-{n}")
    call(shared, "x" * 65)
    assert list(shared.plugins()) == [f"plugin-{n}" for n in range(PLACES)]


@pytest.mark.parametrize("again", [False, True])
def test_what_is_kept_counts_until_it_goes_or_its_process_does(again: bool) -> None:
    shared = region()
    kept: list[_core.Request] = []
    step = _core.PythonStep("keeps", "log", lambda conf, request: kept.append(request), None)
    other = _core.PythonStep("other", "log", lambda conf, request: None, None)
    wire = _core.Wire(snapshot(step, other), region=shared)
    for _ in range(3):
        line = wire.open()
        wire.push(line, REQUEST)
        wire.push(1, OK)  # the upstream's line, which is used again
    assert {name: each["kept"] for name, each in shared.plugins().items()} == {"keeps": 3, "other": 3}  # it may be either
    with pytest.raises(_core.PluginError, match="the request is over"):
        kept[0].method  # noqa: B018
    kept.pop()
    assert shared.plugins()["keeps"]["kept"] == 2
    if again:
        del wire
        call(shared, "another")  # a new process in the slot
    else:
        kept.clear()
    assert shared.plugins()["keeps"]["kept"] == 0


def test_what_keeps_itself_goes_with_the_collector() -> None:
    shared = region(slots=1)
    step = _core.PythonStep("circle", "log", lambda conf, request: request.ctx.update(own=request), None)
    wire = _core.Wire(snapshot(step), region=shared)
    wire.open()
    gc.collect()
    gc.disable()
    try:
        wire.run(0, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", OK, 3)
        assert shared.plugins()["circle"]["kept"] == 3
    finally:
        gc.enable()
    gc.collect()
    assert shared.plugins()["circle"]["kept"] == 0
