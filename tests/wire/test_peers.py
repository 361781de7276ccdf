"""What nginx and HAProxy make of the same bytes is what is filed, and docs/threat-model.md counts each difference."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.support.processes import ROOT
from tests.wire import peers

ROUNDS = 3  # some outcomes are not the same each time; the filed one comes up


@pytest.mark.parametrize("name", peers.NAMES)
def test_the_table_is_what_the_peer_does(name: str, tmp_path: Path) -> None:
    table, installed = peers.filed(name), peers.version(name)
    if installed != table.version:
        pytest.skip(f"filed is version {table.version}, installed is {installed}: they need not do the same")
    left = peers.requests()
    for _ in range(ROUNDS):
        outcomes = zip(left, peers.ask(name, tmp_path, left), strict=True)
        wrong = [(case, str(outcome)) for case, outcome in outcomes if not table.has(case, outcome)]
        left = [case for case, _ in wrong]
    assert not wrong, "\n".join(f"{case}: {outcome}" for case, outcome in wrong)


def test_the_table_has_no_other_cases() -> None:
    known = {str(case) for case in peers.requests()}
    assert {name: set(peers.filed(name).rows) - known for name in peers.NAMES} == {name: set() for name in peers.NAMES}


def test_the_threat_model_counts_the_differences() -> None:
    """Its table has a row for each group of cases, and in it how many each peer accepts, refuses, or passes on otherwise."""
    found: dict[str, list[int]] = {}
    for name in peers.NAMES:
        table = peers.filed(name)
        kinds = Counter((case.group, table.kind(case)) for case in peers.requests())
        for group in sorted({case.group for case in peers.requests()}):
            found.setdefault(group, []).extend(kinds[group, kind] for kind in ("accepts", "refuses", "otherwise"))
    rows = re.findall(r"(?m)^\| `([a-z-]+)` \|((?: \d+ \|){6})$", (ROOT / "docs" / "threat-model.md").read_text())
    assert {group: [int(count) for count in re.findall(r"\d+", counts)] for group, counts in rows} == found
