"""Which routes, consumers and nodes requests went to so far: the rows of metrics, added up for people.

Owns: what is added up, how much of it is told. Must not know: where rows come from, rates, which are for those who ask twice.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from fastgw._core import SeriesView

__all__ = ["MOST", "Told", "traffic"]

MOST: Final = 100  # of each kind, those with most requests

Told = list[dict[str, Any]]
_KINDS: Final[dict[str, tuple[str, Callable[[SeriesView], str]]]] = {
    "routes": ("route", lambda row: "other" if row.other else row.route),
    "consumers": ("consumer", lambda row: "other" if row.other else row.consumer),
    "nodes": ("node", lambda row: row.node),
}


def traffic(rows: Sequence[SeriesView]) -> dict[str, Told]:
    """By kind, each with its name and counts."""
    return {kind: _added(rows, member, name) for kind, (member, name) in _KINDS.items()}


def _added(rows: Iterable[SeriesView], member: str, name: Callable[[SeriesView], str]) -> Told:
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
    busiest = sorted(counts.items(), key=lambda each: -each[1]["requests"])[:MOST]
    return [{member: label, **found} for label, found in busiest]
