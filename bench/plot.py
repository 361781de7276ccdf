"""A horizontal bar chart in SVG, drawn by hand so that the report needs nothing from elsewhere. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 760
LABEL = 130
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
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}" '
        f'xmlns="http://www.w3.org/2000/svg"><title>{escape(title)}</title>{drawn}</svg>'
    )
