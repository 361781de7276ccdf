"""Each raw answer of the corpus on the core: whole, byte by byte, cut everywhere, with another request behind."""

from __future__ import annotations

import pytest

from tests.wire import cases
from tests.wire.cases import Case
from tests.wire.test_requests import every_way

ANSWERS = cases.load("answers")


@pytest.mark.parametrize("case", ANSWERS, ids=str)
def test_answer(case: Case) -> None:
    every_way(case)
