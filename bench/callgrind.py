"""Reads what valgrind's callgrind writes: instructions by function, with what they call, and by source file and line.

Owns: the format (valgrind's manual, "Callgrind Format Specification"). Must not know the gateway.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

NAMED = re.compile(r"(c?(?:ob|fl|fi|fe|fn))=(?:\((\d+)\))?\s*(.*)")


@dataclass(frozen=True)
class Place:
    """Where instructions stand: the function as compiled, and the source, which may be that of one inlined into it."""

    function: str
    binary: str
    file: str
    line: int


@dataclass
class Profile:
    """One dump, or the difference of two."""

    inclusive: Counter[str] = field(default_factory=Counter)  # by function, with all it calls
    own: Counter[Place] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)  # by function called

    def minus(self, other: Profile) -> Profile:
        """What this dump has more than another."""
        found = Profile(Counter(self.inclusive), Counter(self.own), Counter(self.calls))
        found.inclusive.subtract(other.inclusive)
        found.own.subtract(other.own)
        found.calls.subtract(other.calls)
        return found


class Reader:
    """The state that lines of a dump build on: names are written out once, positions relative to the one before."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, str], str] = {}
        self._line = 0
        self._at = {"ob": "", "fl": "", "fn": "", "cfn": ""}
        self._call = 0  # calls of the `calls=` line just read, whose cost comes next
        self.profile = Profile()

    def _name(self, key: str, number: str | None, text: str) -> str:
        kind = {"b": "ob", "n": "fn"}.get(key[-1], "fl")  # files share one numbering, so do objects and functions
        if number is None:
            return text
        if text:
            self._names[kind, number] = text
        return self._names[kind, number]

    def take(self, line: str) -> None:
        """One line."""
        if found := NAMED.match(line):
            key = found[1]
            name = self._name(key, found[2], found[3])
            self._at[{"fi": "fl", "fe": "fl"}.get(key, key)] = name
        elif line.startswith("calls="):
            self._call = int(line[6:].split()[0]) + 1
        elif line[:1] in "+-*0123456789" and line:
            self._cost(*line.split())

    def _cost(self, position: str, cost: str = "0") -> None:
        if position != "*":
            self._line = self._line + int(position) if position[0] in "+-" else int(position)
        function = self._at["fn"]
        if not self._call:
            self.profile.own[Place(function, self._at["ob"], self._at["fl"], self._line)] += int(cost)
            self.profile.inclusive[function] += int(cost)
            return
        if plain(self._at["cfn"]) != plain(function):  # a function that calls itself counts what that costs once
            self.profile.inclusive[function] += int(cost)
        self.profile.calls[self._at["cfn"]] += self._call - 1
        self._call = 0


def plain(function: str) -> str:
    """A name without the mark that callgrind gives to the further levels of a recursion."""
    return re.sub(r"'\d+$", "", function)


def read(path: Path) -> Profile:
    """One dump file."""
    reader = Reader()
    for line in path.read_text().splitlines():
        reader.take(line)
    return reader.profile
