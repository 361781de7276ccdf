"""The micro benches run, and both sides of each do the same; how long they take is not asked here."""

import subprocess
import sys

from tests.support.processes import ROOT


def test_every_micro_bench_proves_its_answers() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--benchmark-disable", "bench/micro"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert " passed" in done.stdout
