"""Waiting for something to become true: bounded, and never by a blind sleep.

Owns: the one scale of all time limits. FASTGW_TEST_PATIENCE multiplies it, for slow machines and sanitizers.
"""

import os
import time
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

PATIENCE: Final = float(os.environ.get("FASTGW_TEST_PATIENCE", "1"))
POLL_SECONDS: Final = 0.01


def until(probe: Callable[[], T], what: str, seconds: float = 20.0) -> T:
    """The first true value of `probe`; a failure that says what never came true."""
    deadline = time.monotonic() + seconds * PATIENCE
    while not (value := probe()):
        assert time.monotonic() < deadline, f"{what}: not so within {seconds * PATIENCE:g} s"
        time.sleep(POLL_SECONDS)
    return value
