"""limit-count on memory: who passes, by numbers and rules that requests have a say in, and what becomes of a request where
nothing can be counted."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw import _core
from fastgw.plugins import limit_count, limit_req, order
from fastgw.plugins.contract import Env, Plugin
from fastgw.schema.decode import faults_of
from tests.oracle.limits import Bucket, Fixed, Sliding
from tests.support.core import OK, snapshot

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class _Env(Env):
    owner = "routes/r"

    def __init__(self, **metadata: object):
        self._metadata, faults = faults_of(metadata, limit_count.Metadata)
        assert faults == []

    def metadata(self, plugin: Plugin) -> object:
        return self._metadata


def steps(env: Env | None = None, **conf: object) -> list[_core.Step]:
    plugin = order.get("limit-count")
    decoded, faults = faults_of(conf, limit_count.Conf)
    assert plugin is not None
    assert faults == []
    return plugin.provision(decoded, env or _Env())


class Scene:
    """One client's line to a gateway that limits it."""

    def __init__(self, *more: _core.Step, region: _core.Region | None = None, env: Env | None = None, **conf: object):
        self.wire = _core.Wire(snapshot(*steps(env, **conf), *more), region=region)
        self.line = self.wire.open()

    def ask(self, request: bytes = GET, answer: bytes = OK) -> bytes:
        """What the client is answered."""
        self.wire.pull(self.line)
        self.wire.push(self.line, request)
        for i, side, _ in self.wire.lines():
            if side == "up" and self.wire.pull(i):
                self.wire.push(i, answer)
        return self.wire.pull(self.line)

    def statuses(self, *requests: bytes) -> list[int]:
        return [int(self.ask(request)[9:12]) for request in requests]


def get(**fields: str) -> bytes:
    """A request with these header fields."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"GET / HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode()


def shown(answer: bytes) -> dict[str, str]:
    """The fields that tell of limits, by their names in lower case; none may be there twice."""
    lines = answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    pairs = [line.lower().partition(": ")[::2] for line in lines if "ratelimit" in line.lower()]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def full_region() -> _core.Region:
    """A table that has no room and makes none, as all of it counts what is held."""
    region = _core.Region.create(16, slots=1)
    holder = _core._TestHolder(region, 0)
    for number in range(16):
        assert holder.take(b"%d" % number, 1) == 1
    return region


@pytest.mark.parametrize("window_type", ["fixed", "sliding", "token-bucket"])
def test_what_cannot_be_counted_is_told_from_what_is_over_the_limit(window_type: str) -> None:
    conf = {"count": 5, "time_window": 60, "window_type": window_type}
    answer = Scene(region=full_region(), rejected_code=429, **conf).ask()
    assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert answer.endswith(b'\r\n\r\n{"error_msg":"failed to limit count"}\n')
    assert b"RateLimit" not in answer
    assert b"Retry-After" not in answer
    scene = Scene(region=full_region(), allow_degradation=True, **conf)
    assert [scene.ask()[:15] for _ in range(9)] == [b"HTTP/1.1 200 OK"] * 9


def test_limit_req_tells_it_too() -> None:
    plugin = order.get("limit-req")
    assert plugin is not None
    for degrades, expected in ((False, b"500"), (True, b"200")):
        conf, faults = faults_of({"rate": 1, "burst": 0, "key": "remote_addr", "allow_degradation": degrades}, limit_req.Conf)
        assert faults == []
        wire = _core.Wire(snapshot(*plugin.provision(conf, _Env())), region=full_region())
        line = wire.open()
        wire.push(line, GET)
        if degrades:
            wire.push(1, OK)
        answer = wire.pull(line)
        assert answer[9:12] == expected
        assert degrades or answer.endswith(b'{"error_msg":"failed to limit req"}\n')


# -- the algorithms are those of their oracles -----------------------------------------------------

pauses = st.one_of(st.just(0.0), st.integers(1, 1500).map(lambda ms: ms / 1000), st.sampled_from([0.9999999, 1.0, 2.0, 7.0]))
arrivals = st.lists(st.tuples(pauses, st.sampled_from("ab")), min_size=1, max_size=40)


def played(arrived: Sequence[tuple[float, str]], oracles: dict[str, Any], **conf: Any) -> None:
    """Requests of two keys that come after these pauses; each passes when its key's oracle says so, and is told what it says."""
    scene = Scene(key="http_who", **conf)
    for pause, who in arrived:
        scene.wire.advance(pause)
        told = oracles[who](scene.wire.now)
        answer = scene.ask(get(Who=who))
        assert int(answer[9:12]) == (200 if told[0] else 503)
        assert shown(answer)["x-ratelimit-remaining"] == str(told[1])


