"""docs/threat-model.md speaks of every rule once, and of tests and groups of cases that there are."""

from __future__ import annotations

import re

from tests.support.processes import ROOT
from tests.wire import cases

RULES = 32
TEXT = (ROOT / "docs" / "threat-model.md").read_text()


def test_each_rule_has_its_row() -> None:
    assert [int(number) for number in re.findall(r"(?m)^\| (\d+) \|", TEXT)] == list(range(1, RULES + 1))


def test_what_shows_a_rule_is_there() -> None:
    named = set(re.findall(r"`(tests/[\w/.]+)`", TEXT))
    assert {path for path in named if not (ROOT / path).exists()} == set()


def test_groups_that_are_named_have_cases() -> None:
    groups = {case.group for case in cases.load("requests")}
    named = {group for list_ in re.findall(r"`tests/wire`: ([a-z, -]+)", TEXT) for group in list_.strip().split(", ")}
    assert named - {"the upstream"} <= groups
    assert groups - named == set()
