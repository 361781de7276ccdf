"""Which routes, consumers and nodes are told, out of rows of metrics: those that are asked now."""

from fastgw._core import SeriesView
from fastgw.admin.traffic import MOST, Traffic


def row(name: str, *codes: tuple[int, int], slot: int = 0, other: bool = False) -> SeriesView:
    nothing: list[int] = []
    labels = ("", "", "", "", "", "") if other else (name, "", "", "", name, name)
    return SeriesView(slot, other, *labels, list(codes), (nothing, nothing, nothing), 5000, 3000, 0, 0)


def test_rows_of_all_processes_are_added_up() -> None:
    told = Traffic().told([row("a", (200, 7), (404, 2)), row("a", (503, 1), slot=1), row("b", (200, 3))], 1.0)
    expected = {"requests": 10, "responses_4xx": 2, "responses_5xx": 1, "upstream_us": 6000, "request_us": 10_000}
    assert told["routes"][0] == {"route": "a", **expected}
    assert told["consumers"][0] == {"consumer": "a", **expected}
    assert told["nodes"][0] == {"node": "a", **expected}
    assert [each["route"] for each in told["routes"]] == ["a", "b"]


def test_what_found_no_row_is_other_and_nothing_has_no_name() -> None:
    told = Traffic().told([row("", (200, 1)), row("", (200, 2), other=True), row("idle")], 1.0)
    assert [each["route"] for each in told["routes"]] == ["other"]
    assert [each["consumer"] for each in told["consumers"]] == ["other"]
    assert told["nodes"] == []


def test_who_asks_now_comes_before_who_has_asked_most() -> None:
    traffic = Traffic()
    once = [row(f"old{number}", (200, 1_000_000)) for number in range(MOST)]
    names = [each["consumer"] for each in traffic.told([*once, row("new", (200, 5))], 1.0)["consumers"]]
    assert "new" not in names  # nobody knows yet who asks now
    for seconds in (3.0, 9.0, 11.0, 12.5):
        names = [each["consumer"] for each in traffic.told([*once, row("new", (200, 5 + int(seconds)))], seconds)["consumers"]]
        assert names[0] == "new", seconds
        assert len(names) == MOST
    names = [each["consumer"] for each in traffic.told([*once, row("new", (200, 99))], 99.0)["consumers"]]
    assert "new" not in names  # nobody has looked for so long


def test_few_looks_are_kept() -> None:
    traffic = Traffic()
    for tenth in range(1000):
        traffic.told([row("a", (200, tenth + 1))], tenth / 10)
    assert len(traffic._looks) <= 6
