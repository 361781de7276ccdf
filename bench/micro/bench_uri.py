"""uri: target and host of a request brought to the one form that routing compares, against urllib and posixpath."""

import posixpath
from urllib.parse import quote, unquote, urlsplit

from pytest_benchmark.fixture import BenchmarkFixture

from bench import workload
from bench.micro.duel import Job, Side, between
from bench.micro.waiting import Waiting
from fastgw import _core

PATHS = {"normal already": "/bench/orders/1017/items", "to be normalised": "/bench//orders/./1017/%41%7e/../items"}
HOST = "127.0.0.1:9080"
NORMAL = "/bench/orders/1017/items"


def rival(path: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(f"//{HOST}{path}?expand=items")
    return posixpath.normpath(quote(unquote(parts.path), safe="/~")), parts.hostname, parts.port


def waiting(path: str) -> Waiting:
    plan = _core.Plan(b"all", _core.Steps([]), workload.upstream())
    snapshot = _core.Snapshot([(plan, b"", b"/*")], {}, _core.Steps([]))
    return Waiting(snapshot, workload.request(f"{path}?expand=items"))


def same_form() -> None:
    for path in PATHS.values():
        assert _core.normalise_path(path.encode()).decode() == rival(path)[0] == NORMAL
    host = _core._test_host_split(HOST.encode())
    assert host is not None
    assert (host[0].decode(), host[1]) == rival(NORMAL)[1:]


@between(
    Job("target and host, path normal already"),
    waiting(PATHS["normal already"]).loop("uri"),
    {"urllib, posixpath": lambda: rival(PATHS["normal already"])},
)
def test_normal(side: Side, benchmark: BenchmarkFixture) -> None:
    same_form()
    side.time(benchmark)


@between(
    Job("target and host, path to be normalised"),
    waiting(PATHS["to be normalised"]).loop("uri"),
    {"urllib, posixpath": lambda: rival(PATHS["to be normalised"])},
)
def test_other(side: Side, benchmark: BenchmarkFixture) -> None:
    same_form()
    side.time(benchmark)
