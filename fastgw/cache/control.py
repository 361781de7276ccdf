"""What Cache-Control, Expires, Age, Date and Vary say to a shared cache (RFC 9111).

Owns: directives, how long an answer is fresh and how old it is, whether it may be kept. Must not know where answers are kept, nor
what a configuration wants beyond that.
"""

import re
from collections.abc import Iterable
from email.utils import mktime_tz, parsedate_tz
from typing import Final, NamedTuple

__all__ = ["Directives", "Fields", "Kept", "date", "directives", "kept", "values"]

Fields = list[tuple[str, str]]
Directives = dict[str, str | None]

MOST_SECONDS: Final = 2**31  # what a larger number counts as (RFC 9111 section 1.2.2)
# Each byte is looked at once: a header of 32 KiB must not hold up a worker.
_DIRECTIVE: Final = re.compile(r'([!#$%&\'*+.^_`|~0-9A-Za-z-]++)(?:="((?:[^"\\]|\\.)*+)("?)|=([^\s,"]*+))?')
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NEVER_KEPT: Final = frozenset({"no-store", "private", "no-cache"})  # with field names too: a cache need not tell them apart
_ALLOW_AUTHORIZED: Final = frozenset({"public", "must-revalidate", "s-maxage"})  # section 3.5
_STRICT: Final = frozenset({"must-revalidate", "proxy-revalidate", "s-maxage"})  # section 5.2.2.10 for the last
_PARTS: Final = frozenset({206, 304})  # of answers, which this cache does not put together


class Kept(NamedTuple):
    """How an answer may be kept."""

    lifetime: int
    """Seconds for which it is fresh, of which `age` are over."""
    age: int
    strict: bool
    """Whether it must not be used once it is stale, whoever would have it."""
    vary: tuple[str, ...]
    """Lower-case names of the headers that chose it."""


def values(fields: Fields, name: str) -> list[str]:
    """Every value of that field; name in lower case."""
    return [value for found, value in fields if found.lower() == name]


def directives(lines: Iterable[str]) -> Directives:
    """Cache-Control by lower-case names. Of a directive with a number that stands twice the lowest counts, as nothing should be
    taken to be fresher than somebody said."""
    found: Directives = {}
    for line in lines:
        for key, value in _told(line):
            if key in found and found[key] is not None and (value is None or seconds(found[key]) <= seconds(value)):
                continue
            found[key] = value
    return found


def _told(line: str) -> list[tuple[str, str | None]]:
    told: list[tuple[str, str | None]] = []
    for match in _DIRECTIVE.finditer(line):
        if match[2] is not None and not match[3]:  # a quote that does not end must hide nothing
            parts = (part.partition("=") for part in line.replace('"', "").split(","))
            return [(name.strip().lower(), value.strip() or None) for name, _, value in parts]
        told.append((match[1].lower(), match[2] or match[4] or None))
    return told


def seconds(value: str | None) -> int:
    """A number of seconds; 0 where it is none: what cannot be read is stale (section 4.2.1)."""
    if value is None or not (value.isascii() and value.isdecimal()):
        return 0
    return min(int(value), MOST_SECONDS) if len(value) <= 10 else MOST_SECONDS


def date(value: str) -> int | None:
    """An HTTP date in seconds since 1970; None where it is none."""
    try:
        parsed = parsedate_tz(value)
        return None if parsed is None else mktime_tz(parsed)
    except (ValueError, OverflowError, IndexError, TypeError):
        return None


def kept(
    status: int,
    fields: Fields,
    *,
    authorized: bool,
    cookies: bool,
    default: int | None,
    asked: float,
    now: float,
) -> Kept | None:
    """How an answer may be kept, None where it may not.

    authorized: the request had Authorization; cookies: answers that set cookies may be kept; default: seconds for which an answer
    is fresh that does not say; None: then it is not kept; asked, now: when the request was sent and the answer came.
    """
    said = directives(values(fields, "cache-control"))
    names = varying(fields)
    if status in _PARTS or not _NEVER_KEPT.isdisjoint(said) or names is None:
        return None
    if authorized and _ALLOW_AUTHORIZED.isdisjoint(said):
        return None
    if not cookies and values(fields, "set-cookie"):
        return None
    dates = values(fields, "date")
    made = date(dates[0]) if dates else None
    age = _age(fields, made, asked, now)
    lifetime = _lifetime(said, fields, int(now) if made is None else made)
    if lifetime is None:
        if default is None:
            return None
        lifetime = age + default
    return Kept(min(lifetime, MOST_SECONDS), age, not _STRICT.isdisjoint(said), names) if lifetime > age else None


def varying(fields: Fields) -> tuple[str, ...] | None:
    """The names in Vary, sorted; None: no two requests may be taken for equal (section 4.1)."""
    names = {name.strip().lower() for line in values(fields, "vary") for name in line.split(",")} - {""}
    if any(name == "*" or not _TOKEN.fullmatch(name) for name in names):
        return None
    return tuple(sorted(names))


def _lifetime(said: Directives, fields: Fields, made: int) -> int | None:
    """Section 4.2.1, for a shared cache."""
    for name in ("s-maxage", "max-age"):
        if name in said:
            return seconds(said[name])
    expires = values(fields, "expires")
    if not expires:
        return None
    moment = date(expires[0])
    return 0 if moment is None or len(set(expires)) > 1 else max(0, moment - made)


def _age(fields: Fields, made: int | None, asked: float, now: float) -> int:
    """Section 4.2.3: when it came."""
    apparent = 0 if made is None else max(0, int(now) - made)
    told = values(fields, "age")
    return min(max(apparent, (seconds(told[0].strip()) if told else 0) + max(0, round(now - asked))), MOST_SECONDS)
