"""The fuzz targets on their seeds and on a few thousand mutations of them, the same ones every time."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.fuzz import SEEDS, seeds
from tests.fuzz.mutate import mutations
from tests.fuzz.targets import REWRITES, TARGETS

ROUNDS = 1500


@pytest.mark.parametrize("path", [p for name in TARGETS for p in seeds(name)], ids=lambda p: str(p.relative_to(SEEDS)))
def test_seed(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_mutations(name: str) -> None:
    corpus = [path.read_bytes() for path in seeds(name)]
    last = b""
    try:
        for last in mutations(corpus, random.Random(1), ROUNDS, REWRITES.get(name)):
            TARGETS[name](last)
    except BaseException:
        print(f"input: {last!r}")
        raise
