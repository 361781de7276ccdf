"""What a hit on the limiter's table costs: uncontended, at every level of filling, and beside another process.

Owns the measurement that docs/shared-memory.md quotes. `python -m bench.cells`, on an idle machine with two cores.
"""

import os
import time

from fastgw import _core

CELLS = 262_144
ROUNDS = 1_000_000
KEY = bytes(20)
IDENTITY = "consumers/johndoe/limit-co"
PLENTY = 2**39
ALGORITHMS = ("fixed", "sliding", "token-bucket")


def limiter(table: _core.Table, algorithm: str = "fixed") -> _core.Limiter:
    return _core.Limiter(table, IDENTITY, count=PLENTY, window=3600, algorithm=algorithm)


def best(run: list[float]) -> float:
    return round(min(run), 1)


def alone() -> None:
    for algorithm in ALGORITHMS:
        own = limiter(_core.Table.create(slots=CELLS), algorithm)
        print(f"{algorithm}: {best([_core._bench_limit(own, KEY, ROUNDS) for _ in range(7)])} ns per hit on one key")
    holder = _core._TestHolder(_core.Region.create(CELLS, slots=2), 0)
    print(f"held: {best([_core._bench_hold(holder, KEY, ROUNDS) for _ in range(5)])} ns to take and give one")


def filled(cells: int) -> None:
    """Hits on keys that are there, and first hits of new ones, in a table that is so full."""
    for percent in (10, 50, 90, 100):
        table = _core.Table.create(slots=cells)
        own = limiter(table)
        keys = cells * percent // 100
        _core._bench_limit(own, KEY, keys, keys)
        lost = table.evictions
        hits = best([_core._bench_limit(own, KEY, max(keys, 200_000), keys) for _ in range(5)])
        few = best([_core._bench_limit(own, KEY, 200_000, min(keys, 256)) for _ in range(5)])
        new = best([_core._bench_limit(own, KEY, 2000, 2000, 10**9 + 2000 * i) for i in range(5)])
        print(f"{cells} cells, {percent} % full: {few} ns on 256 keys, {hits} on all in turn, {new} on new ones; "
              f"{lost} evictions while filling")  # fmt: skip


def streaming(keys: int = 2_000_000, runs: int = 5) -> None:
    """New keys all the time, until many times as many have passed as there are cells; beside them 256 keys that stay."""
    part = CELLS // 16
    stretches: list[list[float]] = []
    stays = []
    for _ in range(runs):
        table = _core.Table.create(slots=CELLS)
        brief = _core.Limiter(table, IDENTITY, count=PLENTY, window=0.001)
        _core._bench_limit(brief, KEY, 8 * CELLS, 8 * CELLS)  # every page is there, and all that stands in them has expired
        own, stay, lost = limiter(table), _core.Limiter(table, "stays", count=PLENTY, window=86_400), table.evictions
        before = best([_core._bench_limit(stay, KEY, 200_000, 256) for _ in range(5)])
        stretches.append([_core._bench_limit(own, KEY, part, part, 10**9 + first) for first in range(0, keys, part)])
        stays.append((before, best([_core._bench_limit(stay, KEY, 200_000, 256) for _ in range(5)])))
    took = [best(list(each)) for each in zip(*stretches, strict=True)]
    for name, at in (("empty", 0), ("half full", 8), ("full", 16)):
        print(f"streaming, {name}: {took[at]} ns per new key")
    rest = took[32:]
    print(f"streaming, the last {len(rest) * part} of {len(took) * part}: {min(rest)} to {max(rest)} ns, median "
          f"{sorted(rest)[len(rest) // 2]}; {table.evictions - lost} evictions; keys that stay: "
          f"{min(stays)[0]} ns before, {min(after for _, after in stays)} after")  # fmt: skip


def neighbours(table: _core.Table) -> tuple[int, int]:
    """Two keys (numbers, as _bench_limit makes them) in cells side by side."""
    at: dict[int, int] = {}
    seen: set[int] = set()
    own = limiter(table)
    for number in range(4000):
        _core._bench_limit(own, KEY, 1, 1, number)
        (index,) = {cell[0] for cell in _core._test_cells(table)} - seen or {-1}
        seen.add(index)
        at[index] = number
        if index - 1 in at:
            return at[index - 1], number
    raise AssertionError("expected two cells side by side")


def together(name: str, table: _core.Table, mine: int, theirs: int, elsewhere: bool = False) -> None:
    """Two processes, each on a core of its own; `elsewhere`: the other one on a table of its own."""
    own = limiter(table)
    os.sched_setaffinity(0, {0})
    by_itself = best([_core._bench_limit(own, KEY, ROUNDS, 1, mine) for _ in range(5)])
    pid = os.fork()
    if pid == 0:
        os.sched_setaffinity(0, {1})
        until = time.monotonic() + 2
        if elsewhere:
            own = limiter(_core.Table.create(slots=1024))
        while time.monotonic() < until:
            _core._bench_limit(own, KEY, ROUNDS, 1, theirs)
        os._exit(0)
    time.sleep(0.3)
    beside = sorted(_core._bench_limit(own, KEY, ROUNDS, 1, mine) for _ in range(9))
    os.waitpid(pid, 0)
    print(f"{name}: {by_itself} ns alone, {beside[0]:.1f} (median {beside[4]:.1f}) beside another process")


def main() -> None:
    alone()
    for cells in (4096, CELLS):
        filled(cells)
    streaming()
    table = _core.Table.create(slots=1024)
    one, other = neighbours(table)
    together("tables apart", table, one, one, elsewhere=True)
    together("keys in cells side by side", table, one, other)
    together("keys far apart", table, one, one + 10**6)
    together("the same key", table, one, one)


if __name__ == "__main__":
    main()
