"""Inside the driver (driver.c): the target it asks for, over the instrumented core.

Owns: how a target is found there. Must not be imported anywhere else: that core needs the driver's runtimes.
"""

from __future__ import annotations

import importlib.util
import os
import random
import sys
from collections.abc import Callable
from typing import Any

Rewrite = Callable[[bytes, int, int], bytes]


def target() -> tuple[Callable[[bytes], None], Rewrite | None]:
    """The function that checks an input, and the one that makes a new input of an old one, if bytes are more than bytes to it."""
    _load(os.environ["FASTGW_FUZZ_CORE"])
    from tests.fuzz.targets import REWRITES, TARGETS

    name = os.environ["FASTGW_FUZZ_TARGET"]
    rewrite = REWRITES.get(name)
    if rewrite is None:
        return TARGETS[name], None
    import _libfuzzer  # type: ignore[import-not-found]

    chance = random.Random()

    def again(data: bytes, most: int, seed: int) -> bytes:
        chance.seed(seed)
        return rewrite(data, most, chance, _libfuzzer.mutate)

    return TARGETS[name], again


def _load(path: str) -> None:
    import fastgw

    spec = importlib.util.spec_from_file_location("fastgw._core", path)
    assert spec is not None
    assert spec.loader is not None
    core: Any = importlib.util.module_from_spec(spec)
    sys.modules["fastgw._core"] = core
    spec.loader.exec_module(core)
    fastgw._core = core  # type: ignore[attr-defined]
