"""Regular expressions that configurations have: RE2's, whose time is linear in the text, so that none is a trap.

Owns: their syntax, how much memory one may take, in what form they are handed on. Must not know who searches, nor what.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final

import re2
from msgspec import Meta

__all__ = ["Regex", "compiled", "flaw", "search_of"]

_MEMORY: Final = 1 << 20  # bytes that one may take in a worker
_MEMORY_OF_MANY: Final = 8 << 20

_WRONG: Final = "expected a regular expression (of RE2: no look-around, no back-references)"

Regex = Annotated[
    str, Meta(min_length=1, max_length=4096, title="a regular expression (RE2)", extra_json_schema={"format": "re2"})
]


def search_of(*patterns: str, fold: bool = False) -> Callable[[bytes], Any]:
    """The search for any of these in bytes, as they came: a request need not be UTF-8. fold: whatever the case.

    re2.error: one is not lawful, or takes too much memory; UnicodeEncodeError: it is no text.
    """
    for pattern in patterns:  # alone first: what surrounds it must not make sense of it
        _compiled(pattern.encode(), fold, _MEMORY)
    if len(patterns) == 1:
        search = _compiled(patterns[0].encode(), fold, _MEMORY).search
    else:
        search = _compiled("|".join(f"(?:{pattern})" for pattern in patterns).encode(), fold, _MEMORY_OF_MANY).search
    return search  # type: ignore[no-any-return]


def compiled(pattern: str) -> Any:
    """The expression itself, over bytes, for who wants to know what its groups take. Raises as `search_of`."""
    return _compiled(pattern.encode(), False, _MEMORY)


def flaw(*patterns: str, fold: bool = False) -> str | None:
    """Why there is no such search."""
    try:
        search_of(*patterns, fold=fold)
    except (re2.error, UnicodeEncodeError):
        return _WRONG
    return None


def _compiled(pattern: bytes, fold: bool, memory: int) -> Any:
    options: Final = re2.Options()
    options.log_errors = False  # they are told to whoever wrote the pattern
    options.encoding = re2.Options.Encoding.LATIN1
    options.case_sensitive = not fold
    options.max_mem = memory
    return re2.compile(pattern, options)
