"""Prometheus' text format, version 0.0.4: families of samples with labels.

Owns: its syntax. Must not know: what is counted.
"""

from collections.abc import Mapping, Sequence
from typing import Final

__all__ = ["CONTENT_TYPE", "Exposition"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})

Labels = Mapping[str, object]


class Exposition:
    """One scrape in the making. Samples follow their family, and each combination of labels comes once."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._name = ""

    def family(self, name: str, kind: str, about: str) -> None:
        """kind: counter, gauge or histogram."""
        self._name = name
        self._lines += [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]

    def put(self, value: float, labels: Labels | None = None, suffix: str = "") -> None:
        self._lines.append(f"{self._name}{suffix}{_braced(labels or {})} {_number(value)}")

    def histogram(self, bounds: Sequence[object], counts: Sequence[int], total: float, labels: Labels | None = None) -> None:
        """counts: those up to each bound alone, and last those above."""
        inner = _inner(labels or {})
        comma = "," if inner else ""
        seen = 0
        for bound, count in zip((*bounds, "+Inf"), counts, strict=True):
            seen += count
            self._lines.append(f'{self._name}_bucket{{{inner}{comma}le="{bound}"}} {seen}')
        self.put(seen, labels, "_count")
        self.put(total, labels, "_sum")

    def bytes(self) -> bytes:
        return ("\n".join(self._lines) + "\n").encode("utf-8", "replace")


def _inner(labels: Labels) -> str:
    return ",".join(f'{name}="{str(value).translate(_ESCAPES)}"' for name, value in labels.items())


def _braced(labels: Labels) -> str:
    return f"{{{_inner(labels)}}}" if labels else ""


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(round(value, 6))
