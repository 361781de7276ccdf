"""The bench's pure parts: tokens, requests, parsing, scenarios as data, proof, the command line. No peer is run."""

import hashlib
import json
import struct
from dataclasses import replace
from pathlib import Path

import jwt
import pytest

from bench import cli, keypairs, load, process, requests, rounds, tokens
from bench.contestant import Contestant, Rig
from bench.peers import PEERS
from bench.peers.base import GATEWAY, PROXY, Claim, Job, Place, fill
from bench.peers.envoy_jwt.peer import key_of
from bench.peers.nginx_lua.peer import consumers_module
from bench.process import BenchError
from bench.proof import checks_for, described
from bench.requests import Asking
from bench.results import ScenarioResult
from bench.scenarios import SCENARIOS
from bench.scenarios.base import PLAIN, WITH_GATEWAYS, Closed, Open, row_name


class TestTokens:
    def test_a_good_token_verifies_with_another_implementation(self) -> None:
        claims = jwt.decode(tokens.good(tokens.ORDINARY, jti="7"), tokens.ORDINARY.secret, algorithms=["HS256"])
        assert claims["key"] == tokens.ORDINARY.key
        assert claims["jti"] == "7"

    @pytest.mark.parametrize(
        ("make", "fault"),
        [(tokens.tampered, jwt.InvalidSignatureError), (tokens.expired, jwt.ExpiredSignatureError)],
    )
    def test_a_bad_token_is_bad_in_the_way_it_says(self, make, fault) -> None:
        with pytest.raises(fault):
            jwt.decode(make(tokens.ORDINARY), tokens.ORDINARY.secret, algorithms=["HS256"])

    def test_a_crowd_shares_nothing(self) -> None:
        crowd = tokens.crowd(1000)
        for field in ("name", "key", "secret"):
            assert len({getattr(one, field) for one in crowd}) == 1000
        assert {len(one.secret) for one in crowd} == {32}


@pytest.mark.parametrize("algorithm", keypairs.ALGORITHMS)
class TestKeyPairs:
    def one(self, algorithm: str) -> tokens.Consumer:
        return replace(tokens.ORDINARY, algorithm=algorithm)

    def test_a_good_token_verifies_with_another_implementation(self, algorithm: str) -> None:
        """By the public key in both of its forms."""
        one = self.one(algorithm)
        for key in (one.public_pem(), jwt.PyJWK(key_of(one), algorithm=algorithm).key):
            found = jwt.decode_complete(tokens.good(one, jti="7"), key, algorithms=[algorithm])
            assert (found["payload"]["key"], found["payload"]["jti"]) == (one.key, "7")
            assert found["header"]["kid"] == one.key

    def test_a_bad_token_is_bad_in_the_way_it_says(self, algorithm: str) -> None:
        one = self.one(algorithm)
        for make, fault in (
            (tokens.tampered, jwt.InvalidSignatureError),
            (tokens.expired, jwt.ExpiredSignatureError),
            (tokens.confused, jwt.InvalidAlgorithmError),
        ):
            with pytest.raises(fault):
                jwt.decode(make(one), one.public_pem(), algorithms=[algorithm])

    def test_each_consumer_has_a_pair_of_its_own_and_keeps_it(self, algorithm: str) -> None:
        pems = [replace(one, algorithm=algorithm).public_pem() for one in (tokens.ORDINARY, tokens.LIMITED) * 2]
        assert pems[:2] == pems[2:]
        assert pems[0] != pems[1]

    def test_a_key_id_stands_in_the_token_already(self, algorithm: str) -> None:
        one = self.one(algorithm)
        token = tokens.tampered(one)
        assert tokens.with_key_id(token, [one]) == token

    def test_scenarios_verify_each_time_and_remember(self, algorithm: str) -> None:
        cold, cached = SCENARIOS[f"jwt-{algorithm.lower()}"], SCENARIOS[f"jwt-{algorithm.lower()}-cached"]
        assert {entry.job.token_cache for entry in cold.entries} == {0}
        assert {entry.name for entry in cached.entries if entry.job.token_cache} == {"fastgw"}
        for entry in (*cold.entries, *cached.entries):
            assert {one.algorithm for one in entry.job.consumers} == {algorithm}
            assert entry.asking.tokens is not None
            found = set(entry.asking.tokens())
            assert len(found) == (1024 if entry in cold.entries else 1)
            assert {jwt.get_unverified_header(token)["alg"] for token in found} == {algorithm}

    def test_the_public_key_as_a_secret_is_to_be_refused(self, algorithm: str) -> None:
        def refused(job: Job) -> list[str]:
            found = [check.token for check in checks_for(GATEWAY, job) if check.token and check.statuses == (401,)]
            return [token for token in found if token.count(".") == 2 and jwt.get_unverified_header(token)["alg"] == "HS256"]

        assert len(refused(SCENARIOS[f"jwt-{algorithm.lower()}"].entries[0].job)) == 1


