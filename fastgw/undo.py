"""What the config file had declared before another master read it, to be put back if that one fails.

Owns: what belongs to it, and what of the Admin API's objects went with it. Must not know: masters, or who tells the workers.
What the Admin API writes meanwhile stays.
"""

import time
from contextlib import closing
from pathlib import Path
from typing import Any

from fastgw import revocations
from fastgw._core import Region, Revocations
from fastgw.schema.kinds import KINDS
from fastgw.store import OWNED, Store

__all__ = ["Declared"]

Object = dict[str, Any]


class Declared:
    """The store's file layer as it is now. StoreError, sqlite3.Error: it cannot be read."""

    def __init__(self, database: Path) -> None:
        self._owned: dict[tuple[str, str, str], tuple[Object, float | None]] = {}
        with closing(Store(database)) as store, store.reading() as view:
            self._objects = {(kind, id): value for kind in KINDS for id, value in view.declared(kind).items()}
            for owner, kind in OWNED.items():
                times = view.expiries(kind)
                for row in view.list(kind):
                    if row.layer == "store":
                        self._owned[owner, kind, row.id] = row.value, times.get(row.id)

    def put_back(self, database: Path, region: Region) -> int:
        """Makes the file layer what it was; returns the revision. An object that the other file has not takes what it owns with
        it, so that comes back too."""
        with closing(Store(database)) as store:
            store.bounds = {revocations.KIND: region.revocations}
            lost = [key for key in self._owned if store.get(key[0], key[2].partition("/")[0]) is None]
            revision, _ = store.replace_file_layer(self._objects)
            for owner, kind, id in lost:
                value, expires = self._owned[owner, kind, id]
                if store.get(owner, id.partition("/")[0]) is not None and (expires is None or expires > time.time()):
                    _, _, revision = store.update(kind, id, lambda *_, value=value: value, expires)
            revocations.follow(store, Revocations(region))
        return revision
