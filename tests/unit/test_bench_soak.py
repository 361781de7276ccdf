"""The verdict of `python -m bench.soak`: what grows is named, what only grew to its size is not."""

from collections.abc import Callable

import pytest

from bench.soak import Sample, mixed, titled, verdict

COUNT = 40
SIZE = 50 * 2**20


def samples(resident: Callable[[int], int], files: Callable[[int], int] = lambda at: 300, there: int = COUNT) -> list[Sample]:
    """One worker and one admin process; the admin process neither grows nor goes."""
    made = []
    for at in range(COUNT):
        held, opened = {"admin (2)": SIZE}, {"admin (2)": 20}
        if at < there:
            held["worker 1 (3)"], opened["worker 1 (3)"] = resident(at), files(at)
        made.append(Sample(at * 100_000, float(at), held, opened))
    return made


def flat(at: int) -> int:
    return SIZE


@pytest.mark.parametrize(
    ("found", "wrong"),
    [
        (samples(flat), []),
        (samples(lambda at: SIZE + min(at, 5) * 2**20), []),
        (samples(lambda at: SIZE + SIZE // 51 * (at >= 20)), []),
        (samples(lambda at: SIZE + at * SIZE // 500), ["worker 1 (3): +3.89% of resident memory"]),
        (samples(lambda at: SIZE if at % 9 else 2 * SIZE), []),
        (samples(flat, lambda at: 300 + at // 10), ["worker 1 (3): 2 more descriptors"]),
        (samples(flat, lambda at: 300 - at // 10), []),
        (samples(flat, there=30), ["worker 1 (3): was not there all the time"]),
    ],
    ids=["flat", "grows to its size", "2 percent", "leaks", "peaks", "descriptors", "fewer descriptors", "replaced"],
)
def test_what_grows_is_named(found: list[Sample], wrong: list[str]) -> None:
    lines, said = verdict(found)
    assert said == wrong
    assert any("admin (2)" in each for each in lines)


def test_requests_are_of_all_kinds() -> None:
    asked = mixed("/bench")
    assert len(asked) == 16
    assert sum(b"Authorization" not in each for each in asked) == 1
    assert sum(each.startswith(b"GET /no/such/route ") for each in asked) == 1


def test_only_processes_of_a_gateway_are_looked_at() -> None:
    assert titled([1, 2**22 + 1]) == {}
