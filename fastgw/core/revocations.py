"""What is revoked, on a shared table: asked by any process, written by programs that have no gateway.

Owns: revocations as a program of your own sees them. How they are found and kept is native (native/revoked, native/revocations).
A gateway's own come from its store: on its table they can be asked for, and are written by its Admin API.
"""

import threading
import time
from typing import Final

from fastgw import _core

__all__ = ["Revocations"]

_STANDALONE: Final = 0  # the revision of no store: a gateway's is at least 1
_ONE: Final = threading.Lock()  # the kernel's lock is the process's: one thread of it at a time may come to it


class Revocations:
    """The revocations on a table: of tokens by their `jti` or `sub`, of credentials, of all tokens.

    table: a Table; that of a gateway, by its `shared_memory.path`, has what was revoked there
    """

    def __init__(self, table: _core.Table) -> None:
        self.table = table
        self._native = _core.Revocations(table.region)

    def __len__(self) -> int:
        """How many there are, those whose time is over but that nobody needed the room of among them."""
        return self._native.held

    def revoked(
        self,
        *,
        jti: str | None = None,
        sub: str | None = None,
        credential: str | None = None,
        issued: int | None = None,
        now: int | None = None,
    ) -> bool:
        """Whether what has this jti, this sub or this credential (`<consumer>/<credential>` or `<consumer>`) is revoked, by
        itself or with all tokens.

        issued: when it was issued, in seconds since 1970 (`iat`); None: unknown, which is before any bound
        now: seconds since 1970, if not the clock's
        """
        at = int(time.time()) if now is None else now
        asked = [("all", ""), ("jti", jti), ("sub", sub), ("credential", credential)]
        return any(self._native.revoked(kind, text.encode(), issued, at) for kind, text in asked if text is not None)

    def revoke(
        self,
        *,
        jti: str | None = None,
        sub: str | None = None,
        credential: str | None = None,
        everything: bool = False,
        issued_before: int | None = None,
        expires: int | None = None,
    ) -> None:
        """Revokes what has this subject, of which one is given; in force in every process when the call returns.

        issued_before: only what was issued earlier, in seconds since 1970; None: whatever it is
        expires: when the entry is of no more use, as what it revokes has expired by then; None: never
        RevocationsFullError: the table has no room. RuntimeError: the table is a gateway's, whose Admin API is to be told.
        """
        given = [("jti", jti), ("sub", sub), ("credential", credential), ("all", "" if everything else None)]
        subjects = [(kind, text) for kind, text in given if text is not None]
        if len(subjects) != 1:
            raise TypeError(f"revoke: expected one of jti, sub, credential and everything, found {len(subjects)}")
        kind, text = subjects[0]
        with _ONE:
            self._locked(f"{kind}/{text}".encode(), kind, text.encode(), issued_before, expires)

    def _locked(self, id_: bytes, kind: str, subject: bytes, before: int | None, expires: int | None) -> None:
        revision = self._native.lock()
        try:
            if revision != _STANDALONE:
                raise RuntimeError("revoke: expected a table without a gateway, found a gateway's: use its Admin API")
            self._native.put(id_, kind, subject, before, expires, int(time.time()))
        finally:
            self._native.unlock(revision)
