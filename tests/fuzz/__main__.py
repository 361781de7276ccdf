"""Runs fuzz targets: `python -m tests.fuzz --seconds 600 [target ...]`.

Guided by coverage where atheris is installed and the extension was built for it by clang:

    FASTGW_BUILD=debug CC=clang LDSHARED="clang -shared" CFLAGS="-O1 -g -fsanitize=address,fuzzer-no-link" \\
        python setup.py build_ext --inplace --force

Else by plain mutation of the seeds, on whatever build there is; for the sanitizer build preload libasan (docs/native.md).
What was found useful is kept under build/fuzz/<target>; an input that fails is written to build/fuzz/<target>-crash-*.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from tests.fuzz import NAMES, SEEDS, seeds
from tests.fuzz.mutate import mutations

WORK = Path("build/fuzz")
BATCH = 200  # mutations between two looks at the clock


def guided() -> Path | None:
    """The runtime to preload if this installation can be guided by coverage."""
    atheris, core = importlib.util.find_spec("atheris"), importlib.util.find_spec("fastgw._core")
    if atheris is None or core is None or b"__sanitizer_cov_8bit_counters_init" not in Path(str(core.origin)).read_bytes():
        return None
    return Path(str(atheris.origin)).parents[1] / "asan_with_fuzzer.so"


def run_guided(name: str, runtime: Path, seconds: int) -> int:
    """One target under libFuzzer, in a process that has its runtime preloaded."""
    kept = WORK / name
    kept.mkdir(parents=True, exist_ok=True)
    code = (
        "import sys, atheris\nfrom tests.fuzz.targets import TARGETS\n"
        "atheris.Setup(sys.argv, TARGETS[sys.argv[0]]); atheris.Fuzz()"
    )
    # argv[0] is -c to Python: libFuzzer never looks at it, so it carries the target's name.
    options = [f"-max_total_time={seconds}", "-max_len=16384", "-timeout=20", "-rss_limit_mb=4096", "-print_final_stats=1"]
    options += [f"-artifact_prefix={WORK}/{name}-", str(kept), str(SEEDS / name)]
    environment = {**os.environ, "LD_PRELOAD": str(runtime), "ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc"}
    command = [sys.executable, "-c", f"import sys; sys.argv[0] = {name!r}\n{code}", *options]
    return subprocess.run(command, env=environment).returncode


def run_plain(name: str, seconds: int) -> int:
    """One target by mutation of its seeds."""
    from tests.fuzz.targets import TARGETS

    corpus = [path.read_bytes() for path in seeds(name)]
    number, end, done = random.randrange(1 << 32), time.monotonic() + seconds, 0
    chance = random.Random(number)
    while time.monotonic() < end:
        for data in mutations(corpus, chance, BATCH):
            last = data
            try:
                TARGETS[name](data)
            except BaseException:
                WORK.mkdir(parents=True, exist_ok=True)
                path = WORK / f"{name}-crash-{hashlib.sha256(last).hexdigest()[:16]}"
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
    options = parser.parse_args()
    unknown = set(options.target) - set(NAMES)
    if unknown:
        parser.error(f"target: expected one of {', '.join(NAMES)}, found {', '.join(sorted(unknown))}")
    runtime = guided()
    worst = 0
    for name in options.target or NAMES:
        print(f"{name}: {'guided by coverage' if runtime else 'plain mutation'}, {options.seconds} s", flush=True)
        worst = max(worst, abs(run_guided(name, runtime, options.seconds) if runtime else run_plain(name, options.seconds)))
    return worst


if __name__ == "__main__":
    sys.exit(main())
