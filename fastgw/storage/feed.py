"""The change feed as a table: one short row of every id that there is, and tombstones of those that are gone.

Owns: its statements that are not reading it in order. Must not know what follows it.
"""

import sqlite3

__all__ = ["count", "drop_tombstones", "publish"]


def publish(db: sqlite3.Connection, kind: str, id: str, revision: int) -> None:
    """The effective value of this id last changed at that revision."""
    db.execute("INSERT OR REPLACE INTO feed VALUES (?, ?, ?)", (kind, id, revision))


def count(db: sqlite3.Connection, kind: str, enough: int) -> int:
    """How many objects of the kind there are, or any number up to `enough` where they are no more than that."""
    # A row of every object, and tombstones, is an upper bound; the rows are short, and so counted in a tenth of the time.
    (rows,) = db.execute("SELECT count(*) FROM feed WHERE kind = ?", (kind,)).fetchone()
    if rows > enough:
        (rows,) = db.execute("SELECT count(DISTINCT id) FROM object WHERE kind = ?", (kind,)).fetchone()
    return int(rows)


def drop_tombstones(db: sqlite3.Connection, horizon: int) -> None:
    """Those up to that revision; the state remembers how far back the feed reaches."""
    dropped = db.execute(
        """DELETE FROM feed WHERE revision <= ? AND NOT EXISTS (
            SELECT 1 FROM object o WHERE o.kind = feed.kind AND o.id = feed.id)""",
        (horizon,),
    )
    if dropped.rowcount:
        db.execute("UPDATE state SET horizon = ?", (horizon,))
