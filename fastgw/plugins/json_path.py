"""The part of JSONPath (RFC 9535) that finds a member: names, indexes, wildcards and descent.

Owns its grammar. Must not know what is looked for. No filters, slices or unions: an expression with one is no JSONPath here.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

__all__ = ["JsonPath"]

_NAME: Final = r"""[^\s.\[\]*$@?,()'"]+"""
_SEGMENT: Final = re.compile(
    rf"""(?P<deep>\.\.)?\[\s*(?:(?P<any>\*)|(?P<at>-?\d{{1,9}})|'(?P<single>(?:[^'\\]|\\.)*)'|"(?P<double>(?:[^"\\]|\\.)*)")\s*\]"""
    rf"""|(?P<dots>\.\.?)(?:(?P<star>\*)|(?P<name>{_NAME}))""",
    re.DOTALL,
)
_FIRST: Final = re.compile(_NAME)


class _Segment(NamedTuple):
    deep: bool
    """Whether it is looked for in all that is below, too."""
    key: str | int | None
    """The member's name or index; None: any."""


class JsonPath:
    """A way to a member of what JSON can say. `$` may be left out before a name: `groups` is `$.groups`."""

    def __init__(self, text: str) -> None:
        """ValueError: it is none of this grammar."""
        rest = text[1:] if text.startswith("$") else f".{text}" if _FIRST.match(text) else text
        self._segments = list(_segments(rest)) if rest or not text else []

    def first(self, document: Any) -> Any:
        """The first member that the way leads to, None where there is none."""
        return next(iter(self.all(document)), None)

    @property
    def single(self) -> bool:
        """Whether it leads to one member at most."""
        return not any(segment.deep or segment.key is None for segment in self._segments)

    def all(self, document: Any) -> list[Any]:
        """All members that the way leads to."""
        return _led(document, self._segments)

    def places(self, document: Any) -> list[tuple[Any, str | int]]:
        """Where these members stand: an object or list, and a name or position in it; later positions of a list first."""
        if not self._segments:
            return []
        *way, last = self._segments
        found: Iterable[Any] = _led(document, way)
        return [(node, key) for node in (_below(found) if last.deep else found) for key in _keys(node, last.key)]


def _segments(text: str) -> Iterator[_Segment]:
    at = 0
    while at == 0 or at < len(text):
        match = _SEGMENT.match(text, at)
        if match is None:
            raise ValueError(f"nothing that is understood from character {at} of {text!r} on")
        part = match.groupdict()
        key: str | int | None = part["name"]
        if part["at"] is not None:
            key = int(part["at"])
        for quoted in (part["single"], part["double"]):
            if quoted is not None:
                key = re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
        yield _Segment(part["deep"] is not None or part["dots"] == "..", key)
        at = match.end()


def _led(document: Any, segments: list[_Segment]) -> list[Any]:
    found: Iterable[Any] = [document]
    for segment in segments:
        # By identity: what several ways lead to is gone through once, so that the work is bounded by the document.
        nodes = _below(found) if segment.deep else found
        found = {id(member): member for node in nodes for member in _step(node, segment)}.values()
    return list(found)


def _keys(node: Any, key: str | int | None) -> Sequence[str | int]:
    if isinstance(node, dict):
        return list(node) if key is None else [key] if key in node else []
    if not isinstance(node, list):
        return []
    if key is None:
        return list(range(len(node)))[::-1]
    return [key % len(node)] if isinstance(key, int) and -len(node) <= key < len(node) else []


def _step(node: Any, segment: _Segment) -> Iterable[Any]:
    key = segment.key
    if key is None:
        return _members(node)
    if isinstance(key, str):
        return [node[key]] if isinstance(node, dict) and key in node else ()
    return [node[key]] if isinstance(node, (list, tuple)) and -len(node) <= key < len(node) else ()


def _below(nodes: Iterable[Any]) -> Iterator[Any]:
    """The nodes and all below, each before its members and once. Without recursion: the depth is a stranger's choice."""
    left = list(nodes)[::-1]
    seen: set[int] = set()
    while left:
        node = left.pop()
        if id(node) not in seen:
            seen.add(id(node))
            yield node
            left += reversed(_members(node))


def _members(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return list(node.values())
    return list(node) if isinstance(node, (list, tuple)) else []
