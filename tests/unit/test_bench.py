"""The bench's pure parts: tokens, parsing, medians and ratios, filing, what the pages say. No peer is run."""

import json
from dataclasses import replace
from pathlib import Path

import jwt
import pytest

from bench import cli, load, process, report, results, tables, tokens
from bench.compare import compare, judge
from bench.peers import PEERS, REFERENCE
from bench.peers.base import GATEWAY, PROXY, Claim, Place, fill
from bench.peers.nginx_lua.peer import consumers_module
from bench.proof import checks_for
from bench.results import PeerResult, Result, Sample, ScenarioResult, UnknownResultError
from bench.scenarios import SCENARIOS

SAMPLE = Sample(10.0, 3.0, 7.0, 100_000.0, 500.0, 900.0, 2000.0, 0.99, 0.01, 12.0)


def peer_result(*costs: float) -> PeerResult:
    return PeerResult("1.0", [replace(SAMPLE, cpu_us=cost) for cost in costs])


def scenario_result(**peers: PeerResult) -> ScenarioResult:
    named = {name.replace("_", "-"): peer for name, peer in peers.items()}
    return ScenarioResult("about it", {"nginx-plain": 1.0, "relay": 1.35}, named)


def result(scenario: ScenarioResult, commit: str = "aaaa1111", date: str = "2026-01-01 00:00 UTC") -> Result:
    return Result(commit, date, {"cpu": "one"}, {"rounds": "3"}, {"jwt-limit": scenario})


class TestTokens:
    def test_a_good_token_verifies_with_another_implementation(self) -> None:
        claims = jwt.decode(tokens.good(tokens.ORDINARY), tokens.ORDINARY.secret, algorithms=["HS256"])
        assert claims["key"] == tokens.ORDINARY.key

    @pytest.mark.parametrize(
        ("make", "fault"),
        [(tokens.tampered, jwt.InvalidSignatureError), (tokens.expired, jwt.ExpiredSignatureError)],
    )
    def test_a_bad_token_is_bad_in_the_way_it_says(self, make, fault) -> None:
        with pytest.raises(fault):
            jwt.decode(make(tokens.ORDINARY), tokens.ORDINARY.secret, algorithms=["HS256"])


class TestParsing:
    def test_proc_stat_with_a_hostile_name(self) -> None:
        line = "42 (fastgw: (a) 7 b) S 7 42 42 0 -1 0 0 0 0 0 100 200 30 40 20 0 1 0 5"
        parent, cpu = process.parse_stat(line)
        assert parent == 7
        assert cpu.user * process.TICKS == pytest.approx(130)
        assert cpu.system * process.TICKS == pytest.approx(240)

    def test_cpu_adds_and_subtracts(self) -> None:
        used = process.Cpu(3.0, 4.0) - process.Cpu(1.0, 1.0) + process.Cpu(0.5, 0.5)
        assert (used.user, used.system, used.total) == (2.5, 3.5, 6.0)

    def test_wrk_output(self) -> None:
        figures = {
            "requests": 5, "duration_us": 10, "bytes": 500, "connect": 1, "read": 2, "write": 0, "status": 5,
            "timeout": 1, "p50_us": 1, "p99_us": 2, "p999_us": 3, "max_us": 4,
        }  # fmt: skip
        got = load.parse(f"Running 1s test\n  5 requests\n{json.dumps(figures)}\n")
        assert got.requests == 5
        assert got.broken == 4

    def test_wrk_output_without_figures(self) -> None:
        with pytest.raises(process.BenchError, match="unable to connect"):
            load.parse("unable to connect")

    def test_templates_fill_every_name(self, tmp_path: Path) -> None:
        template = tmp_path / "a.conf"
        template.write_text("listen @port@; mail x@y.z; $host")
        assert fill(template, {"port": 1}) == "listen 1; mail x@y.z; $host"
        with pytest.raises(KeyError):
            fill(template, {})


class TestPeersAndScenarios:
    def test_every_scenario_names_known_peers_and_the_reference(self) -> None:
        for scenario in SCENARIOS.values():
            assert set(scenario.peers) <= set(PEERS)
            assert REFERENCE in scenario.peers
            assert set(scenario.targets) <= set(scenario.peers)

    def test_a_plain_proxy_claims_nothing_and_forwards_what_others_refuse(self) -> None:
        refused = SCENARIOS["401"]
        assert PEERS["nginx-plain"].claims_in(refused.job) == PROXY
        assert refused.status_of(PEERS["nginx-plain"]) == 200
        assert refused.status_of(PEERS["fastgw"]) == 401
        assert SCENARIOS["plain"].status_of(PEERS["fastgw"]) == 200

    def test_every_claim_is_proved_both_ways(self) -> None:
        proved = {status for check in checks_for(GATEWAY) for status in check.statuses}
        assert proved == {200, 401, 429}
        assert {status for check in checks_for(frozenset({Claim.JWT})) for status in check.statuses} == {
            200,
            401,
        }
        assert {status for check in checks_for(PROXY) for status in check.statuses} == {200}

    @pytest.mark.parametrize("scenario", ["jwt-limit", "plain"])
    def test_fastgw_config_is_json_with_the_job(self, tmp_path: Path, scenario: str) -> None:
        place = Place(tmp_path, 1001, 1002, 1003, 2)
        command = PEERS["fastgw"].prepare(place, SCENARIOS[scenario].job)
        config = json.loads(Path(command[-1]).read_text())
        route = config["routes"][0]
        assert config["listen"] == ["127.0.0.1:1001"]
        assert config["admin"]["listen"] == "127.0.0.1:1002"
        assert config["workers"] == 2
        assert route["upstream"]["nodes"] == {"127.0.0.1:1003": 1}
        assert bool(route["plugins"]) == bool(config["consumers"]) == (scenario == "jwt-limit")

    def test_consumers_as_a_lua_module(self) -> None:
        module = consumers_module([tokens.LIMITED])
        assert '["bench-limited-key"] = { name = "bench-limited"' in module
        assert "limit = 2 }" in module


