"""proxy-cache: where answers are kept: memory of all workers, files that outlive them, what becomes of broken and full ones."""

import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fastgw import _core
from tests.plugins.caching import HOUR, MEMORY, Saying, cached, fetch, status
from tests.support import wire
from tests.support.gateway import Gateway
from tests.support.waiting import until
from tests.support.wire import Address

DISK: dict[str, Any] = {"cache_strategy": "disk"}


@pytest.fixture
def upstream() -> Iterator[Saying]:
    with Saying() as server:
        yield server


def files(directory: Path) -> list[Path]:
    """What is kept in the zone's files."""
    zone = directory / "data" / "proxy-cache" / "disk_cache_one"
    return sorted(path for path in zone.glob("??/*") if path.suffix != ".new")


def workers_agree(gateway: Gateway, target: str, want: str) -> None:
    """Connections are spread by the kernel: so many that each of two workers has some."""
    seen = {status(fetch(gateway, target)) for _ in range(40)}
    assert seen == {want}


def test_workers_share_what_they_know_and_a_purge_reaches_them_all(directory: Path, upstream: Saying) -> None:
    with Gateway(directory, {**cached(upstream.address, plain=MEMORY), "workers": 3}) as gateway:
        first = fetch(gateway, "/plain/1", say=HOUR)
        workers_agree(gateway, "/plain/1", "HIT")
        assert upstream.answers == 1
        assert fetch(gateway, "/plain/1", method="PURGE").status == 200
        assert fetch(gateway, "/plain/1", method="PURGE").status == 404
        again = fetch(gateway, "/plain/1", say=HOUR)
        assert again.body != first.body
        workers_agree(gateway, "/plain/1", "HIT")
        gateway.kill_worker(gateway.workers()[0])
        workers_agree(gateway, "/plain/1", "HIT")
        assert upstream.answers == 2


def test_files_outlive_the_gateway(directory: Path, upstream: Saying) -> None:
    config = cached(upstream.address, disk=DISK)
    with Gateway(directory, config) as gateway:
        one = fetch(gateway, "/disk/1", "X-V: 1", say=f"{HOUR} | Vary: X-V | X-Own: a")
        fetch(gateway, "/disk/2", say=HOUR)
        long = fetch(gateway, "/disk/long", "X-Body: " + "x" * 20000, say=HOUR)
        until(lambda: len(files(directory)) == 6, "three answers, and what is known of three resources")
        for path in files(directory):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert b"/disk" not in path.read_bytes()[:64]
    with Gateway(directory, config) as gateway:
        again = fetch(gateway, "/disk/1", "X-V: 1")
        assert (status(again), again.body, again.header("X-Own")) == ("HIT", one.body, ["a"])
        assert status(fetch(gateway, "/disk/1", "X-V: 2", say="Cache-Control: no-store")) == "MISS"
        assert fetch(gateway, "/disk/long").body == long.body
        assert fetch(gateway, "/disk/2", method="PURGE").status == 200  # read from nowhere but the files
        assert status(fetch(gateway, "/disk/2", say="Cache-Control: no-store")) == "MISS"
    with Gateway(directory, config) as gateway:
        assert status(fetch(gateway, "/disk/2")) == "MISS"


def harmed(path: Path, content: bytes, other: bytes, harm: int) -> None:
    path.unlink()
    if harm == 0:
        path.write_bytes(content[:-1])
    elif harm == 1:
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif harm == 2:
        path.write_bytes(b"")
    elif harm == 3:
        path.write_bytes(other)
    elif harm == 4:
        path.with_suffix(".elsewhere").write_bytes(content)
        path.symlink_to(path.with_suffix(".elsewhere"))
    else:
        path.mkdir()


def test_a_broken_file_is_none(directory: Path, upstream: Saying) -> None:
    """Cut, changed, empty, another's, a link, a directory."""
    config = cached(upstream.address, disk=DISK)
    targets = [f"/disk/{number}" for number in range(6)]
    with Gateway(directory, config) as gateway:
        first = {target: fetch(gateway, target, say=HOUR).body for target in targets}
        until(lambda: len(files(directory)) == 12, "six answers are in files")
    every = [(path, path.read_bytes()) for path in files(directory)]
    for number, (path, content) in enumerate(every):
        harmed(path, content, every[number - 1][1], number % 6)
    with Gateway(directory, config) as gateway:
        for target in targets:
            again = fetch(gateway, target, say=HOUR)
            assert (again.status, status(again), again.body == first[target]) == (200, "MISS", False)
            assert status(fetch(gateway, target)) == "HIT"


def test_a_disk_that_keeps_nothing_harms_nobody(directory: Path, upstream: Saying) -> None:
    """Where directories cannot be made: root may write everywhere, but no file can be a directory."""
    with Gateway(directory, cached(upstream.address, disk=DISK)) as gateway:
        zone = directory / "data" / "proxy-cache" / "disk_cache_one"
        for number in range(256):
            (zone / f"{number:02x}").touch()
        first = fetch(gateway, "/disk/1", say=HOUR)
        again = fetch(gateway, "/disk/1")
        assert (status(first), status(again), again.body) == ("MISS", "HIT", first.body)  # out of memory
        until(lambda: "nothing is kept meanwhile" in gateway.log(), "a warning")
        assert fetch(gateway, "/disk/1", method="PURGE").status == 200


