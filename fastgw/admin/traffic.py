"""Which routes, consumers and nodes requests go to: rows of metrics, added up for people, those first that are asked most now.

Owns: what is added up, which names are told, for which it keeps what they had counted in the last seconds. Must not know: where
rows come from, rates, which are for those who ask twice.
"""

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from fastgw._core import SeriesView

__all__ = ["MOST", "Told", "Traffic"]

MOST: Final = 100  # of each kind
WINDOW_S: Final = 10.0
APART_S: Final = 2.0  # between two looks that are kept

Told = list[dict[str, Any]]
_Requests = dict[tuple[str, str], int]
"""By kind and name."""
_KINDS: Final[dict[str, tuple[str, Callable[[SeriesView], str]]]] = {
    "routes": ("route", lambda row: "other" if row.other else row.route),
    "consumers": ("consumer", lambda row: "other" if row.other else row.consumer),
    "nodes": ("node", lambda row: row.node),
}


class Traffic:
    """One per admin process; from any thread. Looks are made when somebody asks, and not before."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, _Requests]] = deque()
        self._lock = threading.Lock()

    def told(self, rows: Sequence[SeriesView], now: float) -> dict[str, Told]:
        """By kind, each with its name and counts so far: by falling requests since the oldest look of the last ten seconds, as
        the ones that were asked most since the start may be silent by now. now: of a clock that only goes forward.
        """
        counted = {kind: _added(rows, name) for kind, (_, name) in _KINDS.items()}
        requests = {(kind, name): each["requests"] for kind, names in counted.items() for name, each in names.items()}
        with self._lock:
            before = self._since(now, requests)
        return {kind: _busiest(kind, names, before) for kind, names in counted.items()}

    def _since(self, now: float, requests: _Requests) -> _Requests:
        while self._looks and self._looks[0][0] < now - WINDOW_S:
            self._looks.popleft()
        oldest = self._looks[0][1] if self._looks else {}
        if not self._looks or now >= self._looks[-1][0] + APART_S:
            self._looks.append((now, requests))
        return oldest


def _added(rows: Iterable[SeriesView], name: Callable[[SeriesView], str]) -> dict[str, dict[str, int]]:
    counts: defaultdict[str, dict[str, int]] = defaultdict(
        lambda: dict.fromkeys(("requests", "responses_4xx", "responses_5xx", "upstream_us", "request_us"), 0)
    )
    for row in rows:
        if not row.codes or not name(row):
            continue  # nothing yet; or of no route, nobody, or nowhere
        found = counts[name(row)]
        for code, count in row.codes:
            found["requests"] += count
            if 400 <= code < 600:
                found[f"responses_{code // 100}xx"] += count
        found["upstream_us"] += row.upstream_us
        found["request_us"] += row.request_us
    return counts


def _busiest(kind: str, counts: Mapping[str, dict[str, int]], before: _Requests) -> Told:
    member, _ = _KINDS[kind]
    ranked = sorted(
        counts.items(),
        key=lambda each: (each[1]["requests"] - before.get((kind, each[0]), 0), each[1]["requests"]),
        reverse=True,
    )
    return [{member: name, **found} for name, found in ranked[:MOST]]