class TestFigures:
    def test_a_ratio_is_paired_within_rounds(self) -> None:
        # The host is twice as slow in round 2: unpaired medians would give 0.5 or 1, each round gives 0.8.
        scenario = scenario_result(fastgw=peer_result(8, 16, 8), nginx_plain=peer_result(10, 20, 10))
        assert scenario.ratio("fastgw", "nginx-plain") == pytest.approx(0.8)

    def test_no_ratio_to_what_was_refused_or_absent(self) -> None:
        refused = replace(peer_result(10), faults=["a good token: expected 200, got 502"])
        scenario = scenario_result(fastgw=peer_result(8), nginx_plain=refused)
        assert scenario.ratio("fastgw", "nginx-plain") is None
        assert scenario.ratio("fastgw", "relay") is None
        assert [row[0] for row in tables.rows(scenario)] == ["fastgw"]
        assert any("refused: a good token" in note for note in tables.notes(scenario))

    def test_spread_is_half_the_range_over_the_median(self) -> None:
        assert peer_result(9, 10, 11).spread() == pytest.approx(0.1)

    def test_verdicts(self) -> None:
        scenario = scenario_result(fastgw=peer_result(10), nginx_plain=peer_result(10), relay=peer_result(5))
        said = [str(verdict) for verdict in tables.verdicts(scenario)]
        assert said == [
            "fastgw / nginx-plain: 1.00, target 1.00: met",
            "fastgw / relay: 2.00, target 1.35: MISSED",
        ]

    def test_a_disturbed_or_idle_peer_is_marked(self) -> None:
        disturbed = PeerResult("1", [replace(SAMPLE, busy=0.5, others=0.4)])
        waiting = PeerResult("1", [replace(SAMPLE, busy=0.7, others=0.0)])
        cautions = tables.cautions(scenario_result(fastgw=disturbed, relay=waiting, nginx_plain=peer_result(1)))
        assert len(cautions) == 2
        assert "disturbed" in cautions[0]
        assert "not saturated" in cautions[1]


class TestFiling:
    def test_what_is_saved_is_what_is_loaded(self, tmp_path: Path) -> None:
        kept = result(scenario_result(fastgw=peer_result(8.25, 9.5), nginx_plain=peer_result(10)))
        path = results.file_result(kept, tmp_path)
        assert path.name == "aaaa1111.json"
        assert results.load(path) == kept

    def test_another_scenario_of_the_same_commit_is_added(self, tmp_path: Path) -> None:
        results.file_result(result(scenario_result(fastgw=peer_result(8))), tmp_path)
        later = result(scenario_result())
        later.scenarios = {"plain": scenario_result(fastgw=peer_result(7))}
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

    def test_a_slower_host_is_not_a_regression(self) -> None:
        before = result(scenario_result(fastgw=peer_result(8, 8), nginx_plain=peer_result(10, 10)))
        after = result(scenario_result(fastgw=peer_result(16, 16), nginx_plain=peer_result(20, 20)), "bbbb2222")
        row = next(line for line in compare(before, after).splitlines() if line.startswith("fastgw"))
        assert "+100.0%" in row
        assert row.endswith("within noise")

    def test_other_conditions_are_named(self) -> None:
        before, after = result(scenario_result()), result(scenario_result(), "bbbb2222")
        after.machine = {"cpu": "two"}
        assert "machine differs: cpu: one -> two" in compare(before, after)


class TestPages:
    PAGE = result(scenario_result(fastgw=peer_result(8, 9), nginx_plain=peer_result(10, 10)))

    def test_markdown_has_the_table_and_the_verdict(self) -> None:
        page = report.markdown(self.PAGE)
        assert "| fastgw | 8.5 |" in page
        assert "- fastgw / nginx-plain: 0.85, target 1.00: met" in page

    def test_html_stands_alone(self) -> None:
        page = report.html(self.PAGE)
        assert page.count("<svg") == 1
        assert "fastgw / relay: not measured" in page
        without_namespace = page.replace("http://www.w3.org/2000/svg", "")
        assert "http" not in without_namespace
        assert "<script" not in page

    def test_names_are_escaped(self) -> None:
        page = report.html(result(ScenarioResult("<b>", {}, {"<peer>": peer_result(1)})))
        assert "<b>" not in page
        assert "&lt;peer&gt;" in page


class TestCommandLine:
    def test_run_is_the_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen = {}
        monkeypatch.setattr(cli, "_run", lambda options: seen.update(vars(options)) or 0)
        assert cli.main(["--rounds", "2", "--peers", "relay,nginx-plain"]) == 0
        assert seen["command"] == "run"
        assert seen["rounds"] == 2
        assert seen["peers"] == ["nginx-plain", "relay"]

    @pytest.mark.parametrize("arguments", [["--peers", "apache"], ["--scenario", "x"], ["--rounds", "0"]])
    def test_an_unknown_choice_is_named(self, arguments, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as stop:
            cli.main(arguments)
        assert stop.value.code == 2
        assert repr(arguments[1]) in capsys.readouterr().err

    def test_an_unknown_result_is_one_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["compare", "nothing-like-it", "x"]) == 2
        assert capsys.readouterr().err.startswith("bench: nothing-like-it: no such result")
