"""Which room of the core a line of compiled code comes from, also where the compiler inlined it elsewhere.

Owns: the comments by which Cython marks its C with the line of the source it stands for. Must not know what was counted.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from pathlib import Path

from bench.callgrind import Place

MARK = re.compile(r'\s*/\* "fastgw/(?:native/)?(\w+)\.p[xy][ixd]":\d+')


class Rooms:
    """Rooms by place; `core` is the extension's file, `source` the C that Cython wrote for it."""

    def __init__(self, core: Path, source: Path) -> None:
        self._core = core.name
        self._starts: list[int] = []
        self._names: list[str] = []
        for number, line in enumerate(source.read_text().splitlines() if source.exists() else [], 1):
            if found := MARK.match(line):
                self._starts.append(number)
                self._names.append(found[1])

    def of(self, place: Place) -> str:
        """The room; for what is not ours, the library."""
        binary = Path(place.binary).name
        if binary != self._core:
            return "libc" if binary.startswith("libc.") else binary or "unknown"
        file = Path(place.file)
        if file.name == "_core.c":
            at = bisect_right(self._starts, place.line) - 1
            return self._names[at] if at >= 0 else "cython"
        return file.stem if file.parent.name == "native" else "inlined from system headers"