@given(arrivals, st.integers(1, 5), st.integers(1, 4))
def test_a_fixed_window_is_the_oracles(arrived: list[tuple[float, str]], count: int, seconds: int) -> None:
    oracles = {who: Fixed() for who in "ab"}
    told = {who: lambda now, o=o: o.hit(now, count, seconds * 10**9) for who, o in oracles.items()}
    played(arrived, told, count=count, time_window=seconds)


@given(arrivals, st.integers(1, 5), st.integers(1, 4), st.integers(1, 5))
def test_a_token_bucket_is_the_oracles(arrived: list[tuple[float, str]], count: int, seconds: int, burst: int) -> None:
    oracles = {who: Bucket() for who in "ab"}
    told = {who: lambda now, o=o: o.hit(now, count, seconds * 10**9, burst) for who, o in oracles.items()}
    played(arrived, told, count=count, time_window=seconds, window_type="token-bucket", burst=burst)


@given(arrivals, st.integers(1, 5), st.integers(1, 4))
def test_a_sliding_window_is_the_oracles(arrived: list[tuple[float, str]], count: int, seconds: int) -> None:
    oracles = {who: Sliding() for who in "ab"}
    told = {who: lambda now, o=o: o.hit(now, count, seconds * 10**9) for who, o in oracles.items()}
    played(arrived, told, count=count, time_window=seconds, window_type="sliding")


# -- numbers that requests have a say in -----------------------------------------------------------

NO_NUMBERS = ["0", "-1", "+1", "1.5", "1e3", "", "two", "0x10", "9007199254740992", "9" * 30, "1 2", "1,2", "\u0661"]


@pytest.mark.parametrize("value", ["2", "002"])
def test_a_count_from_the_request(value: str) -> None:
    scene = Scene(count="$http_x_quota", time_window=60)
    assert scene.statuses(*[get(**{"X-Quota": value})] * 3) == [200, 200, 503]
    assert shown(scene.ask(get(**{"X-Quota": "9007199254740991"})))["x-ratelimit-limit"] == "9007199254740991"


@pytest.mark.parametrize("value", NO_NUMBERS)
@pytest.mark.parametrize("member", ["count", "time_window"])
def test_what_is_no_number_switches_no_limit_off(member: str, value: str) -> None:
    conf = {"count": 1, "time_window": 60, "rejected_code": 429, member: "${http_x_quota}"}
    scene = Scene(**conf)
    for _ in range(2):
        answer = scene.ask(get(**{"X-Quota": value}))
        assert answer.startswith(b"HTTP/1.1 500 ")
        assert answer.endswith(b'{"error_msg":"failed to limit count"}\n')
    assert scene.statuses(GET) == [500]
    assert Scene(allow_degradation=True, **conf).statuses(*[get(**{"X-Quota": value})] * 3) == [200] * 3


@pytest.mark.parametrize(("value", "status"), [("1", 200), ("500000000", 200), ("2147483648", 500)])
def test_a_window_from_the_request(value: str, status: int) -> None:
    scene = Scene(count=5, time_window="$arg_window")
    answer = scene.ask(b"GET /?window=%b HTTP/1.1\r\nHost: x\r\n\r\n" % value.encode())
    assert int(answer[9:12]) == status
    assert shown(answer).get("x-ratelimit-reset") == (value if status == 200 else None)


def test_what_stands_for_a_value_that_is_not_there() -> None:
    scene = Scene(count="${http_x_quota ?? 2}", time_window="${arg_w??60}", key="k", key_type="constant")
    assert scene.statuses(GET, GET, GET) == [200, 200, 503]
    assert scene.statuses(*[get(**{"X-Quota": "4"})] * 3) == [200, 200, 503]
    assert scene.statuses(get(**{"X-Quota": ""})) == [500]


