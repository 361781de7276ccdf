"""Runs fuzz targets: `python -m tests.fuzz --seconds 600 [target ...]`.

Guided by coverage where there is clang and a Python that can be embedded: libFuzzer over the core under AddressSanitizer and
UndefinedBehaviorSanitizer, both of which it builds first (build.py). Else, or with --plain, by mutation of the seeds, on
whatever build is installed. What was found useful is kept under build/fuzz/<target>, what fails under build/fuzz/<target>-*.
`--merge` adds to a target's seeds what of the former reaches code that they do not.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz import NAMES, SEEDS, build, mutate, seeds

BATCH = 200  # mutations between two looks at the clock
MOST_FILES, MOST_BYTES = 400, 400_000  # of a target's seeds


def driver(name: str, *options: str) -> int:
    """libFuzzer with one target."""
    made = build.build()
    environment = {
        **os.environ,
        "PYTHONPATH": str(build.ROOT),
        "FASTGW_FUZZ_CORE": str(made.core),
        "FASTGW_FUZZ_PYTHON": sys.executable,
        "FASTGW_FUZZ_TARGET": name,
        # Leaks: the interpreter keeps memory at its end, and targets count the core's blocks. Short stacks of blocks are quick.
        "ASAN_OPTIONS": "detect_leaks=0:malloc_context_size=6:quarantine_size_mb=64",
    }
    return subprocess.run([made.driver, *options], env=environment, cwd=build.ROOT).returncode


def run_guided(name: str, seconds: int) -> int:
    kept, words = build.WORK / name, build.WORK / "words"
    kept.mkdir(parents=True, exist_ok=True)
    words.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in mutate.TOKENS))
    options = [f"-max_total_time={seconds}", "-max_len=16384", "-timeout=20", "-rss_limit_mb=4096", "-print_final_stats=1"]
    corpus = [kept, SEEDS / name]
    if name == "exchange":
        from tests.fuzz import from_wire

        corpus.append(build.WORK / "wire")
        from_wire.write(corpus[-1])
    return driver(name, *options, f"-dict={words}", f"-artifact_prefix={build.WORK}/{name}-", *map(str, corpus))


def merge(name: str) -> int:
    """Edges of code are what counts, not how often they are passed, or the seeds would be thousands."""
    with tempfile.TemporaryDirectory() as at:
        code = driver(name, "-merge=1", "-use_counters=0", at, str(SEEDS / name), str(build.WORK / name))
        known = {path.read_bytes() for path in seeds(name)}
        found = sorted((data for path in Path(at).iterdir() if (data := path.read_bytes()) not in known), key=len)
    size, added = sum(map(len, known)), 0
    for data in found:
        size += len(data)
        if len(known) + added == MOST_FILES or size > MOST_BYTES:
            break
        (SEEDS / name / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
        added += 1
    print(f"{name}: {added} of {len(found)} inputs added to {len(known)} seeds")
    return code


def run_plain(name: str, seconds: int) -> int:
    """One target by mutation of its seeds."""
    from tests.fuzz.targets import REWRITES, TARGETS

    corpus = [path.read_bytes() for path in seeds(name)]
    number, end, done = random.randrange(1 << 32), time.monotonic() + seconds, 0
    chance = random.Random(number)
    while time.monotonic() < end:
        for data in mutate.mutations(corpus, chance, BATCH, REWRITES.get(name)):
            last = data
            try:
                TARGETS[name](data)
            except BaseException:
                build.WORK.mkdir(parents=True, exist_ok=True)
                path = build.WORK / f"{name}-crash-{hashlib.sha256(last).hexdigest()[:16]}"
                path.write_bytes(last)
                print(f"{name}: fails on {path}", file=sys.stderr)
                raise
        done += BATCH
    print(f"{name}: {done} runs in {seconds} s, seed {number}, nothing found")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Run fuzz targets.")
    parser.add_argument("target", nargs="*", help="of " + ", ".join(NAMES))
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--plain", action="store_true", help="by mutation alone")
    parser.add_argument("--merge", action="store_true", help="add to the seeds what guided runs found")
    options = parser.parse_args()
    unknown = set(options.target) - set(NAMES)
    if unknown:
        parser.error(f"target: expected one of {', '.join(NAMES)}, found {', '.join(sorted(unknown))}")
    guided = build.possible() and not options.plain
    if options.merge and not guided:
        parser.error("--merge: expected clang and a Python with a shared library, found none")
    worst = 0
    for name in options.target or NAMES:
        if options.merge:
            worst = max(worst, abs(merge(name)))
            continue
        print(f"{name}: {'guided by coverage' if guided else 'plain mutation'}, {options.seconds} s", flush=True)
        worst = max(worst, abs(run_guided(name, options.seconds) if guided else run_plain(name, options.seconds)))
    return worst


if __name__ == "__main__":
    sys.exit(main())
