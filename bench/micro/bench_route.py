"""route: the plan of a path, by exact path and by longest prefix, against a router of dicts and one of regular expressions."""

import re
from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench import workload
from bench.micro.duel import Job, Side, between
from bench.micro.waiting import Waiting, logged
from fastgw import _core

FEW, MANY = 10, 10_000
WANTED = 7


def paths(n: int) -> list[str]:
    """Half of them exact, half prefixes."""
    return [f"/shop/{i}/items" if i % 2 else f"/shop/{i}/*" for i in range(n)]


def snapshot(n: int) -> _core.Snapshot:
    upstream, none = workload.upstream(), _core.Steps([])
    plans = [(_core.Plan(path.encode(), none, upstream), b"", path.encode()) for path in paths(n)]
    return _core.Snapshot(plans, {}, none)


class Dicts:
    """Exact paths, then prefixes from the longest that there is."""

    def __init__(self, n: int) -> None:
        self.exact = {path: path for path in paths(n) if path[-1] != "*"}
        self.prefix = {path[:-1]: path for path in paths(n) if path[-1] == "*"}
        self.lengths = sorted({len(prefix) for prefix in self.prefix}, reverse=True)

    def find(self, path: str) -> str | None:
        found = self.exact.get(path)
        if found is not None:
            return found
        for length in self.lengths:
            found = self.prefix.get(path[:length]) if length <= len(path) else None
            if found is not None:
                return found
        return None


class Patterns:
    """One expression of all routes, as some frameworks have it."""

    def __init__(self, n: int) -> None:
        self.paths = paths(n)
        alternatives = (f"({re.escape(path[:-1])}.*)" if path[-1] == "*" else f"({re.escape(path)})" for path in self.paths)
        self.pattern = re.compile("|".join(alternatives))

    def find(self, path: str) -> str | None:
        found = self.pattern.fullmatch(path)
        return self.paths[found.lastindex - 1] if found and found.lastindex else None


def asked(n: int, exact: bool) -> str:
    """One of the routes in the middle."""
    i = n // 2 + (n // 2 + 1) % 2
    return f"/shop/{i}/items" if exact else f"/shop/{i - 1}/anything"


def race(n: int, exact: bool) -> pytest.MarkDecorator:
    path = asked(n, exact)
    dicts = Dicts(n)
    rivals: dict[str, Callable[[], object]] = {"dicts": lambda: dicts.find(path)}
    if n == FEW:  # one expression of 10,000 alternatives takes milliseconds
        patterns = Patterns(n)
        rivals["re"] = lambda: patterns.find(path)
    about = f"{'exact path' if exact else 'longest prefix'} among {n:,} routes"
    return between(Job(about), Waiting(snapshot(n), workload.request(path)).loop("route"), rivals)


def same_route(n: int) -> None:
    for exact in (True, False):
        path = asked(n, exact)
        found = Dicts(n).find(path)
        assert found is not None
        assert b'"route":"%s"' % found.encode() in logged(snapshot(n), workload.request(path))
        if n == FEW:
            assert Patterns(n).find(path) == found


@race(FEW, exact=True)
def test_few_exact(side: Side, benchmark: BenchmarkFixture) -> None:
    same_route(FEW)
    side.time(benchmark)


@race(MANY, exact=True)
def test_many_exact(side: Side, benchmark: BenchmarkFixture) -> None:
    same_route(MANY)
    side.time(benchmark)


@race(MANY, exact=False)
def test_many_prefix(side: Side, benchmark: BenchmarkFixture) -> None:
    same_route(MANY)
    side.time(benchmark)
