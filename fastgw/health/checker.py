"""When which address is probed, and what is said of those whose state changes.

Owns: the probes under way of one object, their rhythm and how many run at once. Must not know where objects come from, how
addresses are found. The state itself lies in the shared table, so it is that of all who report; a checker only reads it.
"""

import asyncio
import logging
import random
from collections.abc import Collection
from typing import Final

from fastgw._core import Health, NodeHealth
from fastgw.health.probe import HTTP_FAILURE, SUCCESS, TCP_FAILURE, TIMEOUT, Trust, probe
from fastgw.health.targets import Target
from fastgw.schema.checks import ActiveCheck

__all__ = ["Checker"]

LONGEST_S: Final = 86400.0 * 365  # what event loops can wait for
SPREAD_S: Final = 1.0  # over which the first probes of new addresses are spread, where their interval is not shorter

log = logging.getLogger("fastgw.health")


class Checker:
    """Checks the nodes of one object, "upstreams/1"."""

    def __init__(self, owner: str, health: Health, trust: Trust) -> None:
        self._owner = owner
        self._health = health
        self._trust = trust
        self._active: ActiveCheck | None = None
        self._tasks: dict[Target, asyncio.Task[None]] = {}
        self._places = asyncio.Semaphore(1)
        self._limits: dict[str, int] = {}
        self._well: dict[int, bool] = {}
        """What was last said of each."""

    @property
    def targets(self) -> tuple[Target, ...]:
        return tuple(self._tasks)

    def use(self, active: ActiveCheck, targets: Collection[Target]) -> None:
        """From now on these are checked, in this way. Those that were keep their rhythm, and their state in any case."""
        if active != self._active:
            self.stop()
            self._active = active
            self._places = asyncio.Semaphore(active.concurrency)
            bad = active.unhealthy
            self._limits = {
                SUCCESS: active.healthy.successes,
                HTTP_FAILURE: bad.http_failures,
                TCP_FAILURE: bad.tcp_failures,
                TIMEOUT: bad.timeouts,
            }
        for gone in self._tasks.keys() - set(targets):
            self._tasks.pop(gone).cancel()
        for target in targets:
            if target not in self._tasks:
                self._tasks[target] = asyncio.create_task(self._keep(target, active))
        known = {target.who for target in self._tasks}
        self._well = {who: well for who, well in self._well.items() if who in known}

    def stop(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()

    async def _keep(self, target: Target, active: ActiveCheck) -> None:
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(random.random() * min(SPREAD_S, self._interval(target, active)))  # noqa: S311 (no secret)
        while True:
            began = clock()
            async with self._places:
                shown = await probe(target, active, self._trust)
            if shown is not None:
                self._tell(target, self._health.report(target.who, shown, self._limits[shown]), shown)
            await asyncio.sleep(max(0.0, began + self._interval(target, active) - clock()))

    def _interval(self, target: Target, active: ActiveCheck) -> float:
        stands = self._health.look(target.who)
        self._tell(target, stands, "requests")
        well = stands is None or stands.well
        return min(active.healthy.interval if well else active.unhealthy.interval, LONGEST_S)

    def _tell(self, target: Target, stands: NodeHealth | None, why: str) -> None:
        """Once per change, whoever made it; nothing of what was so before this process began."""
        if stands is None or self._well.setdefault(target.who, stands.well) == stands.well:
            return
        self._well[target.who] = stands.well
        level, word = (logging.INFO, "healthy") if stands.well else (logging.WARNING, "unhealthy")
        address = target.ip if target.path else f"{target.ip}:{target.port}"
        log.log(level, "%s: node %s is %s", self._owner, target.node, word, extra={"address": address, "by": why})