class TestRequests:
    def test_one_request_as_bytes(self) -> None:
        [request] = requests.of(PLAIN, Asking(tokens=lambda: ["t"]), str.upper)
        assert request == b"GET /bench HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer T\r\n\r\n"

    def test_bodies_and_connections(self) -> None:
        [request] = requests.of(replace(PLAIN, upload_bytes=5), Asking(keep_alive=False), str)
        head, _, body = request.partition(b"\r\n\r\n")
        assert head.startswith(b"POST /bench ")
        assert b"Connection: close" in head
        assert b"Content-Length: 5" in head
        assert len(body) == 5

    def test_paths_and_tokens_take_turns(self) -> None:
        found = requests.of(replace(PLAIN, routes=3), Asking(tokens=lambda: list("abcdef")), str)
        assert len(found) == 6
        assert [b"/bench/1/item" in one for one in found] == [False, True, False] * 2
        assert sorted(one.partition(b"Bearer ")[2][:1] for one in found) == [b"a", b"b", b"c", b"d", b"e", b"f"]

    def test_letters_follow_from_their_seed(self) -> None:
        assert requests.letters(1000, "a") == requests.letters(1000, "a") != requests.letters(1000, "b")
        assert requests.letters(1000, "a").isalpha()

    def test_the_file_of_the_generators(self) -> None:
        assert requests.packed([b"ab", b""]) == struct.pack("=I", 2) + b"ab" + struct.pack("=I", 0)


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
        with pytest.raises(BenchError, match="unable to connect"):
            load.parse("unable to connect")

    def test_templates_fill_every_name(self, tmp_path: Path) -> None:
        template = tmp_path / "a.conf"
        template.write_text("listen @port@; mail x@y.z; $host")
        assert fill(template, {"port": 1}) == "listen 1; mail x@y.z; $host"
        with pytest.raises(KeyError):
            fill(template, {})


class TestScenarios:
    def test_entries_are_known_peers_under_names_of_their_own(self) -> None:
        for scenario in SCENARIOS.values():
            names = [entry.name for entry in scenario.entries]
            assert {entry.peer for entry in scenario.entries} <= set(PEERS)
            assert len(names) == len(set(names))
            assert "fastgw" in names

    def test_targets_and_references_are_rows(self) -> None:
        for scenario in SCENARIOS.values():
            rows = {row_name(entry.name, drive) for entry in scenario.entries for drive in scenario.drives}
            assert {target.row for target in scenario.targets} <= rows
            assert {target.to for target in scenario.targets if target.to} <= rows
            assert scenario.reference in rows | {entry.name for entry in scenario.entries}

    def test_all_entries_of_a_scenario_have_one_upstream(self) -> None:
        for scenario in SCENARIOS.values():
            assert len({(entry.job.answer_bytes, entry.job.upload_bytes) for entry in scenario.entries}) == 1

    def test_a_plain_proxy_claims_nothing_and_forwards_what_others_refuse(self) -> None:
        refused = SCENARIOS["401"]
        assert PEERS["nginx-plain"].claims_in(WITH_GATEWAYS) == PROXY
        assert refused.status_of(PEERS["nginx-plain"], WITH_GATEWAYS) == 200
        assert refused.status_of(PEERS["fastgw"], WITH_GATEWAYS) == 401
        assert SCENARIOS["plain"].status_of(PEERS["fastgw"], PLAIN) == 200

    def test_tokens_that_miss_the_cache_are_many_more_than_it_holds(self) -> None:
        entry = SCENARIOS["jwt-limit-miss"].entries[0]
        assert entry.asking.tokens is not None
        assert len(set(entry.asking.tokens())) >= 10 * entry.job.token_cache > 0

    def test_rounds_begin_with_another_each_time(self) -> None:
        drives, running = [Closed("a"), Closed("b")], ["x", "y", "z"]
        played = [[(drive.name, one) for drive, one in rounds.order(drives, running, turn)] for turn in range(2)]
        assert played[0] == [("a", "x"), ("a", "y"), ("a", "z"), ("b", "x"), ("b", "y"), ("b", "z")]
        assert played[1] == [("b", "y"), ("b", "z"), ("b", "x"), ("a", "y"), ("a", "z"), ("a", "x")]

    @pytest.mark.parametrize(
        ("cores", "workers", "shared"),
        [
            ([0, 1], 1, ((0,), (1,))),
            ([0, 1], 2, ((0, 1), (0, 1))),
            ([0], 1, ((0,), (0,))),
            ([2, 3, 5, 7], 1, ((2,), (3, 5))),
        ],
    )
    def test_cores_are_shared_out(self, cores, workers, shared) -> None:
        assert rounds.share_cores(cores, workers) == shared


