"""No key admits one more than its limit allows, and none is refused below it: over many workers and keys, while workers are
killed and the configuration is read again; in the window in which a limit is edited; beside two million other keys.

FASTGW_TEST_SECONDS says for how long workers die (60: the long run), FASTGW_TEST_KEYS how many keys stream through the table
(2000000), FASTGW_TEST_SEED who dies.
"""

import copy
import os
import random
import re
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fastgw import _core
from tests.support.gateway import Gateway, one_route
from tests.support.load import Load
from tests.support.processes import resident_bytes
from tests.support.upstreams import OK, Answering
from tests.support.waiting import until

SECONDS = float(os.environ.get("FASTGW_TEST_SECONDS", "7"))
KEYS = int(os.environ.get("FASTGW_TEST_KEYS", "400000"))
SEED = int(os.environ.get("FASTGW_TEST_SEED", "22"))
KILL_S, RELOAD_S = 3.0, 2.0
LIMITED_KEYS, CLIENTS, WORKERS = 1000, 64, 8
LIMIT = 3
BURST, RATE = 2, 0.05  # per second
HOUR = 3600
LINE = re.compile(rb"GET /(\w+) .*?\r\nX-Key: (\w+)\r\n", re.DOTALL)


def _limit(**members: object) -> dict[str, object]:
    return {"limit-count": {"key": "http_x_key", "rejected_code": 429, "time_window": HOUR, **members}}


def _routes(upstream: Answering, **plugins: dict[str, object]) -> list[dict[str, Any]]:
    """One route per name, limited so."""
    return [one_route(upstream.address, f"/{name}", id=name, plugins=each)["routes"][0] for name, each in plugins.items()]


class Counting(Answering):
    """Counts what was let through, by path and key."""

    def __init__(self) -> None:
        super().__init__(self._count)
        self.admitted: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def _count(self, request: bytes) -> bytes:
        found = LINE.match(request)
        assert found is not None, request
        with self._lock:
            self.admitted[found[1].decode(), found[2].decode()] += 1
        return OK


@pytest.mark.timeout(120 + 2 * int(SECONDS))
def test_no_key_admits_one_more_while_workers_die_and_files_are_read_again(directory: Path) -> None:
    chance = random.Random(SEED)
    names = [f"key{number}" for number in range(LIMITED_KEYS)]
    heads = {
        f"GET /{path} HTTP/1.1\r\nHost: test\r\nX-Key: {key}\r\n\r\n".encode(): (path, key)
        for path in ("fixed", "bucket")
        for key in names
    }
    requests = list(heads)
    fixed = _limit(count=LIMIT)
    bucket = _limit(count=int(RATE * HOUR), window_type="token-bucket", burst=BURST)
    with Counting() as upstream:
        config: dict[str, Any] = {"workers": WORKERS, "routes": _routes(upstream, fixed=fixed, bucket=bucket)}
        with Gateway(directory, config) as gateway:
            began = time.monotonic()
            with Load(gateway.data, lambda: chance.choice(requests), CLIENTS) as load:
                kills, reloads = _trouble(gateway, config, began + SECONDS)
            elapsed = time.monotonic() - began
        assert kills >= SECONDS // KILL_S
        assert reloads >= 2
        assert set(load.statuses) == {200, 429}, load.statuses
        assert load.refused == 0
        most = {"fixed": LIMIT, "bucket": BURST + RATE * elapsed}
        over = {each: n for each, n in upstream.admitted.items() if n > most[each[0]]}
        assert over == {}, f"admitted beyond {most}; seed {SEED}"
        early = {
            heads[request]: dict(seen)
            for request, seen in load.of.items()
            if seen[429] and seen[200] + seen[0] < (LIMIT if heads[request][0] == "fixed" else BURST)
        }
        assert early == {}, f"refused below the limit; seed {SEED}"
        refused = [request for request, seen in load.of.items() if seen[429]]
        assert len(refused) > LIMITED_KEYS, f"most keys met their limits, else nothing was shown: {len(refused)}"
        answers = f"{load.done} answers, {load.statuses[200]} admitted, {load.lost} lost"
        print(f"{answers}; {kills} kills, {reloads} reloads; {elapsed:.0f} s")  # for those who run it with -s


