"""C programs of the bench, compiled where they run. Must not know what they do."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from bench.process import BenchError

__all__ = ["compile_program"]

COMPILE = ("cc", "-O2", "-Wall", "-Wextra", "-Werror")


def compile_program(source: Path, program: Path) -> Path:
    """The program at `program`, there whole or not at all: another run may be starting it."""
    program.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=program.parent) as beside:
        made = Path(beside, program.name)
        try:
            done = subprocess.run([*COMPILE, "-o", str(made), str(source)], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise BenchError(f"{source.stem}: no C compiler: cc is not in PATH") from None
        if done.returncode:
            raise BenchError(f"{source.stem}: does not compile: {done.stderr.strip()}")
        os.replace(made, program)
    return program
