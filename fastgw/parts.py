"""Parts that are made of other things and made again when one of these changes, and not otherwise.

Owns: who read what while it was made, what is stale, the last good version of each part, why a part cannot be made now. Must
not know what a part is. A key names an object that may change, a part that is made, or both, as ("routes", "1"): a part is
then made of its own object. What a failed attempt read counts too: a change of it is another chance.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, Final

__all__ = ["Key", "Parts", "Withdrawn"]

Key = tuple[str, str]

MARKS: Final = 256  # readers marked stale between two yields


class Withdrawn(LookupError):  # noqa: N818 (what becomes of the part)
    """Raised by a maker: the part cannot be made, and its last good version must not serve either."""


class Parts:
    """The parts by key. `make` gives the part of a key, None if there is (now) none; it asks for what it needs by `get` and says
    by `read` what else it looks at. `changed` is told of every part that is new or gone: the key, the part before and after.
    """

    def __init__(
        self,
        make: Callable[[Key], Any],
        changed: Callable[[Key, Any, Any], None],
        failures: tuple[type[Exception], ...],
    ) -> None:
        """failures: what `make` raises for a fault of the objects; anything else is a fault of the program."""
        self._make = make
        self._changed = changed
        self._failures = failures
        self._good: dict[Key, Any] = {}
        self._stale: OrderedDict[Key, None] = OrderedDict()  # popped from the front, which a dict would search for
        self._reads: dict[Key, tuple[Key, ...]] = {}
        self._readers: dict[Key, dict[Key, None]] = {}
        self._making: dict[Key, dict[Key, None]] = {}
        """Parts being made, one for the sake of another, each with what it has read so far."""
        self.faults: dict[Key, str] = {}
        """Parts that cannot be made now, and why; their last good version is what `get` gives."""

    def touch(self, key: Key) -> Iterator[None]:
        """Marks the key as changed, and all that was made of it, directly or not; yields now and then."""
        waiting, marked = [key], 0
        while waiting:
            each = waiting.pop()
            if each in self._stale:
                continue
            self._stale[each] = None
            waiting += self._readers.get(each, ())
            marked += 1
            if marked % MARKS == 0:
                yield

    def refresh(self) -> Iterator[None]:
        """Makes what is stale; yields after each part."""
        while self._stale:
            self._remake(next(iter(self._stale)))
            yield

    def get(self, key: Key) -> Any:
        """The last good version of a part, made now if it is stale; None if there is none."""
        self.read(key)
        if key in self._making:
            kind, id_ = key
            raise LookupError(f"{kind}/{id_}: expected what does not lead back to itself, found that it does")
        if key in self._stale:
            self._remake(key)
        return self._good.get(key)

    def read(self, key: Key) -> None:
        """Says that the part being made depends on this key."""
        if self._making:
            self._making[next(reversed(self._making))][key] = None

    def _remake(self, key: Key) -> None:
        self._stale.pop(key, None)
        before = after = self._good.get(key)
        self._making[key] = {}
        try:
            after = self._make(key)
            self.faults.pop(key, None)
        except self._failures as error:
            self.faults[key] = str(error)
            if isinstance(error, Withdrawn):
                after = None
        finally:
            self._link(key, tuple(self._making.pop(key)))
        if after is before:
            return
        if after is None:
            del self._good[key]
        else:
            self._good[key] = after
        self._changed(key, before, after)

    def _link(self, key: Key, reads: tuple[Key, ...]) -> None:
        before = self._reads.get(key, ())
        if reads == before:
            return
        for each in before:
            readers = self._readers[each]
            del readers[key]
            if not readers:
                del self._readers[each]
        for each in reads:
            self._readers.setdefault(each, {})[key] = None
        if reads:
            self._reads[key] = reads
        else:
            del self._reads[key]