class TestPeers:
    @pytest.mark.parametrize("scenario", ["jwt-limit", "plain"])
    def test_fastgw_config_is_json_with_the_job(self, tmp_path: Path, scenario: str) -> None:
        place = Place(tmp_path, 1001, 1002, 1003, 2)
        command = PEERS["fastgw"].prepare(place, SCENARIOS[scenario].entries[0].job)
        config = json.loads(Path(command[-1]).read_text())
        [route] = config["routes"]
        assert config["listen"] == ["127.0.0.1:1001"]
        assert config["admin"]["listen"] == "127.0.0.1:1002"
        assert config["workers"] == 2
        assert config["upstreams"][0]["nodes"] == {"127.0.0.1:1003": 1}
        assert route["upstream_id"] == config["upstreams"][0]["id"]
        assert bool(route["plugins"]) == bool(config["consumers"]) == (scenario == "jwt-limit")

    def test_fastgw_remembers_tokens_where_the_job_says_so(self, tmp_path: Path) -> None:
        place = Place(tmp_path, 1001, 1002, 1003, 1)
        command = PEERS["fastgw"].prepare(place, replace(WITH_GATEWAYS, token_cache=7))
        assert json.loads(Path(command[-1]).read_text())["token_cache"] == 7

    def test_a_change_is_a_put_of_a_route_that_is_there(self, tmp_path: Path) -> None:
        place, job = Place(tmp_path, 1001, 1002, 1003, 1), replace(PLAIN, routes=3)
        command = PEERS["fastgw"].prepare(place, job)
        config = json.loads(Path(command[-1]).read_text())
        changes = PEERS["fastgw"].changes(place, job)
        assert changes is not None
        assert changes.port == 1002
        assert changes.headers["X-API-KEY"] == config["admin"]["key"]
        path, body = changes.request(4)
        assert path == "/apisix/admin/routes/bench-1"
        route = json.loads(body)
        assert route.pop("desc") == "change 4"
        assert route == config["routes"][1]
        assert PEERS["nginx-plain"].changes(place, job) is None

    def test_consumers_as_a_lua_module(self) -> None:
        module = consumers_module([tokens.LIMITED])
        assert '["bench-limited-key"] = { name = "bench-limited"' in module
        assert "limit = 2 }" in module


class TestProof:
    def test_every_claim_is_proved_both_ways(self) -> None:
        def proved(claims: frozenset[Claim]) -> set[int]:
            return {status for check in checks_for(claims, WITH_GATEWAYS) for status in check.statuses}

        assert proved(GATEWAY) == {200, 401, 429}
        assert proved(frozenset({Claim.JWT})) == {200, 401}
        assert proved(PROXY) == {200}

    def test_consumers_are_limited_each_for_itself(self) -> None:
        job = replace(WITH_GATEWAYS, consumers=(*tokens.crowd(9), tokens.LIMITED, tokens.LIMITED_TOO))
        checks = list(checks_for(GATEWAY, job))
        assert [check.statuses for check in checks if 429 in check.statuses] == [(200, 200, 429, 429)] * 2
        callers = {
            jwt.decode(check.token, options={"verify_signature": False})["key"]
            for check in checks
            if check.statuses[0] == 200 and check.token
        }
        assert {"bench-0-key", "bench-4-key", "bench-8-key", "bench-limited-key", "bench-limited-too-key"} == callers

    def test_routes_from_first_to_last_and_none_beyond(self) -> None:
        checks = {check.path: check.statuses for check in checks_for(PROXY, replace(PLAIN, routes=10))}
        assert checks == {
            "/bench/0/item": (200, 200),
            "/bench/5/item": (200, 200),
            "/bench/9/item": (200, 200),
            "/bench/none": (404,),
        }

    def test_a_body_must_reach_the_upstream(self) -> None:
        [check] = [check for check in checks_for(PROXY, replace(PLAIN, upload_bytes=100)) if check.body]
        assert check.path == "/bench?echo=1"
        assert len(check.body) == 100

    def test_long_bodies_are_named_by_length_and_hash(self) -> None:
        assert described(b"ab") == "b'ab'"
        assert described(b"a" * 300) == f"300 bytes, SHA-256 {hashlib.sha256(b'a' * 300).hexdigest()[:16]}"


