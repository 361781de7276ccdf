"""Open-loop load: requests at a constant rate, latency from the moment each was due.

What it means and how it is kept honest stands at the head of openloop.c; here the program is compiled,
called and its answer read. Must not know the peers.
"""

from __future__ import annotations

import hashlib
import json
import struct
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.compiled import compile_program
from bench.machine import ROOT
from bench.process import BenchError, pinned

SOURCE = Path(__file__).with_name("openloop.c")
SOURCES = (SOURCE, SOURCE.with_name("answer.h"), SOURCE.with_name("histogram.h"))
BUILD = ROOT / "build" / "bench"
DRAIN_SECONDS = 10.0  # for the last answers; what waits longer is lost
GRACE_SECONDS = 20  # beyond both, before the program is killed; it gives itself 5 s to connect


@dataclass(frozen=True)
class OpenLoad:
    """One run: what was asked for, counts, latency and the generator's lateness in microseconds.

    `sent` falls short of rate x seconds when requests still waited for a free connection as the run ended;
    `unexpected` are answers of another status. `p…` include the waiting of those without an answer.
    """

    rate: float
    seconds: float
    connections: int
    sent: int
    answered: int
    errors: int
    unexpected: int
    p50_us: float
    p90_us: float
    p99_us: float
    p999_us: float
    max_us: float
    late_p50_us: float
    late_p99_us: float
    late_p999_us: float
    late_max_us: float
    waits: Sequence[tuple[float, int]] = ()
    """Where all were asked for: latencies and how many, from the least."""


def build(folder: Path) -> Path:
    """The program in `folder`, compiled unless these sources have been already."""
    source = b"".join(path.read_bytes() for path in SOURCES)
    found = folder / f"openloop-{hashlib.sha256(source).hexdigest()[:16]}"
    return found if found.exists() else compile_program(SOURCES[0], found)


def run(
    port: int,
    requests: Sequence[bytes],
    *,
    rate: float,
    seconds: float,
    connections: int,
    cores: Iterable[int],
    status: int = 200,
    kind: str = "",
) -> OpenLoad:
    """`rate` requests a second to 127.0.0.1:`port` for `seconds`, the `requests` in rotation.

    kind: "quiet", it is not the one that is measured, and leaves its core alone until a request is due; "all", with `waits`.
    """
    program = build(BUILD)
    with tempfile.NamedTemporaryFile(prefix="fastgw-bench-") as file:
        for request in requests:
            file.write(struct.pack("=I", len(request)) + request)
        file.flush()
        asked = (port, file.name, rate, seconds, connections, status, DRAIN_SECONDS, *([kind] if kind else []))
        try:
            done = subprocess.run(
                pinned([str(program), *map(str, asked)], cores),
                capture_output=True,
                text=True,
                timeout=seconds + DRAIN_SECONDS + GRACE_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise BenchError(f"openloop: still running {GRACE_SECONDS} s after its time") from error
    if done.returncode:
        raise BenchError(f"openloop: exited with {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return OpenLoad(rate=rate, seconds=seconds, connections=connections, **json.loads(done.stdout))
