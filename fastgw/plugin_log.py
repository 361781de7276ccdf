"""What Python plugins raise, in the error log: each fault in full at first, then in a line, no more often than anybody can read.

Owns: the words, and how many. Must not know what becomes of the request. A plugin that fails with every request would else spend
more on telling so than all other requests cost together, and hold them up while it does: a traceback takes a millisecond to be
written. How often it failed the metrics say exactly.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

from fastgw._core import PluginTimeout

__all__ = ["PluginLog"]

AT_ONCE: Final = 10
"""Of one plugin in one phase, before there is at most one line a second."""
FULL_S: Final = 60.0
"""The traceback of a fault is written no more often than this."""
PLACES: Final = 64
"""Faults that are told apart, by what was raised and where. With more than these the oldest is forgotten."""

log = logging.getLogger("fastgw.plugin")


class PluginLog:
    """Told of each error by the reactor."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._told: dict[tuple[str, str], _Told] = {}
        self._full: dict[tuple[str, str, type[BaseException], str], float] = {}

    def failed(self, plugin: str, phase: str, error: BaseException) -> None:
        """error: what it raised, or was cut off by."""
        now = self._now()
        told = self._told.setdefault((plugin, phase), _Told(now))
        if not told.due(now):
            return
        more = f" ({told.unsaid} more since the last one)" if told.unsaid else ""
        told.unsaid = 0
        # One that is cut off is wherever the clock met it.
        place = "" if isinstance(error, PluginTimeout) else _place(error)
        full = self._first((plugin, phase, type(error), place), now)
        if isinstance(error, PluginTimeout):
            log.error("plugin %s was cut off in phase %s: %s%s", plugin, phase, error, more, exc_info=error if full else None)
        elif full:
            log.error("plugin %s failed in phase %s%s", plugin, phase, more, exc_info=error)
        else:
            log.error("plugin %s failed in phase %s as before: %s at %s%s", plugin, phase, _words(error), place, more)

    def _first(self, fault: tuple[str, str, type[BaseException], str], now: float) -> bool:
        """Whether its traceback is due."""
        last = self._full.get(fault)
        if last is not None and now - last < FULL_S:
            return False
        self._full.pop(fault, None)  # the order is that of the last time
        if len(self._full) >= PLACES:
            del self._full[next(iter(self._full))]
        self._full[fault] = now
        return True


class _Told:
    """A bucket of lines."""

    def __init__(self, now: float) -> None:
        self.unsaid = 0
        self._left = float(AT_ONCE)
        self._at = now

    def due(self, now: float) -> bool:
        self._left = min(float(AT_ONCE), self._left + now - self._at)
        self._at = now
        if self._left < 1:
            self.unsaid += 1
            return False
        self._left -= 1
        return True


def _place(error: BaseException) -> str:
    """The line that raised it, as far as it is known."""
    trace = error.__traceback__
    if trace is None:
        return "an unknown line"
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"


def _words(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # its own __str__ may raise
        return type(error).__name__