class Counting:
    """An upstream that has counted so many, and a program that is what it was."""

    def __init__(self, *counts: int) -> None:
        self._counts = list(counts)

    def settled(self) -> int:
        return self._counts.pop(0)

    def pids(self) -> frozenset[int]:
        return frozenset({1})


class TestCountAtTheUpstream:
    @pytest.mark.parametrize(
        ("status", "forwarded", "sound"),
        [(200, 99, False), (200, 100, True), (200, 164, True), (200, 165, False), (401, 0, True), (401, 1, False)],
    )
    def test_what_was_answered_and_at_most_what_was_on_its_way(self, status: int, forwarded: int, sound: bool) -> None:
        upstream = Counting(1000 + forwarded)
        rig = Rig(upstream, (0,), (1,), 64, 1)
        entry = SCENARIOS["401"].entries[0]
        one = Contestant(entry, PEERS["fastgw"], Place(Path(), 0, 0, 0, 1), upstream, [], status, rig)
        if sound:
            one._check(100, 164, 1000, frozenset({1}))
        else:
            with pytest.raises(BenchError, match=f"{forwarded} requests reached the upstream"):
                one._check(100, 164, 1000, frozenset({1}))

    def test_another_set_of_processes_voids_the_round(self) -> None:
        rig = Rig(Counting(1), (0,), (1,), 64, 1)
        entry = SCENARIOS["401"].entries[0]
        one = Contestant(entry, PEERS["fastgw"], Place(Path(), 0, 0, 0, 1), Counting(), [], 200, rig)
        with pytest.raises(BenchError, match="processes changed"):
            one._check(1, 1, 0, frozenset({1, 2}))

    def test_no_rate_beyond_the_capacity(self) -> None:
        rig = Rig(Counting(), (0,), (1,), 64, 1)
        entry = SCENARIOS["latency"].entries[0]
        one = Contestant(entry, PEERS["fastgw"], Place(Path(), 0, 0, 0, 1), Counting(), [], 200, rig, capacity=99.0)
        with pytest.raises(BenchError, match="100 requests/s are beyond its capacity of 99"):
            one.open(100.0, 0)


class TestCommandLine:
    def test_run_is_the_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen = {}
        monkeypatch.setattr(cli, "_run", lambda options: seen.update(vars(options)) or 0)
        assert cli.main(["--rounds", "2", "--peers", "relay,nginx-plain"]) == 0
        assert seen["command"] == "run"
        assert seen["rounds"] == 2
        assert seen["peers"] == ["nginx-plain", "relay"]

    @pytest.mark.parametrize(
        ("arguments", "rounds_played", "scenarios"),
        [([], 5, ["jwt-limit"]), (["--quick"], 1, list(SCENARIOS)), (["--scenario", "all"], 5, list(SCENARIOS))],
    )
    def test_what_is_played(self, arguments, rounds_played, scenarios, monkeypatch: pytest.MonkeyPatch) -> None:
        played = []

        def play(scenario, entries, plan):
            played.append((scenario.name, plan.rounds))
            return ScenarioResult(scenario.about)

        monkeypatch.setattr(cli, "play", play)
        monkeypatch.setattr(cli, "_absent_tools", list)
        monkeypatch.setattr(cli, "_available", lambda scenario, wanted: list(scenario.entries))
        assert cli.main(arguments) == 0
        assert played == [(name, rounds_played) for name in scenarios]

    @pytest.mark.parametrize("arguments", [["--peers", "apache"], ["--scenario", "x"], ["--rounds", "0"]])
    def test_an_unknown_choice_is_named(self, arguments, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as stop:
            cli.main(arguments)
        assert stop.value.code == 2
        assert repr(arguments[1]) in capsys.readouterr().err

    def test_an_unknown_result_is_one_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["compare", "nothing-like-it", "x"]) == 2
        assert capsys.readouterr().err.startswith("bench: nothing-like-it: no such result")


def test_rates_are_shares_of_a_capacity() -> None:
    shares = {drive.name: (drive.share, drive.capacity_of) for drive in SCENARIOS["latency"].drives if isinstance(drive, Open)}
    assert shares == {"common": (0.7, "nginx-plain"), "50%": (0.5, None), "70%": (0.7, None), "90%": (0.9, None)}


def test_a_job_of_one_route_has_its_path_alone() -> None:
    assert Job(PROXY).paths() == ["/bench"]
    assert len(set(Job(PROXY, routes=10_000).paths())) == 10_000
