"""accesslog: one JSON line into a buffer that is written in batches, against json and msgspec on a dict."""

import io
import json
import re
from datetime import datetime, timezone

import msgspec
from pytest_benchmark.fixture import BenchmarkFixture

from bench import workload
from bench.micro.duel import Job, Side, between
from bench.micro.waiting import Waiting, logged

SCENARIO = workload.SCENARIOS["jwt-limit"]
REQUEST = SCENARIO.request.replace(b"\r\n\r\n", b"\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n\r\n")
OUT = io.BytesIO()


def entry() -> dict[str, object]:
    """As the room writes it for a request that waits for its upstream."""
    now = datetime.now(timezone.utc)
    return {
        "time": now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03d}Z",
        "remote_addr": "192.0.2.1",
        "status": 200,
        "method": "GET",
        "host": "127.0.0.1",
        "uri": "/bench",
        "request_ms": 0.0,
        "bytes_in": 0,
        "bytes_out": 100,
        "route": "bench",
        "consumer": "bench",
        "credential": "bench-jwt",
        "upstream": "127.0.0.1:1980",
        "upstream_status": 200,
        "upstream_ms": 0.0,
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64)",
    }


def by_json() -> None:
    OUT.seek(0)
    OUT.write(json.dumps(entry(), separators=(",", ":")).encode() + b"\n")


def by_msgspec() -> None:
    OUT.seek(0)
    OUT.write(msgspec.json.encode(entry()) + b"\n")


def same_line() -> None:
    """But for the time of day, and for how many zeros a number ends with."""
    ours = json.loads(logged(SCENARIO.snapshot(), REQUEST))
    theirs = entry()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", ours["time"])
    assert list(ours) == list(theirs)
    assert {**ours, "time": ""} == {**theirs, "time": ""}


@between(
    Job("access log line"),
    Waiting(SCENARIO.snapshot(), REQUEST).loop("accesslog"),
    {"json": by_json, "msgspec": by_msgspec},
)
def test_line(side: Side, benchmark: BenchmarkFixture) -> None:
    same_line()
    side.time(benchmark)
