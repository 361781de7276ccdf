"""What a figure depends on: processor, kernel, program versions, the commit measured.

Names no host, user or path: results are published.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent


def first_line(argv: Sequence[str]) -> str:
    """First line a command prints on either stream, or "" if it cannot run."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)
    except OSError:
        return ""
    text = (done.stdout or done.stderr).strip()
    return text.splitlines()[0] if text else ""


def number_in(text: str) -> str:
    """The first dotted version number of a text."""
    found = re.search(r"\d+(\.\d+)+", text)
    return found.group() if found else "unknown"


def cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def setting(path: str) -> str:
    """A kernel setting, or "unknown" where /proc does not show it."""
    try:
        return Path("/proc/sys", path).read_text().strip()
    except OSError:
        return "unknown"


def describe() -> dict[str, str]:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    virtual = "hypervisor" in Path("/proc/cpuinfo").read_text()
    return {
        "cpu": processor(),
        "cores": str(len(cores())),
        "memory": f"{pages / 2**30:.0f} GiB",
        "kernel": platform.release(),
        "tcp congestion control": setting("net/ipv4/tcp_congestion_control"),
        "machine": platform.machine() + (", virtual" if virtual else ""),
        "python": platform.python_version(),
    }


def _git(*arguments: str) -> str:
    return first_line(["git", "-C", str(ROOT), *arguments])


def commit() -> str:
    """Short commit of the tree, with `-dirty` when what runs is not what is committed."""
    found = _git("rev-parse", "--short=12", "HEAD")
    if not re.fullmatch(r"[0-9a-f]{7,40}", found):
        return "uncommitted"
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", "fastgw", "bench", "setup.py")
    return found + ("-dirty" if changed else "")
