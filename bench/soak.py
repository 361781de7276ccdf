"""Millions of requests through one gateway, and what its processes hold meanwhile: `python -m bench.soak --requests 50000000`.

Owns: the stretches of load, the samples between them, the verdict. Authenticated requests, refusals of each kind and misses take
turns; each stretch opens its connections anew, and after some of them an object is written, so that what the gateway has for
those is used as well. Must not know how a gateway is configured (bench/peers).

Judged is the median of the last quarter of the samples against that of the second: by the first, a gateway has grown to its size.
The verdict is bad (exit code 1) where any process holds more than 2 % more resident memory, one descriptor more (connections that
are kept towards the upstream apart), or was replaced.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import load, machine
from bench.origin import Origin
from bench.peers.base import GATEWAY, Job, Place
from bench.peers.fastgw.peer import Fastgw
from bench.process import BenchError, Program, free_port, resident_of
from bench.requests import raw
from bench.tokens import LIMITED, ORDINARY, expired, good, tampered

MOST_GROWTH = 0.02
LEAST_SAMPLES = 16  # four to a quarter
QUIET_S = 1.5  # after a stretch: idle connections of the load are gone, logs are written
STRETCH_S = 20.0
WRITE_EVERY = 2  # stretches
KIB = 1024


@dataclass(frozen=True)
class Sample:
    """All processes at one moment, by their titles and pids."""

    requests: int
    seconds: float
    resident: dict[str, int]
    files: dict[str, int]


def titled(pids: Iterator[int] | Sequence[int]) -> dict[str, int]:
    """Pids of the gateway's processes, by what `ps` shows and the pid: one that was replaced is another."""
    found = {}
    for pid in pids:
        try:
            title = Path(f"/proc/{pid}/cmdline").read_bytes().strip(b"\0").decode(errors="replace")
        except OSError:
            continue
        if title.startswith("fastgw: "):
            found[f"{title.removeprefix('fastgw: ')} ({pid})"] = pid
    return found


