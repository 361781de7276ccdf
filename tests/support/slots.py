"""Process slots for the length of a test. Owns: their descriptors, which a master has for its life. Must not know their use."""

import contextlib
import os
from collections.abc import Iterator

from fastgw._core import Region
from fastgw.slots import Slots

__all__ = ["slots_of"]


@contextlib.contextmanager
def slots_of(region: Region) -> Iterator[Slots]:
    """Closed behind it: else each would leave hundreds of descriptors."""
    made = Slots(region)
    try:
        yield made
    finally:
        for fd in (*made.wakes, made.ack, made.ready, *made.asks):
            os.close(fd)