def test_files_take_no_more_room_than_they_may(directory: Path, upstream: Saying) -> None:
    zones = {"proxy_cache": {"zones": [{"name": "disk_cache_one", "memory_size": 2**20, "disk_size": 2**20}]}}
    with Gateway(directory, {**cached(upstream.address, disk=DISK), **zones}) as gateway:
        body = "x" * 25000
        for number in range(60):
            assert fetch(gateway, f"/disk/{number}", f"X-Body: {body}", say=HOUR).status == 200
            size = sum((path.stat().st_size + 4095) // 4096 * 4096 for path in files(directory) if path.exists())
            assert size <= 2**20
        until(lambda: len(files(directory)) > 20, "a thread has written what was fetched")
        assert fetch(gateway, "/disk/59", f"X-Body: {body}").status == 200


def test_an_answer_too_long_for_the_zone_passes(directory: Path, upstream: Saying) -> None:
    zones = {"proxy_cache": {"zones": [{"name": "small", "memory_size": 2**20}]}}
    conf = {"cache_strategy": "memory", "cache_zone": "small"}
    with Gateway(directory, {**cached(upstream.address, plain=conf), **zones, "limits": {"head_bytes": 2**20}}) as gateway:
        for want in ("MISS", "MISS"):
            answer = fetch(gateway, "/plain/long", "X-Body: " + "x" * 200_000, say=HOUR)
            assert (status(answer), len(answer.body)) == (want, 200_000)
        for number in range(50):  # round and round
            fetch(gateway, f"/plain/{number}", "X-Body: " + "x" * 50_000, say=HOUR)
            assert status(fetch(gateway, f"/plain/{number}")) == "HIT"
        assert status(fetch(gateway, "/plain/0", say=HOUR)) == "MISS"  # the oldest gave way


def test_a_long_hit_reaches_a_client_that_reads_slowly(directory: Path, upstream: Saying) -> None:
    body = "0123456789" * 30_000
    with Gateway(directory, {**cached(upstream.address, plain=MEMORY), "limits": {"head_bytes": 2**20}}) as gateway:
        fetch(gateway, "/plain/1", f"X-Body: {body}", say=HOUR)
        with closing(wire.connect(gateway.data)) as client:
            for _ in range(3):
                client.sendall(b"GET /plain/1 HTTP/1.1\r\nHost: test\r\n\r\n")
                answer = wire.read_response(client)
                assert (answer.body, answer.headers["apisix-cache-status"]) == (body.encode(), "HIT")


def test_counters(directory: Path, upstream: Saying) -> None:
    shared = {"shared_memory": {"path": str(directory / "shared")}}
    with Gateway(directory, {**cached(upstream.address, plain=MEMORY), **shared}) as gateway:
        for fields in ((), (), ("Range: bytes=0-0",)):
            fetch(gateway, "/plain/1", *fields, say=HOUR)
        found = _core.Region.attach(str(directory / "shared")).metrics()
    assert (found["cache_hits"], found["cache_misses"]) == (2, 1)


@pytest.mark.parametrize(
    ("zones", "fault"),
    [
        ([{"name": "a"}, {"name": "a"}], "proxy_cache.zones[1].name: the same name"),
        ([{"name": "a/b"}], "proxy_cache.zones[0].name"),
        ([{"name": "a", "memory_size": 1}], "proxy_cache.zones[0].memory_size"),
        ([{"name": "a", "disk_path": "/tmp/x"}], "proxy_cache.zones[0].disk_path"),
        ([], "proxy_cache.zones"),
        ([{"name": "other"}], "routes[0].plugins.proxy-cache.cache_zone: expected a zone of proxy_cache.zones"),
    ],
)
def test_faults_of_zones(directory: Path, zones: list[Any], fault: str) -> None:
    gateway = Gateway(directory, {**cached(Address("127.0.0.1", 1), plain=DISK), "proxy_cache": {"zones": zones}})
    command = [sys.executable, "-m", "fastgw", "check", str(gateway.config_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, fault in done.stderr) == (2, True), done.stderr


def test_a_directory_that_others_may_enter_is_refused(directory: Path) -> None:
    """And is left as it is: it may be anything."""
    place = directory / "open"
    place.mkdir()
    place.chmod(0o755)
    zones = {"proxy_cache": {"zones": [{"name": "a", "disk_size": 2**20, "disk_path": str(place)}]}}
    gateway = Gateway(directory, {"routes": [], **zones})
    command = [sys.executable, "-m", "fastgw", "run", str(gateway.config_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, "expected a directory of this user's with mode 0700" in done.stderr) == (2, True), done.stderr
    assert stat.S_IMODE(place.stat().st_mode) == 0o755


def test_the_admin_api_says_it_as_apisix_does(directory: Path, upstream: Saying) -> None:
    with Gateway(directory, cached(upstream.address, plain=MEMORY)) as gateway:
        for conf, text in (
            ({"cache_zone": "nothere"}, "cache_zone nothere not found"),
            ({"cache_strategy": "memory"}, "invalid or empty cache_zone for cache_strategy: memory"),
            ({"cache_key": ["$request_method"]}, "cache_key variable $request_method unsupported"),
        ):
            answer = gateway.api("PUT", "routes/x", {"uri": "/x", "plugins": {"proxy-cache": conf}})
            assert answer.status == 400
            assert text in answer.body.decode()
    assert not (directory / "data" / "proxy-cache").exists()  # no files, no directory
