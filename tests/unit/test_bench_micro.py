"""What is made of pytest-benchmark's report. The micro benches themselves prove their answers where they run."""

from typing import Any

from bench.micro import table

JOB = "a job"


def one(side: str, median: float, at_most: int | None = None, **more: int) -> dict[str, Any]:
    return {"extra_info": {"job": JOB, "side": side, "at_most": at_most, **more}, "stats": {"median": median}}


def test_a_loop_is_spread_over_its_turns() -> None:
    (row,) = table.rows({"benchmarks": [one("fastgw", 1e-3, loop=10_000), one("slow", 5e-6)]})
    assert row.cells() == [JOB, "100", "", "slow 5,000 ns (50.0 x)"]


def test_what_takes_longer_than_it_may_stands_out() -> None:
    (row,) = table.rows({"benchmarks": [one("fastgw", 41e-9, at_most=40)]})
    assert row.missed
    assert row.cells()[1:3] == ["**41**", "40"]
    (row,) = table.rows({"benchmarks": [one("fastgw", 40e-9, at_most=40)]})
    assert not row.missed
