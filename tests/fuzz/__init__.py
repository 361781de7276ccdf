"""Fuzz targets over the native core, run by `python -m tests.fuzz`; their seeds also run under pytest.

Each target is a function of bytes that asserts what its docstring says in one sentence. Here: names and seeds; nothing of
this imports the core, which in a fuzzing build needs a runtime that only the child process has.
"""

from pathlib import Path

NAMES = ("chunked", "exchange", "head", "token")
SEEDS = Path(__file__).parent / "seeds"


def seeds(name: str) -> list[Path]:
    """The target's seed files, each an input that once was worth keeping."""
    return sorted((SEEDS / name).iterdir())
