"""Generated parts of hand-written pages: what stands between two marks is replaced, the rest left alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.process import BenchError


def replace(page: Path, name: str, text: str) -> None:
    """Put `text` between the page's marks of that name."""
    start, end = f"<!-- generated: {name} -->", f"<!-- end: {name} -->"
    found, times = re.subn(
        f"({re.escape(start)}\n).*?({re.escape(end)})",
        lambda m: m[1] + text.strip() + "\n" + m[2],
        page.read_text(),
        flags=re.DOTALL,
    )
    if times != 1:
        raise BenchError(f"{page.name}: expected the marks {start} and {end} once, found them {times} times")
    page.write_text(found)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown; the first column is text, the others are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
