"""Which objects of a list a GET asks for: APISIX's filters and pages.

Owns: the meaning of name, label, uri, filter, page and page_size. Must not know: where rows come from.

Patterns come from clients, so they are run by RE2, whose time grows with the text alone: a search that goes back and forth
would hold up the whole process.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl

import re2

from fastgw.admin.envelope import Failure
from fastgw.store import Row

__all__ = ["BadPage", "select"]

PAGE_SIZES: Final = range(10, 501)
MAX_PATTERN: Final = 256  # bytes of a regular expression that a client may have us run
FILTERED: Final = ("service_id", "upstream_id")  # what APISIX's `filter` knows, on routes
_QUIET: Final = re2.Options()
_QUIET.log_errors = False  # they are told to the client


class BadPage(Exception):  # noqa: N818
    """page_size is out of range, which APISIX answers in a way of its own."""


def select(rows: Sequence[Row], query: Mapping[str, str]) -> tuple[Sequence[Row], int]:
    """The rows to show and how many there are before paging; rows come in order of creation."""
    tests = [make(query[name]) for name, make in _TESTS.items() if name in query]
    kept = [row for row in rows if all(test(row.value) for test in tests)]
    page, size = _number(query.get("page")), _number(query.get("page_size"))
    if page is None or size is None:
        return kept, len(kept)
    if size not in PAGE_SIZES:
        raise BadPage(f"page_size must be between {PAGE_SIZES[0]} and {PAGE_SIZES[-1]}")
    first = (max(page, 1) - 1) * size
    return kept[first : first + size], len(kept)


Test = Callable[[dict[str, Any]], bool]


def _name(pattern: str) -> Test:
    search = _pattern("name", pattern)
    return lambda value: isinstance(value.get("name"), str) and search(value["name"])


def _uri(pattern: str) -> Test:
    search = _pattern("uri", pattern)
    return lambda value: any(search(uri) for uri in (value.get("uri"), *(value.get("uris") or ())) if uri)


def _label(name: str) -> Test:
    return lambda value: name in (value.get("labels") or {})


def _filter(text: str) -> Test:
    wanted = {name: each for name, each in parse_qsl(text) if name in FILTERED}
    return lambda value: all(value.get(name) == each for name, each in wanted.items())


_TESTS: Final[dict[str, Callable[[str], Test]]] = {
    "name": _name,
    "uri": _uri,
    "label": _label,
    "filter": _filter,
}


def _pattern(param: str, pattern: str) -> Callable[[str], bool]:
    if len(pattern) > MAX_PATTERN:
        raise Failure(400, f"invalid {param} pattern: longer than {MAX_PATTERN}")
    try:
        compiled = re2.compile(pattern, _QUIET)
    except re2.error as exc:
        why = exc.args[0].decode(errors="replace") if isinstance(exc.args[0], bytes) else str(exc)
        raise Failure(400, f"invalid {param} pattern: {why}") from exc
    return lambda text: compiled.search(text) is not None


def _number(text: str | None) -> int | None:
    try:
        return int(text) if text is not None and len(text) < 10 else None
    except ValueError:
        return None
