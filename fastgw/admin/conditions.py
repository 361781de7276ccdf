"""Entity tags: which version of an object, or of a list, a request speaks of (RFC 9110 sections 8.8.3 and 13).

Owns: the tags, the reading of If-Match and If-None-Match, what follows from them. Must not know: resources, the
store; it is told the revision at which a thing last changed. No revision is ever given twice, so no tag stands
for two values. A key that sees no secrets gets tags of its own: what it saw is not what a write would replace.
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from fastgw.admin.envelope import Failure, Reply, not_modified, tagged

__all__ = ["FIELD", "Conditions", "tag_of"]

# RFC 9110 section 8.8.3; fields are read as latin-1. In a list, empty elements are skipped (section 5.6.1.2).
_TAG: Final = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_TAGS: Final = re.compile(rf"[ \t,]*{_TAG}(?:[ \t]*,[ \t,]*{_TAG})*[ \t,]*")
FIELD: Final = rf"^(?:\*|{_TAGS.pattern})$"
"""What both fields may be, as a pattern."""
_WEAK: Final = "W/"


class Tags(NamedTuple):
    """The value of one field; tags is None where it is `*`."""

    field: str
    given: str
    tags: frozenset[str] | None

    def strongly(self, now: str | None) -> bool:
        """Whether the thing as it is now is meant; weak tags never say so (section 8.8.3.2)."""
        return now is not None and (self.tags is None or now in self.tags)

    def weakly(self, now: str | None) -> bool:
        return self.strongly(now) or (now is not None and _WEAK + now in (self.tags or ()))

    def failed(self, what: str, now: str | None) -> Failure:
        there = "is not there" if now is None else f"is now {now}"
        return Failure(412, f"precondition failed: {self.field}: {self.given}, but {what} {there}")


class Conditions(NamedTuple):
    """What a request demands of the present version."""

    match: Tags | None = None
    none_match: Tags | None = None

    @classmethod
    def read(cls, headers: Mapping[str, str]) -> "Conditions":
        """From the head, by names in lower case; Failure: a field that is not what the RFC allows."""
        return cls(_read(headers, "If-Match"), _read(headers, "If-None-Match"))

    def require(self, what: str, now: str | None) -> None:
        """For a write, inside its transaction: Failure unless the present tag (None: no object) is as demanded."""
        if self.match is not None and not self.match.strongly(now):
            raise self.match.failed(what, now)
        if self.none_match is not None and self.none_match.weakly(now):
            raise self.none_match.failed(what, now)

    def answer(self, reply: Reply, what: str, now: str) -> Reply:
        """For a read: the reply with its tag, or 304 where the client has it already."""
        self._replace(none_match=None).require(what, now)
        reply = tagged(reply, now)
        known = self.none_match is not None and self.none_match.weakly(now)
        return not_modified(reply) if known else reply


def tag_of(revision: int, *, secrets: bool = True) -> str:
    """The tag of what last changed at this revision; secrets: whether the caller sees them."""
    return f'"{revision}"' if secrets else f'"{revision}-viewer"'


def _read(headers: Mapping[str, str], field: str) -> Tags | None:
    given = headers.get(field.lower())
    if given is None:
        return None
    given = given.strip(" \t")
    if given == "*":
        return Tags(field, given, None)
    if not _TAGS.fullmatch(given):
        raise Failure(400, f'invalid header {field}: expected * or entity tags such as "7", found {given or "nothing"}')
    return Tags(field, given, frozenset(re.findall(_TAG, given)))
