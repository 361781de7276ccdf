"""The program that shows what a bad plugin costs others runs, and names what it did."""

import re
import subprocess
import sys

from tests.support.processes import ROOT


def test_one_round_of_each() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.harm", "--rounds", "1", "--seconds", "0.5"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"(?m)^(\w+) +p50 .* ratio +[\d.]+$", done.stdout)
    assert rows == ["behaves", "raises", "nonsense", "sleeps", "leaks", "blocks"]
    assert "plugin harm was cut off in phase access" in done.stdout
