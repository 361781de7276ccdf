"""Every configuration that counts, as the steps that it is in a worker: to be asked what is counted for a key.

Owns: which configurations those are, kept up with the store. Must not know: how anything is counted, HTTP. They are made by the
plugin itself (plugins/contract.py, `counting`), so that an identity is made in one place.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

from fastgw import _core
from fastgw.compile import FAILURES
from fastgw.plugins import order
from fastgw.plugins.check import disabled
from fastgw.plugins.contract import Plugin
from fastgw.plugins.redis_fields import RedisSettings
from fastgw.schema.env import resolve_object
from fastgw.schema.upstream import Upstream
from fastgw.store import Change, Feed, Store

__all__ = ["ALGORITHMS", "COUNTING", "LOCAL", "Counted", "Counting"]

ALGORITHMS: Final = ("fixed", "sliding", "token-bucket", "leaky-bucket", "concurrent")  # of _core.Standing

COUNTING: Final[dict[str, Plugin]] = {
    name: plugin for name in order.names() if (plugin := order.get(name)) is not None and plugin.counts
}


LOCAL: Final = "local"  # the policy of what is counted in the shared memory


class Counted(NamedTuple):
    """One step that counts, the plugin and the object that its configuration stands in."""

    owner: str
    plugin: str
    step: _core.LimitedStep
    policy: str = LOCAL

    @property
    def identity(self) -> str:
        return self.step.identity.decode()

    @property
    def account(self) -> str:
        """Who it counts for: the object, or the group that it shares a count with."""
        return self.owner if self.identity.startswith(f"{self.owner}/") else self.identity.removesuffix(f"/{self.plugin}")

    @property
    def rule(self) -> str:
        """Which one of several limits of a configuration it is; empty where there is one."""
        return self.identity.removeprefix(f"{self.account}/{self.plugin}").removeprefix("/")


class _Env:
    """What `provision` may ask for (contract.Env), where nothing is served."""

    def __init__(self, owner: str) -> None:
        self.owner = owner

    def anonymous(self, username: str) -> _core.Credential | None:
        return None

    def metadata(self, plugin: Plugin) -> Any:
        return msgspec.convert({}, plugin.metadata_conf)

    def store(self, settings: RedisSettings) -> _core.RemoteStore:
        return _core.RemoteStore()

    def upstream(self, which: Upstream | str) -> _core.Upstream:
        return _core.Upstream([])


class Counting:
    """For one thread, as its store is."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read = 0
        self._of: dict[tuple[str, str], list[Counted]] = {}

    def find(self, owner: str | None = None, plugin: str | None = None) -> Iterator[Counted]:
        """All of the present configuration, or those of one owner (an object, or `group/<name>`), or of one plugin; what several
        objects share comes once."""
        self._catch_up()
        seen = set()
        for each in (each for of_one in self._of.values() for each in of_one):
            if plugin in (None, each.plugin) and owner in (None, each.owner, each.account) and each.identity not in seen:
                seen.add(each.identity)
                yield each

    def _catch_up(self) -> None:
        if self._store.revision() == self._read:
            return
        feed = Feed(self._store, self._read)
        try:
            for change in feed:
                made = list(_counted(change))
                if made:
                    self._of[change.kind, change.id] = made
                else:
                    self._of.pop((change.kind, change.id), None)
        except BaseException:
            self._of, self._read = {}, 0
            raise
        self._read = feed.revision


def _counted(change: Change) -> Iterator[Counted]:
    """What does not compile is left out: a worker that still serves its last version says so in the log."""
    if change.value is None or COUNTING.keys().isdisjoint(change.value.get("plugins") or ()):
        return
    owner = f"{change.kind}/{change.id}"
    resolved, _ = resolve_object(change.kind, change.value)
    for name, raw in resolved["plugins"].items():
        plugin = COUNTING.get(name)
        if plugin is None or disabled(raw):
            continue
        try:
            conf = msgspec.convert(raw, plugin.conf)
            steps = plugin.counting(conf, _Env(owner))
        except FAILURES:
            continue
        for step in steps:
            yield Counted(owner, name, step, getattr(conf, "policy", LOCAL))
