"""Coroutines of Python plugins: what they await, what they raise, and that nothing of it ends the loop."""

import asyncio
import builtins
from collections.abc import Awaitable, Callable, Generator
from typing import Any

import pytest

from fastgw import _core
from tests.support.core import OK, snapshot

REQUEST = b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def answered(call: Callable[[Any, _core.Request], Any]) -> tuple[bytes, dict[str, Any], list[BaseException]]:
    """What the client got, how the plugin was counted, and what it raised."""
    failed: list[BaseException] = []

    async def scene() -> tuple[bytes, dict[str, Any]]:
        region = _core.Region.create(16, slots=1, revocations=1)
        step = _core.PythonStep("one", "access", call, None)
        loop = asyncio.get_running_loop()
        wire = _core.Wire(snapshot(step), loop=loop, region=region, on_error=lambda *told: failed.append(told[2]))
        line = wire.open()
        wire.push(line, REQUEST)
        for _ in range(10):
            await asyncio.sleep(0)
        if len(wire.lines()) > 1:
            wire.push(1, OK)
        assert wire.active == 0
        return wire.pull(line), region.plugins()["one"]

    got, counted = asyncio.run(scene())
    return got, counted, failed


async def _two_turns(conf: Any, request: _core.Request) -> None:
    await asyncio.sleep(0)
    request.set_header("X-One", "1")
    await asyncio.sleep(0)


class Once:
    """No coroutine, but it can be awaited."""

    def __await__(self) -> Generator[None, None, _core.Reply]:
        yield
        return _core.Reply(201, b"made")


class Bare:
    """Its iterator is no generator."""

    def __await__(self) -> Any:
        return iter([None])


async def _in_a_task(conf: Any, request: _core.Request) -> _core.Reply:
    assert asyncio.current_task() is not None
    async with asyncio.timeout(5):
        await asyncio.sleep(0)
    return _core.Reply(201, b"made")


def _future(conf: Any, request: _core.Request) -> Awaitable[Any]:
    future = asyncio.get_running_loop().create_future()
    future.get_loop().call_soon(future.set_result, _core.Reply(201, b"made"))
    return future


@pytest.mark.parametrize(
    ("call", "status"), [(_two_turns, 200), (lambda *_: Once(), 201), (lambda *_: Bare(), 200), (_in_a_task, 201), (_future, 201)]
)
def test_what_can_be_awaited(call: Callable[..., Any], status: int) -> None:
    got, counted, failed = answered(call)
    assert failed == []
    assert got.startswith(f"HTTP/1.1 {status} ".encode())
    assert (counted["calls"], counted["failures"]) == (1, 0)
    assert counted["latency_ns"] > 0
    assert sum(n for _, n in counted["latency_us"]) == 1


@pytest.mark.parametrize("name", ["SystemExit", "KeyboardInterrupt", "GeneratorExit", "StopAsyncIteration", "MemoryError"])
@pytest.mark.parametrize("turns", [0, 1])
def test_what_it_raises_ends_its_request_only(name: str, turns: int) -> None:
    async def raising(conf: Any, request: _core.Request) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        raise getattr(builtins, name)

    got, counted, failed = answered(raising)
    assert got.startswith(b"HTTP/1.1 500 ")
    assert (counted["failures"], len(failed)) == (1, 1)
    if name in ("SystemExit", "KeyboardInterrupt"):
        assert str(failed[0]) == f"plugin one: it raised {name}"


@pytest.mark.parametrize("what", ["number", "bad yield"])
def test_what_cannot_be_awaited(what: str) -> None:
    class Odd:
        def __await__(self) -> Any:
            return 5 if what == "number" else iter([5])

    got, counted, _ = answered(lambda *_: Odd())
    assert got.startswith(b"HTTP/1.1 500 ")
    assert counted["failures"] == 1


def test_it_is_cancelled_by_whoever_has_its_task() -> None:
    async def cancelled(conf: Any, request: _core.Request) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    got, _, failed = answered(cancelled)
    assert got.startswith(b"HTTP/1.1 500 ")
    assert isinstance(failed[0], asyncio.CancelledError)
