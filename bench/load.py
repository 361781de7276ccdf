"""Closed-loop load by wrk: how it is called and what it answers.

Must not know the peers. Percentiles of a closed loop hide the requests that were not sent while the
server stalled; they compare peers at saturation, they are not what a user waits (docs/performance.md).
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from bench.process import BenchError, pinned
from bench.requests import packed

SCRIPT = Path(__file__).parent / "wrk" / "load.lua"
GRACE_SECONDS = 30


@dataclass(frozen=True)
class Load:
    """One wrk run: counts, the time it took, latency in microseconds."""

    requests: int
    duration_us: int
    bytes: int
    connect: int
    read: int
    write: int
    status: int
    timeout: int
    p50_us: float
    p99_us: float
    p999_us: float
    max_us: float

    @property
    def broken(self) -> int:
        """Connections refused, cut or timed out: any makes the run worthless."""
        return self.connect + self.read + self.write + self.timeout


def parse(output: str) -> Load:
    """The JSON line load.lua prints; wrk's own lines around it are passed over."""
    for line in reversed(output.splitlines()):
        if line.startswith("{"):
            found = json.loads(line)
            return Load(**{field.name: found[field.name] for field in fields(Load)})
    raise BenchError(f"wrk: no result line in its output: {output.strip()[-400:]}")


def run(
    port: int, requests: Sequence[bytes], *, seconds: float, connections: int, cores: Iterable[int], tls: bool = False
) -> Load:
    """wrk on one thread: a second one would compete with the upstream for the same core."""
    argv = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds:g}s",
        "-s",
        str(SCRIPT),
        f"{'https' if tls else 'http'}://127.0.0.1:{port}/",
    ]
    with tempfile.NamedTemporaryFile(prefix="fastgw-bench-") as file:
        file.write(packed(requests))
        file.flush()
        done = subprocess.run(
            pinned([*argv, "--", file.name], cores),
            capture_output=True,
            text=True,
            timeout=seconds + GRACE_SECONDS,
            check=False,
        )
    if done.returncode:
        raise BenchError(f"wrk: exited with {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return parse(done.stdout)