def test_numbers_may_be_written_as_text() -> None:
    assert Scene(count="2", time_window="60").statuses(GET, GET, GET) == [200, 200, 503]


@pytest.mark.parametrize("window_type", ["fixed", "sliding", "token-bucket"])
def test_each_algorithm_takes_numbers_from_requests(window_type: str) -> None:
    scene = Scene(count="$http_n", time_window="$http_w", window_type=window_type)
    assert scene.statuses(*[get(N="3", W="3600")] * 4) == [200, 200, 200, 503]


# -- several rules ---------------------------------------------------------------------------------

RULES = [
    {"count": 2, "time_window": 60, "key": "$http_tenant"},
    {"count": "$http_most", "time_window": 10, "key": "user:$http_user", "header_prefix": "User"},
]
BOTH = get(Tenant="t", User="u", Most="1")


def test_rules_are_taken_in_their_order_and_the_first_rejection_wins() -> None:
    scene = Scene(rules=RULES, rejected_code=429)
    first, second = scene.ask(BOTH), scene.ask(BOTH)
    assert shown(first) == {
        "x-1-ratelimit-limit": "2",
        "x-1-ratelimit-remaining": "1",
        "x-1-ratelimit-reset": "60",
        "x-user-ratelimit-limit": "1",
        "x-user-ratelimit-remaining": "0",
        "x-user-ratelimit-reset": "10",
    }
    assert (second[9:12], shown(second)["x-1-ratelimit-remaining"]) == (b"429", "0")  # the first one had counted
    assert b"\r\nRetry-After: 10\r\n" in second
    third = scene.ask(get(Tenant="t", User="other", Most="1"))
    assert (third[9:12], sorted(shown(third))[0][:4], len(shown(third))) == (b"429", "x-1-", 3)  # the second was not asked
    assert b"\r\nRetry-After: 60\r\n" in third


def test_a_rule_concerns_only_those_that_have_its_key() -> None:
    scene = Scene(rules=RULES)
    assert scene.statuses(*[get(User="u", Most="9")] * 5) == [200] * 5
    assert scene.statuses(*[get(Tenant="t")] * 3) == [200, 200, 503]  # its count is not asked for either


@pytest.mark.parametrize("degrades", [False, True])
def test_somebody_that_no_rule_concerns(degrades: bool) -> None:
    scene = Scene(rules=RULES, allow_degradation=degrades)
    for _ in range(2):
        answer = scene.ask(GET)
        assert answer[9:12] == (b"200" if degrades else b"500")
        assert degrades or answer.endswith(b'{"error_msg":"failed to limit count"}\n')
        assert shown(answer) == {}
        assert scene.ask(get(User="u", Most="9"))[9:12] == b"200"  # what the one before met is forgotten


@pytest.mark.parametrize(("degrades", "status"), [(False, 500), (True, 200)])
def test_a_rule_whose_count_is_none(degrades: bool, status: int) -> None:
    scene = Scene(rules=RULES, allow_degradation=degrades)
    answer = scene.ask(get(Tenant="t", User="u", Most="0"))
    assert int(answer[9:12]) == status
    assert scene.statuses(get(Tenant="t"), get(Tenant="t")) == [200, 503]  # the rule before had counted


def test_a_rule_without_variables_concerns_everybody() -> None:
    scene = Scene(rules=[{"count": 1, "time_window": 60, "key": "all"}])
    assert scene.statuses(GET, GET) == [200, 503]


def test_an_edited_rule_keeps_what_was_consumed() -> None:
    """Also when it moves: it is known by its key."""
    scene = Scene(rules=[{"count": 3, "time_window": 60, "key": "$http_a"}, {"count": 1, "time_window": 60, "key": "$http_b"}])
    assert scene.statuses(*[get(A="x")] * 4, *[get(B="x")] * 2) == [200, 200, 200, 503, 200, 503]
    scene.wire.install(
        snapshot(
            *steps(rules=[{"count": 1, "time_window": 60, "key": "$http_b"}, {"count": 5, "time_window": 60, "key": "$http_a"}])
        )
    )
    assert scene.statuses(*[get(A="x")] * 3, get(B="x")) == [200, 200, 503, 503]