def _trouble(gateway: Gateway, config: dict[str, Any], end: float) -> tuple[int, int]:
    """Kills and reloads until `end`; every other reload changes what only new workers can take over."""
    chance = random.Random(SEED)
    kills = reloads = 0
    kill_at = time.monotonic() + KILL_S / 2
    reload_at = time.monotonic() + RELOAD_S / 2

    def due() -> bool:
        return time.monotonic() >= min(kill_at, reload_at, end)

    while True:
        until(due, "the next trouble is due", KILL_S + RELOAD_S)
        now = time.monotonic()
        if now >= end:
            return kills, reloads
        if now >= kill_at:
            workers = gateway.workers()
            os.kill(chance.choice(workers), signal.SIGKILL)
            kills += 1
            kill_at += KILL_S
        if now >= reload_at:
            reloads += 1
            changed = copy.deepcopy(config)
            changed["server_tokens"] = reloads % 4 < 2
            changed["routes"][0]["desc"] = f"reload {reloads}"
            assert "reloaded" in gateway.reload(changed)
            reload_at = max(reload_at + RELOAD_S, time.monotonic())


@pytest.mark.parametrize("way", ["admin", "file"])
@pytest.mark.parametrize("window_type", ["fixed", "sliding", "token-bucket"])
def test_an_edit_from_3_to_5_lets_two_more_in(directory: Path, window_type: str, way: str) -> None:
    """Not five, in the middle of a window; and back to 3 none. What a bucket holds is its burst: its count is only a rate."""
    window = 24 * HOUR  # a boundary of sliding windows comes once in a day

    def routes(most: int) -> list[dict[str, Any]]:
        size = {"count": 3, "burst": most} if window_type == "token-bucket" else {"count": most}
        return _routes(upstream, edited=_limit(**size, time_window=window, window_type=window_type))

    def edit(gateway: Gateway, most: int) -> None:
        if way == "file":
            assert "reloaded" in gateway.reload({"workers": 2, "routes": routes(most)})
        else:
            gateway.put("routes/edited", routes(most)[0])

    def admitted(gateway: Gateway) -> list[int]:
        """Of eight requests, on connections of their own: both workers take part."""
        answers = [gateway.get("/edited", headers={"X-Key": "jack"}) for _ in range(8)]
        return [int(each.headers["x-ratelimit-limit"]) for each in answers if each.status == 200]

    with Counting() as upstream, Gateway(directory, {"workers": 2, "routes": []}) as gateway:
        edit(gateway, 3)
        assert admitted(gateway) == [3, 3, 3]
        edit(gateway, 5)
        assert admitted(gateway) == [5, 5]
        edit(gateway, 3)
        assert admitted(gateway) == []
        assert sum(upstream.admitted.values()) == 5


@pytest.mark.timeout(300)
def test_keys_beyond_number_take_no_memory_and_push_no_longer_limit_out(directory: Path) -> None:
    """A gateway's own table of the usual size, which another program floods: a key that forgets later than the flood's is
    never pushed out, and every key that was is counted."""
    shared = directory / "shared"
    limits = _limit(count=LIMIT, time_window=24 * HOUR)
    with Counting() as upstream:
        config = {"shared_memory": {"path": str(shared)}, "routes": _routes(upstream, limited=limits)}
        with Gateway(directory, config) as gateway:
            table = _core.Table.attach(shared)
            size = shared.stat().st_size
            assert table.slots == 262_144
            assert [gateway.get("/limited", headers={"X-Key": "jack"}).status for _ in range(LIMIT)] == [200] * LIMIT
            (worker,) = gateway.workers()
            before, mine = resident_bytes(worker), resident_bytes(os.getpid())
            flood = _core.Limiter(table, "flood", count=1, window=HOUR)
            parts = 10
            for part in range(parts):
                _core._bench_limit(flood, bytes(20), KEYS // parts, KEYS // parts, part * (KEYS // parts))
                assert gateway.get("/limited", headers={"X-Key": "jack"}).status == 429
            assert shared.stat().st_size == size
            assert resident_bytes(os.getpid()) - mine <= size + 2**20
            assert resident_bytes(worker) - before <= size + 2**20
            live = len(_core._test_cells(table))
            evictions = table.region.metrics()["limit_evictions"]
            assert live <= table.slots
            assert live + evictions == KEYS // parts * parts + 1, "each key has a cell or gave one up, and that was counted"
            assert evictions > 0
            # A new key finds room and is counted, however full it is.
            statuses = [gateway.get("/limited", headers={"X-Key": "jill"}).status for _ in range(LIMIT + 1)]
            assert statuses == [200] * LIMIT + [429]
