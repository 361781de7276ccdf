"""What the nginx peers and the origin share: how nginx is run in the foreground from a folder of ours."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from bench.machine import first_line, number_in
from bench.peers.base import Job

WORKER_TITLE = "nginx: worker"


def version() -> str:
    return number_in(first_line(["nginx", "-v"]))


def modules_path() -> Path | None:
    """Where this nginx looks for dynamic modules, or None if it was built without any."""
    try:
        done = subprocess.run(["nginx", "-V"], capture_output=True, text=True, check=False)
    except OSError:
        return None
    found = re.search(r"--modules-path=(\S+)", done.stderr)
    return Path(found.group(1)) if found else None


def command(config: Path) -> list[str]:
    return ["nginx", "-p", str(config.parent), "-c", str(config), "-e", "stderr"]


def connections(job: Job) -> int:
    """Room for the busy ones on both sides, and for the idle."""
    return 10_000 + job.idle
