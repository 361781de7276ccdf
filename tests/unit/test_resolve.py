"""Background DNS: the last good answer stays, changes are told once, nobody waits for long."""

import asyncio
import socket
from unittest import mock

import pytest

from fastgw.dns_client import Answer
from fastgw.resolve import Resolver

Addresses = tuple[str, ...]


class Names:
    """A resolver of the test's own, with a count of questions."""

    def __init__(self, **known: Addresses) -> None:
        self.known = known
        self.asked: list[str] = []
        self.told: list[tuple[str, Addresses]] = []
        self.changed = asyncio.Event()

    async def look_up(self, name: str) -> Answer:
        self.asked.append(name)
        await asyncio.sleep(0)
        if name not in self.known:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return Answer(self.known[name], self.ttl)

    def on_change(self, name: str, addresses: Addresses) -> None:
        self.told.append((name, addresses))
        self.changed.set()

    def resolver(self, ttl: float = 30.0, valid: float | None = None) -> Resolver:
        self.ttl = ttl
        return Resolver(self.on_change, self.look_up, valid)


def test_names_are_known_when_follow_returns() -> None:
    async def main() -> None:
        names = Names(a=("192.0.2.1",), b=("192.0.2.2", "2001:db8::2"))
        resolver = names.resolver()
        await resolver.follow(["a", "b"], 20)
        assert sorted(names.told) == [("a", ("192.0.2.1",)), ("b", ("192.0.2.2", "2001:db8::2"))]
        assert resolver.known("b") == ("192.0.2.2", "2001:db8::2")
        await resolver.follow(["b"], 20)
        assert resolver.known("a") == ()
        assert names.asked == ["a", "b"]
        resolver.stop()

    asyncio.run(main())


def test_changes_are_told_and_equal_answers_are_not() -> None:
    async def main() -> None:
        names = Names(a=("192.0.2.1",))
        resolver = names.resolver(valid=0.001)
        await resolver.follow(["a"], 20)
        while len(names.asked) < 5:
            await asyncio.sleep(0)
        assert names.told == [("a", ("192.0.2.1",))]
        names.changed.clear()
        names.known["a"] = ("192.0.2.9",)
        await asyncio.wait_for(names.changed.wait(), 20)
        assert names.told[1:] == [("a", ("192.0.2.9",))]
        resolver.stop()

    asyncio.run(main())


def test_a_failure_keeps_the_last_good_answer_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        names = Names(a=("192.0.2.1",))
        resolver = names.resolver(valid=0.001)
        await resolver.follow(["a"], 20)
        del names.known["a"]
        before = len(names.asked)
        while len(names.asked) < before + 5:
            await asyncio.sleep(0)
        assert resolver.known("a") == ("192.0.2.1",)
        assert len(names.told) == 1
        resolver.stop()

    asyncio.run(main())
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "cannot resolve a: [Errno -2] unknown"
    ]


def test_an_unknown_name_delays_nobody() -> None:
    async def main() -> None:
        async def never(_: str) -> Answer:
            await asyncio.Event().wait()
            return Answer((), 0)

        resolver = Resolver(lambda *_: None, never)
        await resolver.follow(["a"], 0.01)
        assert resolver.known("a") == ()
        resolver.stop()

    asyncio.run(main())


def test_an_answer_holds_as_long_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = list[float]()

    async def main() -> None:
        sleep = asyncio.sleep

        async def slept(seconds: float) -> None:
            if seconds:
                pauses.append(seconds)
                names.ttl = ttls.pop() if ttls else 30
            await sleep(0)

        names, ttls = Names(a=("192.0.2.1",)), [86400.0, 0.0]
        resolver = names.resolver(ttl=100)
        monkeypatch.setattr("fastgw.resolve.asyncio.sleep", slept)
        await resolver.follow(["a"], 20)
        while len(pauses) < 3:
            await sleep(0)
        resolver.stop()

    asyncio.run(main())
    assert [round(pause / said, 1) for pause, said in zip(pauses, (100, 1, 3600), strict=False)] == pytest.approx(
        [1.0] * 3, abs=0.11
    )


def test_a_name_is_asked_again_whatever_went_wrong() -> None:
    """Also where what was found could not be taken over."""

    async def main() -> None:
        names, faults = Names(a=("192.0.2.1",)), [TypeError("'<' not supported"), KeyError("a")]

        async def look_up(name: str) -> Answer:
            if len(faults) == 2:
                raise faults.pop()
            return await names.look_up(name)

        def on_change(name: str, addresses: Addresses) -> None:
            if faults:
                raise faults.pop()
            names.on_change(name, addresses)

        names.ttl = 30.0
        resolver = Resolver(on_change, look_up)
        with mock.patch("fastgw.resolve.RETRY_S", 0.001):
            await asyncio.wait_for(resolver.follow(["a"], 20), 10)
            await asyncio.wait_for(names.changed.wait(), 10)
        assert names.told == [("a", ("192.0.2.1",))]
        resolver.stop()

    asyncio.run(main())
