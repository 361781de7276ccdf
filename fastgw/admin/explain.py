"""POST /apisix/admin/explain: what would this request hit?

Owns: the call's body and answers, and the thread that an explainer lives in. Must not know: how the answer is found. The
objects are compiled here a second time, when somebody first asks; so nobody pays for it who does not.
"""

import asyncio
import logging
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import msgspec

from fastgw._core import Region
from fastgw.admin.envelope import Reply, document, error
from fastgw.admin.explanation import Explainer
from fastgw.admin.question import Question
from fastgw.admin.server import Request
from fastgw.schema.decode import faults_of
from fastgw.schema.parse import parse_json
from fastgw.schema.settings import Limits, Router
from fastgw.store import Feed, Store, StoreError

__all__ = ["Explain"]

ROUNDS: Final = 5  # answers of no one moment that are thrown away before one is taken

log = logging.getLogger("fastgw.admin")


class Explain:
    """One per admin process; questions are answered one after the other."""

    def __init__(self, database: Path, limits: Limits, region: Region, router: Router) -> None:
        """region: where it stands what is revoked."""
        self._database = database
        self._limits = limits
        self._region = region
        self._router = router
        self._thread = ThreadPoolExecutor(1, "explain")  # not the store's: a write must not wait for it
        self._store: Store | None = None
        self._read = 0

    def close(self) -> None:
        self._thread.shutdown()
        if self._store is not None:
            self._store.close()

    async def answer(self, request: Request) -> Reply:
        """What is wrong is said without a part of the request: it may hold a token."""
        body, faults = parse_json(request.body)
        if not faults:
            faults = faults_of(body, Question)[1]
        if faults:
            return error(400, f"invalid request: {faults[0]}")
        question = msgspec.convert(body, Question)
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._answer, question)

    def _answer(self, question: Question) -> Reply:
        try:
            return document(self._explained(question))
        except (sqlite3.Error, StoreError) as exc:
            log.error("the store failed: %s", exc)
            return error(503, f"the store failed: {exc}")

    def _explained(self, question: Question) -> dict[str, Any]:
        if self._store is None:
            self._store = Store(self._database)
            self._explainer = Explainer(self._limits, self._region, self._router)
        for _ in range(ROUNDS):
            self._catch_up(self._store)
            answer = {"revision": self._read, **self._explainer.explain(question, self._find)}
            if self._store.revision() == self._read:
                break
        return answer

    def _catch_up(self, store: Store) -> None:
        feed = Feed(store, self._read)
        try:
            self._explainer.follow(feed)
        except BaseException:
            self._explainer.reset()
            self._read = 0
            raise
        self._read = feed.revision

    def _find(self, kind: str, id: str) -> tuple[dict[str, Any], str] | None:
        assert self._store is not None  # noqa: S101 (opened by who asks)
        row = self._store.get(kind, id)
        return None if row is None else (row.value, row.layer)
