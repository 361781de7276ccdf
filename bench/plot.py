"""Charts in SVG, drawn by hand so that the report needs nothing from elsewhere. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 760
LABEL = 170
VALUE = 120
BAR = 22
GAP = 10


@dataclass(frozen=True)
class Bar:
    """A bar of two stacked parts; `low` and `high` are the ends of its whisker, the range over rounds."""

    label: str
    parts: tuple[float, float]
    low: float
    high: float
    note: str
    strong: bool = False

    @property
    def total(self) -> float:
        return sum(self.parts)


def _bar(bar: Bar, top: float, scale: float) -> str:
    first, second = (part * scale for part in bar.parts)
    middle = top + BAR / 2
    low, high = LABEL + bar.low * scale, LABEL + bar.high * scale
    end = max(high, LABEL + first + second)
    kind = " strong" if bar.strong else ""
    box = f'y="{top:.1f}" height="{BAR}"'
    line = f'y="{middle + 4:.1f}"'
    whisker = f"M{low:.1f} {middle:.1f}H{high:.1f}M{low:.1f} {middle - 4:.1f}v8M{high:.1f} {middle - 4:.1f}v8"
    return (
        f'<text class="label{kind}" x="{LABEL - 8}" {line} text-anchor="end">{escape(bar.label)}</text>'
        f'<rect class="user{kind}" x="{LABEL}" width="{first:.1f}" {box}/>'
        f'<rect class="system{kind}" x="{LABEL + first:.1f}" width="{second:.1f}" {box}/>'
        f'<path class="range" d="{whisker}"/>'
        f'<text class="value{kind}" x="{end + 8:.1f}" {line}>{escape(bar.note)}</text>'
    )


def chart(title: str, bars: Sequence[Bar]) -> str:
    """The bars on one scale from zero."""
    longest = max((max(bar.total, bar.high) for bar in bars), default=1.0) or 1.0
    scale = (WIDTH - LABEL - VALUE) / longest
    height = GAP + len(bars) * (BAR + GAP)
    drawn = "".join(_bar(bar, GAP + index * (BAR + GAP), scale) for index, bar in enumerate(bars))
    return _svg(title, height, drawn)


def _svg(title: str, height: float, drawn: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}" '
        f'xmlns="http://www.w3.org/2000/svg"><title>{escape(title)}</title>{drawn}</svg>'
    )


@dataclass(frozen=True)
class Span:
    """Percentiles of one row, ascending, and below them the same of the load generator's own lateness."""

    label: str
    values: tuple[float, ...]
    late: tuple[float, ...]
    note: str
    strong: bool = False


class LogScale:
    """Whole decades around the values: latencies of one chart differ by a thousand times."""

    def __init__(self, values: Sequence[float]) -> None:
        positive = [value for value in values if value > 0] or [1.0, 10.0]
        self._low = math.floor(math.log10(max(1.0, min(positive))))
        self._high = max(self._low + 1, math.ceil(math.log10(max(positive))))

    def at(self, value: float) -> float:
        share = (math.log10(max(value, 10.0**self._low)) - self._low) / (self._high - self._low)
        return LABEL + share * (WIDTH - LABEL - VALUE)

    def decades(self) -> list[float]:
        return [10.0**power for power in range(self._low, self._high + 1)]


def _line(values: Sequence[float], y: float, scale: LogScale, kind: str) -> str:
    ends = [scale.at(value) for value in values]
    dots = "".join(f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x in ends)
    return f'<path class="{kind}" d="M{ends[0]:.1f} {y:.1f}H{ends[-1]:.1f}"/>{dots}' if ends else ""


def _span(span: Span, top: float, scale: LogScale) -> str:
    kind = " strong" if span.strong else ""
    middle = top + BAR / 2
    return (
        f'<text class="label{kind}" x="{LABEL - 8}" y="{middle + 4:.1f}" text-anchor="end">{escape(span.label)}</text>'
        + _line(span.late, middle + 6, scale, "late")
        + _line(span.values, middle - 2, scale, f"span{kind}")
        + f'<text class="value{kind}" x="{WIDTH - VALUE + 8}" y="{middle + 4:.1f}">{escape(span.note)}</text>'
    )


def spans(title: str, rows: Sequence[Span]) -> str:
    """The rows on one logarithmic scale of microseconds."""
    scale = LogScale([value for row in rows for value in (*row.values, *row.late)])
    height = GAP + len(rows) * (BAR + GAP) + BAR
    bottom = height - BAR
    grid = "".join(
        f'<path class="grid" d="M{scale.at(value):.1f} 0V{bottom}"/>'
        f'<text class="label" x="{scale.at(value):.1f}" y="{height - 6}" text-anchor="middle">{value:,.0f} us</text>'
        for value in scale.decades()
    )
    drawn = "".join(_span(row, GAP + index * (BAR + GAP), scale) for index, row in enumerate(rows))
    return _svg(title, height, grid + drawn)
