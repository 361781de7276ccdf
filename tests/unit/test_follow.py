"""Following the store while requests are served: in slices, as one, and on after a fault of ours."""

import asyncio
import gc
import itertools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastgw import _core, follow
from fastgw.compile import Compiler
from fastgw.follow import Follower
from fastgw.store import FEED_ROWS, Edits, Store

UPSTREAM = {"type": "roundrobin", "nodes": {"192.0.2.1:80": 1}}


def route(id_: str, **fields: Any) -> dict[str, Any]:
    return {"id": id_, "uri": f"/{id_}", "upstream": UPSTREAM, **fields}


class Following:
    """A follower of its own store, with what it installed and the names it asked for."""

    def __init__(self, path: Path) -> None:
        self.store = Store(path / "fastgw.db")
        self.compiler = Compiler()
        self.installed: list[_core.Snapshot] = []
        self.asked: list[set[str]] = []
        self.follower = Follower(self.store, self.compiler, self._resolve, self.installed.append)

    async def _resolve(self, names: Any) -> None:
        self.asked.append(set(names))

    def routes(self, *ids: str) -> list[bool]:
        return [_core._test_route(self.installed[-1], b"h", f"/{id_}".encode()) == id_.encode() for id_ in ids]


@pytest.fixture
def following(tmp_path: Path) -> Iterator[Following]:
    made = Following(tmp_path)
    yield made
    made.store.close()


def test_others_have_their_turn_while_a_large_change_is_compiled(following: Following, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "SLICE_S", 0.0)
    count = 300
    following.store.replace_file_layer({("routes", f"r{number}"): route(f"r{number}") for number in range(count)})

    async def main() -> int:
        turns = 0
        task = asyncio.create_task(following.follower.catch_up())
        while not task.done():
            assert not following.installed, "half of a change serves"
            turns += 1
            await asyncio.sleep(0)
        assert await task == following.store.revision()
        return turns

    assert asyncio.run(main()) >= 2 * count, "each object is read, and made"
    assert len(following.installed) == 1
    assert all(following.routes(*(f"r{number}" for number in range(count))))


def test_after_a_fault_of_ours_the_last_good_serves_and_the_next_change_starts_afresh(
    following: Following, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    following.store.put("routes", "a", route("a"))
    asyncio.run(following.follower.catch_up())
    following.store.put("routes", "b", route("b"))
    with monkeypatch.context() as broken:
        broken.setattr(following.compiler._parts, "refresh", lambda: 1 / 0)
        assert asyncio.run(following.follower.catch_up()) == 2, "told to be applied, or every worker would be replaced"
    assert "the last good ones go on serving" in caplog.text
    assert following.routes("a", "b") == [True, False]
    following.store.put("routes", "c", route("c"))
    assert asyncio.run(following.follower.catch_up()) == 3
    assert following.routes("a", "b", "c") == [True, True, True]


def test_a_fault_of_ours_at_the_start_ends_the_start(following: Following, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following.compiler._parts, "refresh", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        asyncio.run(following.follower.catch_up())


def test_a_fault_of_an_object_is_logged_once(following: Following, caplog: pytest.LogCaptureFixture) -> None:
    following.store.put("routes", "a", route("a", service_id="nope"))
    for number in range(3):
        following.store.put("routes", f"other{number}", route(f"other{number}"))
        asyncio.run(following.follower.catch_up())
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert errors == ["routes/a: service 'nope': expected an existing one, found none: its previous version goes on serving"]


def test_names_are_resolved_before_they_serve_and_only_when_they_are_others(following: Following) -> None:
    named = {"type": "roundrobin", "nodes": {"name.test:80": 1}}
    following.store.put("routes", "a", route("a", upstream=named))
    asyncio.run(following.follower.catch_up())
    following.store.put("routes", "b", route("b", upstream=named))
    asyncio.run(following.follower.catch_up())
    assert following.asked == [{"name.test"}]


def test_the_collector_does_not_walk_the_configuration(following: Following) -> None:
    count = follow.STEPS_PER_COLLECTION
    following.store.replace_file_layer({("routes", f"r{number}"): route(f"r{number}") for number in range(count)})
    before = gc.get_freeze_count()
    try:
        asyncio.run(following.follower.catch_up())
        assert gc.get_freeze_count() - before > count
    finally:
        gc.unfreeze()


def test_what_is_applied_as_one_is_served_as_one(following: Following, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is read in many pages, compiled in many slices, and committed while an older change is being read."""
    monkeypatch.setattr(follow, "SLICE_S", 0.0)
    count = 3 * FEED_ROWS + 5
    served: list[set[str]] = []

    def apply(version: str) -> None:
        puts = {("routes", f"r{number}"): route(f"r{number}", uri=f"/{version}/{number}") for number in range(count)}
        following.store.apply(lambda view: Edits(puts, (), {}), lambda view: None)

    def installed() -> None:
        found = set()
        for number in range(count):
            for version in ("a", "b", "c"):
                if _core._test_route(following.installed[-1], b"h", f"/{version}/{number}".encode()):
                    found.add(version)
        served.append(found)

    async def main() -> None:
        for versions in ("a", "bc"):
            apply(versions[0])
            task = asyncio.create_task(following.follower.catch_up())
            for turn in itertools.count():
                if task.done():
                    break
                if turn == count // 2 and versions[1:]:
                    apply(versions[1])
                if len(following.installed) > len(served):
                    installed()
                await asyncio.sleep(0)
            await following.follower.catch_up()
            installed()

    asyncio.run(main())
    assert all(len(each) == 1 for each in served), served
    assert served[-1] == {"c"}
