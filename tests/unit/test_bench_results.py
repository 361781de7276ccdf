"""What the bench makes of its figures: medians, paired ratios, targets, filing, comparing, pages. Pure."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from bench import plot, report, results, tables
from bench.compare import compare, compared, judge, words
from bench.results import Result, Row, ScenarioResult, Target, UnknownResultError

SAMPLE = {
    "cpu_us": 10.0, "user_us": 3.0, "system_us": 7.0, "requests_per_second": 100_000.0, "p50_us": 500.0, "p99_us": 900.0,
    "p999_us": 2000.0, "max_us": 3000.0, "busy": 0.99, "others": 0.01, "memory_mib": 12.0, "worker_rss_mib": 30.0,
}  # fmt: skip
LATE = {"late_p50_us": 1.0, "late_p99_us": 20.0, "late_p999_us": 90.0, "late_max_us": 200.0, "capacity": 120_000.0}


def row(*costs: float, peer: str = "fastgw", reference: str = "nginx-plain", **more: float) -> Row:
    return Row(peer, "1.0", [{**SAMPLE, "cpu_us": cost, **more} for cost in costs], reference=reference)


def scenario_result(**rows: Row) -> ScenarioResult:
    named = {name.replace("_", "-"): replace(one, peer=name.replace("_", "-")) for name, one in rows.items()}
    return ScenarioResult("about it", [Target("fastgw", "nginx-plain", 1.0), Target("fastgw", "relay", 1.35)], named)


def latency_result(fastgw_p99: float = 800.0, nginx_p99: float = 1000.0, late: float = 20.0) -> ScenarioResult:
    rows = {
        f"{name} common": row(5, peer=name, reference="nginx-plain common", **{**LATE, "p99_us": p99, "late_p99_us": late})
        for name, p99 in (("fastgw", fastgw_p99), ("nginx-plain", nginx_p99))
    }
    return ScenarioResult("waits", [Target("fastgw common", "nginx-plain common", 1.0, "p99_us")], rows, "p99_us")


def result(scenario: ScenarioResult, commit: str = "aaaa1111", date: str = "2026-01-01 00:00 UTC") -> Result:
    return Result(commit, date, {"cpu": "one"}, {"rounds": "3"}, {"jwt-limit": scenario})


class TestFigures:
    def test_a_ratio_is_paired_within_rounds(self) -> None:
        # The host is twice as slow in round 2: unpaired medians would give 0.5 or 1, each round gives 0.8.
        scenario = scenario_result(fastgw=row(8, 16, 8), nginx_plain=row(10, 20, 10))
        assert scenario.ratio("fastgw", "nginx-plain") == pytest.approx(0.8)

    def test_no_ratio_to_what_was_refused_or_absent(self) -> None:
        refused = replace(row(10), faults=["a good token: expected 200, got 502"])
        scenario = scenario_result(fastgw=row(8), nginx_plain=refused)
        assert scenario.ratio("fastgw", "nginx-plain") is None
        assert scenario.ratio("fastgw", "relay") is None
        assert scenario.ratio("fastgw", "fastgw", "idle_kib") is None
        assert [line[0] for line in tables.lines(scenario)] == ["fastgw"]
        assert any("refused: a good token" in note for note in tables.notes(scenario))

    def test_spread_is_half_the_range_over_the_median(self) -> None:
        assert row(9, 10, 11).spread("cpu_us") == pytest.approx(0.1)


class TestTargets:
    def said(self, scenario: ScenarioResult) -> list[str]:
        return [str(verdict) for verdict in tables.verdicts(scenario)]

    def test_of_cost(self) -> None:
        scenario = scenario_result(fastgw=row(10.04), nginx_plain=row(10), relay=row(5))
        assert self.said(scenario) == [
            "fastgw / nginx-plain: 1.004, target 1.00: MISSED",
            "fastgw / relay: 2.008, target 1.35: MISSED",
        ]
        assert self.said(scenario_result(fastgw=row(10), nginx_plain=row(10)))[0].endswith("1.000, target 1.00: met")

    def test_of_latency(self) -> None:
        assert self.said(latency_result()) == ["fastgw common / nginx-plain common, p99 us: 0.800, target 1.00: met"]

    def test_of_a_figure_itself(self) -> None:
        scenario = replace(
            scenario_result(fastgw=row(1, idle_kib=6.5, changes_per_second=8.0)),
            targets=[
                Target("fastgw", None, 6.0, "idle_kib"),
                Target("fastgw", None, 9.5, "changes_per_second", at_least=True),
                Target("fastgw", None, 45.0, "worker_rss_mib"),
            ],
        )
        assert self.said(scenario) == [
            "fastgw, KiB/idle connection: 6.5, target 6.00: MISSED",
            "fastgw, changes/s: 8.0, target at least 9.50: MISSED",
            "fastgw, worker RSS MiB: 30.0, target 45.00: met",
        ]

    def test_shown_and_not_judged(self) -> None:
        scenario = replace(scenario_result(fastgw=row(1), relay=row(2)), targets=[Target("fastgw", "relay", None)])
        assert self.said(scenario) == ["fastgw / relay: 0.500"]
        assert report.summary(result(scenario)) == []

    def test_what_was_not_measured_is_not_met(self) -> None:
        [verdict, _] = tables.verdicts(scenario_result(fastgw=row(1)))
        assert not verdict.met
        assert str(verdict) == "fastgw / nginx-plain: not measured, target 1.00"


class TestCautions:
    def test_a_disturbed_or_idle_peer_is_marked(self) -> None:
        cautions = tables.cautions(
            scenario_result(fastgw=row(1, busy=0.5, others=0.4), relay=row(1, busy=0.7, others=0.0), nginx_plain=row(1))
        )
        assert len(cautions) == 2
        assert "disturbed" in cautions[0]
        assert "not saturated" in cautions[1]

    def test_an_open_loop_is_not_meant_to_saturate_but_to_be_punctual(self) -> None:
        scenario = latency_result()
        assert tables.cautions(scenario) == []
        [first, _second] = tables.cautions(latency_result(late=500.0))
        assert "generator's own lateness, 500 us" in first

    def test_shared_cores_are_said_once(self) -> None:
        scenario = replace(scenario_result(fastgw=row(1, others=0.5)), conditions={results.SHARED: "all shared"})
        assert tables.cautions(scenario) == []
        assert "cores all shared" in tables.notes(scenario)


class TestColumns:
    def test_what_no_row_has_is_no_column(self) -> None:
        head = tables.header(scenario_result(fastgw=row(1), nginx_plain=row(1)))
        assert head[:4] == ("row", "CPU-us/request", "noise", "x nginx-plain")
        assert "late p99" not in head
        assert "KiB/idle connection" not in head

    def test_what_one_row_has_is_a_column_with_a_gap(self) -> None:
        scenario = scenario_result(fastgw=row(1, idle_kib=4.25), nginx_plain=row(1))
        found = dict(zip(tables.header(scenario), zip(*tables.lines(scenario), strict=True), strict=True))
        assert found["KiB/idle connection"] == ("4.2", "-")

    def test_lateness_stands_beside_its_percentile(self) -> None:
        head = tables.header(latency_result())
        assert head[1:5] == ("p99 us", "noise", "x nginx-plain common", "late p99")
        assert head[head.index("p50 us") + 1] == "late p50"

    def test_references_of_several_drives_have_their_entry_in_common(self) -> None:
        scenario = latency_result()
        scenario.rows["fastgw 50%"] = row(1, reference="nginx-plain 50%", **LATE)
        assert tables.header(scenario)[3] == "x nginx-plain"


class TestFiling:
    def test_what_is_saved_is_what_is_loaded(self, tmp_path: Path) -> None:
        kept = result(scenario_result(fastgw=row(8.25, 9.5), nginx_plain=row(10)))
        kept.scenarios["latency"] = replace(latency_result(), conditions={"connections": "64"})
        path = results.file_result(kept, tmp_path)
        assert path.name == "aaaa1111.json"
        assert results.load(path) == kept

    def test_another_scenario_of_the_same_commit_is_added(self, tmp_path: Path) -> None:
        results.file_result(result(scenario_result(fastgw=row(8))), tmp_path)
        later = result(scenario_result())
        later.scenarios = {"plain": scenario_result(fastgw=row(7))}
        assert set(results.load(results.file_result(later, tmp_path)).scenarios) == {"jwt-limit", "plain"}

    def test_a_result_is_found_by_the_beginning_of_its_commit(self, tmp_path: Path) -> None:
        for commit, date in (("aaaa1111", "2026-01-02"), ("aaab2222", "2026-01-01")):
            results.file_result(result(scenario_result(), commit, date), tmp_path)
        assert results.find("aaab", tmp_path).stem == "aaab2222"
        assert results.latest(tmp_path).stem == "aaaa1111"
        with pytest.raises(UnknownResultError, match="2 results begin with it"):
            results.find("aaa", tmp_path)
        with pytest.raises(UnknownResultError, match="no such result; filed: aaaa1111, aaab2222"):
            results.find("ffff", tmp_path)

    def test_another_format_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "old.json").write_text('{"format": 0}')
        with pytest.raises(UnknownResultError, match="format 0"):
            results.load(tmp_path / "old.json")

    def test_format_1_is_read(self, tmp_path: Path) -> None:
        peer = {"version": "1", "samples": [SAMPLE], "faults": []}
        plain = {"about": "", "targets": {"nginx-plain": 1.0}, "peers": {"fastgw": peer, "nginx-plain": peer}}
        old = {"commit": "a", "date": "d", "machine": {}, "method": {}, "format": 1, "scenarios": {"plain": plain}}
        (tmp_path / "old.json").write_text(json.dumps(old))
        scenario = results.load(tmp_path / "old.json").scenarios["plain"]
        assert [str(verdict) for verdict in tables.verdicts(scenario)] == ["fastgw / nginx-plain: 1.000, target 1.00: met"]


class TestCompare:
    @pytest.mark.parametrize(
        ("after", "noise", "said"),
        [
            (1.01, 0.0, "within noise"),
            (1.10, 0.2, "within noise"),
            (1.10, 0.03, "DEARER"),
            (0.9, 0.03, "cheaper"),
        ],
    )
    def test_a_change_counts_beyond_the_noise(self, after: float, noise: float, said: str) -> None:
        assert judge(1.0, after, noise) == said

    def test_words_fit_the_figure(self) -> None:
        found = [
            words(one)[1] for one in ("cpu_us", "p99_us", "worker_rss_mib", "idle_kib", "change_p50_ms", "changes_per_second")
        ]
        assert found == ["DEARER", "SLOWER", "LARGER", "LARGER", "SLOWER", "more"]

    def test_a_slower_host_is_not_a_regression(self) -> None:
        before = result(scenario_result(fastgw=row(8, 8), nginx_plain=row(10, 10)))
        after = result(scenario_result(fastgw=row(16, 16), nginx_plain=row(20, 20)), "bbbb2222")
        line = next(line for line in compare(before, after).splitlines() if line.startswith("fastgw"))
        assert "+100.0%" in line
        assert line.endswith("within noise")

    def test_every_kind_of_figure_is_compared(self) -> None:
        assert compared(latency_result(), latency_result()) == ["p99_us", "worker_rss_mib", "idle_kib"]
        said = compare(result(latency_result()), result(latency_result(fastgw_p99=2000.0), "bbbb2222"))
        line = next(line for line in said.splitlines() if re.match(r"fastgw common +p99 us", line))
        assert line.endswith("SLOWER")
        assert re.search(r"0\.80 +2\.00 +\+150\.0%", line)

    def test_memory_is_compared_by_itself(self) -> None:
        before = scenario_result(fastgw=row(1), nginx_plain=row(1))
        after = scenario_result(fastgw=row(1, worker_rss_mib=60.0), nginx_plain=row(1))
        line = next(line for line in compare(result(before), result(after)).splitlines() if re.match("fastgw +worker RSS", line))
        assert line.endswith("LARGER")

    def test_other_conditions_are_named(self) -> None:
        before, after = result(scenario_result()), result(scenario_result(), "bbbb2222")
        after.machine = {"cpu": "two"}
        assert "machine differs: cpu: one -> two" in compare(before, after)

    def test_rows_on_one_side_only_are_named(self) -> None:
        before, after = result(scenario_result(fastgw=row(1))), result(scenario_result(relay=row(1)))
        assert "fastgw: not measured on both sides" in compare(before, after)
        assert "relay: not measured on both sides" in compare(before, after)


class TestPages:
    PAGE = result(scenario_result(fastgw=row(8, 9), nginx_plain=row(10, 10)))

    def test_markdown_has_the_table_and_the_verdict(self) -> None:
        page = report.markdown(self.PAGE)
        assert "| fastgw | 8.5 |" in page
        assert "- fastgw / nginx-plain: 0.850, target 1.00: met" in page
        assert "- jwt-limit: fastgw / nginx-plain: 0.850, target 1.00: met" in page

    def test_html_stands_alone(self) -> None:
        both = result(self.PAGE.scenarios["jwt-limit"])
        both.scenarios["latency"] = latency_result()
        page = report.html(both)
        assert page.count("<svg") == 2
        assert page.count('class="late"') > 0
        assert "fastgw / relay: not measured" in page
        without_namespace = page.replace("http://www.w3.org/2000/svg", "")
        assert "http" not in without_namespace
        assert "<script" not in page

    def test_names_are_escaped(self) -> None:
        for scenario in (ScenarioResult("<b>", [], {"<peer>": row(1)}), replace(latency_result(), about="<b>")):
            scenario.rows["<peer>"] = row(1, **LATE)
            page = report.html(result(scenario))
            assert "<b>" not in page
            assert "&lt;peer&gt;" in page

    def test_a_scale_of_decades_holds_all_values(self) -> None:
        scale = plot.LogScale([0.0, 37.0, 42_000.0])
        assert scale.decades() == [10.0, 100.0, 1000.0, 10_000.0, 100_000.0]
        places = [scale.at(value) for value in (0.0, 37.0, 100.0, 42_000.0)]
        assert places == sorted(places)
        assert places[0] == plot.LABEL
        assert places[-1] < plot.WIDTH - plot.VALUE
