"""What is revoked, from the store into the shared memory that every worker reads.

Owns: which entry a revocation makes there, how the table follows the store. Must not know: how an entry is found, requests, who
wakes whom.

The store is the truth. A process that publishes a revision of it calls `follow` before, so a revocation is in force when the call
that wrote it returns. Whichever process comes takes up where the last one left off; after one that was killed at it, the
whole is gone through again, and nothing that is revoked is let in meanwhile.
"""

import time
from collections.abc import Sequence
from typing import Any, Final

from fastgw._core import Region, Revocations, RevocationsFullError
from fastgw.errors import StoreError
from fastgw.store import Change, ChangesGone, Feed, Store

__all__ = ["KIND", "add", "follow", "region_of"]

KIND: Final = "revocations"
_SUBJECTS: Final = ("jti", "sub", "credential")


def follow(store: Store, table: Revocations, *, whole: bool = False) -> None:
    """Brings the table to where the store is. whole: whatever it holds may be of another store.

    StoreError: not all is in force that ought to be.
    """
    since, done = table.lock(), None
    try:
        try:
            done = _follow(store, table, 0 if whole else since)
        except (ChangesGone, RevocationsFullError):  # the latter: what makes room comes after what needs it
            done = _follow(store, table, 0)
    except RevocationsFullError as exc:
        raise StoreError(f"shared_memory.{exc}; a larger number takes effect at the next start") from None
    finally:
        table.unlock(done)


def region_of(changes: Sequence[Change]) -> Region:
    """Memory of its own that holds what these changes revoke."""
    wanted, now = [each for each in changes if each.kind == KIND], int(time.time())
    region = Region.create(1024, slots=1, revocations=len(wanted) or 1)
    table = Revocations(region)
    table.lock()
    for each in wanted:
        _write(table, each, now)
    table.unlock(0)
    return region


def add(table: Revocations, changes: Sequence[Change]) -> None:
    """What these changes revoke, on a table that no store keeps; on one of a gateway nothing is done. RevocationsFullError."""
    now = int(time.time())
    since = table.lock()
    try:
        for each in changes if since == 0 else ():
            _write(table, each, now)
    finally:
        table.unlock(since)


def _write(table: Revocations, change: Change, now: int) -> None:
    """Makes the table's entry of a revocation what the change says. The table is locked."""
    value, id = change.value, change.id.encode()
    expires = None if value is None else value.get("expires")
    if value is None or (expires is not None and expires <= now):
        table.drop(id)
        return
    table.put(id, *_subject(value), value.get("issued_before"), expires, now)


def _follow(store: Store, table: Revocations, since: int) -> int:
    feed, seen, now = Feed(store, since, KIND), [], int(time.time())
    if since == 0:  # what is gone makes room first
        table.keep(id.encode() for id in store.ids(KIND))
    for change in feed:
        _write(table, change, now)
        seen.append(change.id.encode())
    if since == 0:
        table.keep(seen)
    return feed.revision


def _subject(value: dict[str, Any]) -> tuple[str, bytes]:
    for name in _SUBJECTS:
        if name in value:
            return name, value[name].encode()
    return "all", b""
