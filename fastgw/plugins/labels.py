"""Labels with several values: how the text of one is read.

Owns that reading, for the labels of consumers and for what is known of other users alike. Must not know who asks for them.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Final

__all__ = ["pairs", "texts", "values_of_json", "values_of_text"]

_BLANK: Final = " \t\n\r\f\v"


def values_of_text(text: str) -> list[str]:
    """The values of a label: a JSON array of them, or a list with commas, or one."""
    if text.startswith("["):
        return values_of_json(text)
    first, *others = text.split(",")
    if not others:
        return [text]
    *between, last = others
    # Blanks go around a comma, as in APISIX, and not at the ends. No regular expression: the text may be a stranger's.
    return [first.rstrip(_BLANK), *(each.strip(_BLANK) for each in between), last.lstrip(_BLANK)]


def values_of_json(text: str) -> list[str]:
    """The texts in a JSON array; none where it is not one."""
    try:
        # Of numbers none is a value, and one with too many digits is no reason not to see the others.
        found = json.loads(text, parse_int=float)
    except (ValueError, RecursionError):
        return []
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


def texts(labels: Mapping[str, str] | None) -> Iterable[tuple[str, str]]:
    """Each label with its text as it stands."""
    return list((labels or {}).items())


def pairs(labels: Mapping[str, str] | None) -> Iterable[tuple[str, str]]:
    """Each label with each of its values."""
    return [(label, value) for label, text in (labels or {}).items() for value in values_of_text(text)]
