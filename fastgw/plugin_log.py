"""What Python plugins raise, in the error log: in full at first, then no more often than anybody can read.

Owns: the words, and how many. Must not know what becomes of the request. A plugin that fails with every request would else spend
more on telling so than all other requests cost together; how often it failed the metrics say exactly.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

from fastgw._core import PluginTimeout

__all__ = ["PluginLog"]

AT_ONCE: Final = 10
"""Of one plugin in one phase, before there is at most one a second."""

log = logging.getLogger("fastgw.plugin")


class PluginLog:
    """Told of each error by the reactor."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._told: dict[tuple[str, str], _Told] = {}

    def failed(self, plugin: str, phase: str, error: BaseException) -> None:
        """error: what it raised, or was cut off by."""
        told = self._told.setdefault((plugin, phase), _Told(self._now()))
        if not told.due(self._now()):
            return
        more = f" ({told.unsaid} more since the last one)" if told.unsaid else ""
        told.unsaid = 0
        if isinstance(error, PluginTimeout):
            log.error("plugin %s was cut off in phase %s: %s%s", plugin, phase, error, more, exc_info=error)
        else:
            log.error("plugin %s failed in phase %s%s", plugin, phase, more, exc_info=error)


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