def pooled(upstream: int) -> set[str]:
    """Connections kept towards the upstream, as links of descriptors have them: how many there are is the load's doing."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {f"socket:[{row[9]}]" for row in rows if int(row[2].partition(":")[2], 16) == upstream}


def files_of(pid: int, apart: set[str]) -> int:
    found = 0
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            found += os.readlink(each) not in apart
    return found


def sample(program: Program, requests: int, began: float, upstream: int) -> Sample:
    pids, kept = titled(sorted(program.pids())), pooled(upstream)
    return Sample(
        requests,
        time.monotonic() - began,
        {name: resident_of(pid) for name, pid in pids.items()},
        {name: files_of(pid, kept) for name, pid in pids.items()},
    )


def mixed(path: str) -> list[bytes]:
    """Mostly what is let through; the rest is refused in each of the ways that a gateway has for it."""
    kept = [raw(path, good(ORDINARY), True, b"")] * 11
    refused = [
        raw(path, tampered(ORDINARY), True, b""),
        raw(path, expired(ORDINARY), True, b""),
        raw(path, None, True, b""),
        raw(path, good(LIMITED), True, b""),
        raw("/no/such/route", good(ORDINARY), True, b""),
    ]
    return [*kept[:4], *refused[:3], *kept[4:], *refused[3:]]


def write(place: Place, peer: Fastgw, job: Job, turn: int) -> None:
    """One object by the Admin API, which all workers follow."""
    changes = peer.changes(place, job)
    target, body = changes.request(turn)
    connection = http.client.HTTPConnection("127.0.0.1", changes.port, timeout=30)
    connection.request("PUT", target, body, dict(changes.headers))
    status = connection.getresponse().status
    connection.close()
    if status not in (200, 201):
        raise BenchError(f"PUT {target}: {status}")


def line(now: Sample, found: load.Load) -> str:
    rate = found.requests / found.duration_us * 1e6
    size = sum(now.resident.values()) / KIB / KIB
    return f"{now.requests:>12,} requests {now.seconds:8.0f} s {rate:7.0f}/s {size:8.1f} MiB {sum(now.files.values())} files"


def growth(samples: Sequence[Sample], name: str, what: str) -> tuple[float, float]:
    """The medians of the second quarter and of the last one."""
    quarter = len(samples) // 4
    values = [getattr(each, what).get(name, 0) for each in samples]
    return statistics.median(values[quarter : 2 * quarter]), statistics.median(values[-quarter:])


def verdict(samples: Sequence[Sample]) -> tuple[list[str], list[str]]:
    """The lines to show, and what is wrong."""
    lines, wrong = [], []
    names = sorted({name for each in samples for name in each.resident})
    for name in names:
        if any(name not in each.resident for each in samples):
            wrong.append(f"{name}: was not there all the time")
            continue
        before, after = growth(samples, name, "resident")
        files_before, files_after = growth(samples, name, "files")
        grown = after / before - 1
        lines.append(
            f"{name:24} {before / KIB:9.0f} KiB {after / KIB:9.0f} KiB {grown:+8.2%}   files {files_before:g} -> {files_after:g}"
        )
        if grown > MOST_GROWTH:
            wrong.append(f"{name}: {grown:+.2%} of resident memory")
        if files_after > files_before:
            wrong.append(f"{name}: {files_after - files_before:g} more descriptors")
    return lines, wrong


def run(requests: int, connections: int, workers: int, stretch: float) -> tuple[list[Sample], int]:
    """Samples, and how many requests wrk counted as broken."""
    cores = machine.cores()
    job, peer = Job(GATEWAY), Fastgw()
    samples: list[Sample] = []
    done = broken = 0
    with tempfile.TemporaryDirectory(prefix="fastgw-soak-") as name:
        folder = Path(name)
        with Origin(folder / "origin", cores, job) as origin:
            place = Place(folder / "gateway", free_port(), free_port(), origin.port, workers)
            place.folder.mkdir()
            fastgw = Program("fastgw", peer.prepare(place, job), cores, place.folder)
            with fastgw as program, suppress(KeyboardInterrupt):  # which ends the load, not the verdict
                program.wait_listening(place.port)
                asked, began, turn = mixed(job.path), time.monotonic(), 0
                while done < requests or len(samples) < LEAST_SAMPLES:
                    found = load.run(place.port, asked, seconds=stretch, connections=connections, cores=cores)
                    done, broken, turn = done + found.requests, broken + found.broken, turn + 1
                    for file in peer.growing_files(place):
                        os.truncate(file, 0)
                    if turn % WRITE_EVERY == 0:
                        write(place, peer, job, turn)
                    time.sleep(QUIET_S)
                    samples.append(sample(program, done, began, origin.port))
                    print(line(samples[-1], found), flush=True)
    return samples, broken


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=2_000_000)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--stretch", type=float, default=STRETCH_S, help="seconds of load between two samples")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples here")
    options = parser.parse_args(arguments)
    try:
        samples, broken = run(options.requests, options.connections, options.workers, options.stretch)
    except BenchError as exc:
        print(exc, file=sys.stderr)
        return 1
    if options.json:
        options.json.write_text(
            json.dumps({"machine": machine.describe(), "samples": [asdict(each) for each in samples]}, indent=1)
        )
    if len(samples) < LEAST_SAMPLES:
        print(f"{len(samples)} samples: {LEAST_SAMPLES} are needed for a verdict", file=sys.stderr)
        return 1
    lines, wrong = verdict(samples)
    last = samples[-1]
    print(
        f"{last.requests:,} requests in {last.seconds:.0f} s ({last.requests / last.seconds:.0f}/s with pauses), {broken} broken"
    )
    print(*lines, sep="\n")
    print(*(wrong or [f"flat: no process has grown by more than {MOST_GROWTH:.0%}, and none has more descriptors"]), sep="\n")
    return 1 if wrong or broken else 0


if __name__ == "__main__":
    sys.exit(main())