# -- shadow ----------------------------------------------------------------------------------------


class Logged(Scene):
    """A scene whose access log can be read, with the counters of its region."""

    def __init__(self, file: Any, *more: _core.Step, **conf: Any):
        self.region = _core.Region.create(1024)
        super().__init__(*more, region=self.region, **conf)
        self.file = file
        self.wire.access_log(file.fileno())

    def logged(self) -> list[dict[str, Any]]:
        self.wire.access_log(-1)
        self.file.seek(0)
        return [json.loads(line) for line in self.file]


@pytest.fixture
def log(tmp_path: Any) -> Any:
    with (tmp_path / "access.log").open("w+") as file:
        yield file


def test_in_shadow_it_counts_and_tells_the_log(log: Any) -> None:
    scene = Logged(log, count=2, time_window=60, _meta={"shadow": True})
    answers = [scene.ask() for _ in range(4)]
    assert [answer[9:12] for answer in answers] == [b"200"] * 4
    assert not any(b"RateLimit" in answer or b"Retry-After" in answer for answer in answers)
    lines = scene.logged()
    assert [line.get("shadow") for line in lines] == [None, None, "limit-count.exceeded", "limit-count.exceeded"]
    assert not any("refused" in line for line in lines)
    metrics = scene.region.metrics()
    assert (metrics["shadowed_limit"], metrics["refused_limit"]) == (2, 0)


def test_out_of_shadow_it_goes_on_with_what_it_has_counted() -> None:
    scene = Scene(count=2, time_window=60, _meta={"shadow": True})
    assert scene.statuses(GET, GET, GET) == [200] * 3
    scene.wire.install(snapshot(*steps(count=2, time_window=60)))
    assert scene.statuses(GET) == [503]


def test_in_shadow_no_failure_reaches_anybody(log: Any) -> None:
    scene = Logged(log, count="$http_n", time_window=60, _meta={"shadow": True})
    assert scene.statuses(GET, get(N="0"), get(N="1"), get(N="1")) == [200] * 4
    assert [line.get("shadow") for line in scene.logged()] == [
        "limit-count.failed",
        "limit-count.failed",
        None,
        "limit-count.exceeded",
    ]
    assert scene.region.metrics()["limit_failures"] == 2


def test_behind_a_shadow_a_limit_still_refuses(log: Any) -> None:
    behind = _core.LimitCountStep(b"behind", _core.Template("all", "constant"), count=2, window=60)
    scene = Logged(log, behind, count=1, time_window=60, _meta={"shadow": True})
    assert scene.statuses(GET, GET, GET) == [200, 200, 503]
    last = scene.logged()[-1]
    assert (last["shadow"], last["refused"]) == ("limit-count.exceeded", "limit-count.exceeded")
    metrics = scene.region.metrics()
    assert (metrics["shadowed_limit"], metrics["refused_limit"]) == (2, 1)


# -- what is written -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("conf", "faults"),
    [
        (
            {"count": "ten", "time_window": 1},
            ["count: expected a whole number from 1 to 9007199254740991, or text with $variables that gives one"],
        ),
        (
            {"count": "0", "time_window": 1},
            ["count: expected a whole number from 1 to 9007199254740991, or text with $variables that gives one"],
        ),
        (
            {"count": 1, "time_window": "1.5"},
            ["time_window: expected a whole number from 1 to 2147483647, or text with $variables that gives one"],
        ),
        (
            {"rules": [{"count": 1, "time_window": 1, "key": "$uri"}, {"count": 2, "time_window": 1, "key": "$uri"}]},
            ["rules[1].key: expected another key for each rule, found $uri again"],
        ),
        (
            {"rules": [{"count": 1, "time_window": 1, "key": "k"}], "count": 1},
            ["rules: expected none beside count and time_window"],
        ),
        ({"count": 1, "time_window": 1, "shadow": True}, ["shadow: expected in _meta"]),
    ],
)
def test_faults_are_named(conf: dict[str, object], faults: list[str]) -> None:
    assert [str(fault) for fault in faults_of(conf, limit_count.Conf)[1]] == faults
