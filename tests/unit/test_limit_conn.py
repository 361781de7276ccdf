"""limit-conn on memory: how many run at once, who waits, and that every end of a request gives its slot back once."""

import json
import tempfile
from collections.abc import Callable

import pytest

from fastgw import _core
from fastgw.plugins import limit_conn, order
from fastgw.plugins.contract import Env
from fastgw.schema.decode import faults_of
from tests.support.core import OK, chain, snapshot, upstream

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"


class _Env(Env):
    owner = "routes/r"


def steps(**conf: object) -> list[_core.Step]:
    plugin = order.get("limit-conn")
    one = {} if "rules" in conf else {"conn": 1, "burst": 0, "key": "remote_addr"}
    whole = {"default_conn_delay": 0.1, **one, **conf}
    decoded, faults = faults_of(whole, limit_conn.Conf)
    assert plugin is not None
    assert faults == []
    return plugin.provision(decoded, _Env())


class _Global(Env):
    owner = "global_rules/1"


class Scene:
    """A wire over one region whose counts can be looked at."""

    def __init__(
        self, *more: _core.Step, to: _core.Upstream | None = None, limits: dict[str, float] | None = None, **conf: object
    ):
        self.region = _core.Region.create(1024, slots=4)
        self.wire = _core.Wire(snapshot(*steps(**conf), *more, to=to), region=self.region, limits=limits)

    def ask(self, request: bytes = GET, address: str = "192.0.2.1") -> int:
        line = self.wire.open(address)
        self.wire.push(line, request)
        return line

    def up(self) -> int:
        """The newest line to an upstream."""
        return max(i for i, side, _ in self.wire.lines() if side == "up")

    def held(self) -> int:
        return sum(_core._test_held(self.region).values())

    def sent(self) -> int:
        """How many requests went upstream since last asked."""
        return sum(bool(self.wire.pull(i)) for i, side, _ in self.wire.lines() if side == "up")


def test_no_more_than_conn_and_burst_run_at_once() -> None:
    scene = Scene(conn=2, burst=1, default_conn_delay=0.5, rejected_msg="too many")
    lines = [scene.ask() for _ in range(4)]
    assert (scene.sent(), scene.held()) == (2, 3)
    refused = scene.wire.pull(lines[3])
    assert refused.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"\r\nRetry-After: 1\r\n" in refused
    assert refused.endswith(b'\r\n\r\n{"error_msg":"too many"}\n')
    scene.ask(address="192.0.2.2")  # another key
    assert (scene.sent(), scene.held()) == (1, 4)
    scene.wire.push(scene.up(), OK)
    assert scene.held() == 3
    scene.wire.advance(0.6)
    assert scene.sent() == 1


@pytest.mark.parametrize(
    ("conn", "delays"),
    [(1, [0, 1, 2, 3, 4]), (2, [0, 0, 1, 1, 2]), (3, [0, 0, 0, 1, 1])],
)
def test_delays_grow_as_those_of_apisix(conn: int, delays: list[int]) -> None:
    """default_conn_delay times floor((n - 1) / conn), from the first above conn."""
    scene = Scene(conn=conn, burst=9, default_conn_delay=1, only_use_default_delay=True)
    for _ in delays:
        scene.ask()
    assert scene.sent() == delays.count(0)
    scene.wire.advance(0.5)
    for seconds in range(1, 5):
        assert scene.sent() == 0
        scene.wire.advance(1)
        assert scene.sent() == delays.count(seconds)
    assert scene.held() == 5


@pytest.mark.parametrize(("fixed", "wait"), [(False, 2), (True, 1)])
def test_the_delay_follows_what_requests_take(fixed: bool, wait: int) -> None:
    """(usual + seen) / 2 after each request, unless it is to stay; waiting is not counted in."""
    scene = Scene(conn=1, burst=1, default_conn_delay=1, only_use_default_delay=fixed)
    scene.ask()
    scene.wire.advance(3)
    scene.wire.push(scene.up(), OK)
    for _ in range(2):
        scene.ask()
    assert scene.sent() == 1
    for seconds in range(1, 4):
        scene.wire.advance(1)
        assert scene.sent() == (seconds == wait)


def test_a_refusal_behind_it_teaches_no_delay_but_its_own() -> None:
    """A request that never went upstream took its own time, less its delay."""
    limit = _core.LimitCountStep(b"r", _core.Template("all", "constant"), count=1, window=3600)
    scene = Scene(limit, conn=1, burst=1, default_conn_delay=4)
    first = scene.ask()
    scene.ask()
    scene.wire.advance(4)  # the second has waited, is over the other limit, and took no time: 4 becomes 2
    assert scene.held() == 1
    scene.ask()
    scene.wire.advance(1.9)
    assert scene.held() == 2
    scene.wire.advance(0.2)
    assert scene.held() == 1
    scene.wire.reset(first)
    assert scene.held() == 0


def test_in_shadow_it_neither_refuses_nor_delays() -> None:
    """Those it would refuse run without a slot, so that the others are counted as if they were not there."""
    conf = {"conn": 1, "burst": 1, "default_conn_delay": 100}
    with tempfile.TemporaryFile() as log:
        scene = Scene(**conf, _meta={"shadow": True})
        scene.wire.access_log(log.fileno())
        lines = [scene.ask() for _ in range(4)]
        assert (scene.sent(), scene.held()) == (4, 2)
        scene.wire.install(snapshot(*steps(**conf)))
        refused = scene.ask()
        assert scene.wire.pull(refused).startswith(b"HTTP/1.1 503 ")  # the two are held by those that run
        for line in lines:
            scene.wire.reset(line)
        assert (scene.held(), scene.wire.active) == (0, 0)
        scene.wire.access_log(-1)
        log.seek(0)
        logged = [json.loads(line) for line in log]
    assert sorted(line.get("shadow", "") for line in logged) == ["", "", "limit-conn.delayed", *["limit-conn.exceeded"] * 2]
    assert scene.region.metrics()["shadowed_limit"] == 2


def test_the_delay_of_shadow_is_what_requests_take() -> None:
    """None waits, so nothing is taken off."""
    scene = Scene(conn=1, burst=1, default_conn_delay=8, _meta={"shadow": True})
    for _ in range(2):
        scene.ask()
    scene.wire.advance(2)
    for i in [i for i, side, _ in scene.wire.lines() if side == "up"]:
        scene.wire.push(i, OK)
    assert scene.held() == 0
    scene.wire.install(snapshot(*steps(conn=1, burst=1, default_conn_delay=8, only_use_default_delay=True)))
    for _ in range(2):
        scene.ask()
    assert scene.sent() == 3  # two before, and the first of these


# -- every way to end ------------------------------------------------------------------------------


def answered(scene: Scene) -> None:
    scene.ask()
    scene.wire.push(scene.up(), OK)


def answered_piecewise(scene: Scene) -> None:
    scene.ask()
    scene.wire.push(scene.up(), b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
    assert scene.held() == 1
    scene.wire.push(scene.up(), b"cd")


def client_resets(scene: Scene) -> None:
    scene.wire.reset(scene.ask())


def client_ends(scene: Scene) -> None:
    scene.wire.end(scene.ask())
    scene.wire.advance(2)


def client_leaves_in_the_answer(scene: Scene) -> None:
    line = scene.ask()
    scene.wire.push(scene.up(), b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
    scene.wire.reset(line)


def upstream_resets(scene: Scene) -> None:
    scene.ask()
    scene.wire.reset(scene.up())


def upstream_cuts_the_answer(scene: Scene) -> None:
    scene.ask()
    scene.wire.push(scene.up(), b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
    scene.wire.end(scene.up())


def upstream_refuses(scene: Scene) -> None:
    scene.wire.connecting("refused")
    scene.ask()
    scene.wire.connecting("at once")


def upstream_is_silent(scene: Scene) -> None:
    scene.ask()
    scene.wire.advance(61)


def body_never_comes(scene: Scene) -> None:
    scene.ask(POST + b"abc")
    scene.wire.advance(61)


def body_is_bad(scene: Scene) -> None:
    line = scene.ask(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    scene.wire.push(line, b"nonsense\r\n")


def client_leaves_in_its_body(scene: Scene) -> None:
    scene.wire.reset(scene.ask(POST + b"abc"))


ENDS = [
    answered, answered_piecewise, client_resets, client_ends, client_leaves_in_the_answer, upstream_resets,
    upstream_cuts_the_answer, upstream_refuses, upstream_is_silent, body_never_comes, body_is_bad, client_leaves_in_its_body,
]  # fmt: skip


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_every_end_gives_the_slot_back(end: Callable[[Scene], None]) -> None:
    scene = Scene(to=upstream(read=60))
    for _ in range(3):  # with one slot, a lost one would refuse the next
        end(scene)
        assert scene.held() == 0
        assert _core._test_words(scene.region) == []
        assert scene.wire.active == 0


def test_a_later_refusal_gives_the_slot_back() -> None:
    limit = _core.LimitCountStep(b"r", _core.Template("all", "constant"), count=1, window=60)
    scene = Scene(limit)
    answered(scene)
    line = scene.ask()
    assert scene.wire.pull(line).startswith(b"HTTP/1.1 503 ")
    assert scene.held() == 0


def test_one_that_leaves_while_it_waits_gives_its_slot_back_at_once() -> None:
    scene = Scene(conn=1, burst=1, default_conn_delay=10)
    scene.ask()
    waiting = scene.ask()
    assert (scene.sent(), scene.held()) == (1, 2)
    scene.wire.reset(waiting)
    assert scene.held() == 1
    scene.wire.advance(11)
    assert (scene.sent(), scene.held()) == (0, 1)


def test_a_route_and_a_global_rule_count_apart() -> None:
    region = _core.Region.create(1024)
    plugin = order.get("limit-conn")
    decoded, _ = faults_of({"conn": 5, "burst": 0, "default_conn_delay": 1, "key": "remote_addr"}, limit_conn.Conf)
    assert plugin is not None
    everywhere = plugin.provision(decoded, _Global())
    plan = _core.Plan(b"r", chain(*steps(conn=2)), upstream())
    wire = _core.Wire(_core.Snapshot([(plan, b"", b"/*")], {}, chain(*everywhere)), region=region)
    lines = [wire.open() for _ in range(3)]
    for line in lines:
        wire.push(line, GET)
    assert wire.pull(lines[2]).startswith(b"HTTP/1.1 503 ")
    assert sorted(_core._test_held(region).values()) == [2, 2]
    del wire
    assert _core._test_held(region) == {}


@pytest.mark.parametrize(("pass_", "status"), [(False, b"500"), (True, b"200")])
def test_a_ledger_that_is_full_fails_the_limiter(pass_: bool, status: bytes) -> None:
    scene = Scene(conn=1000, burst=0, allow_degradation=pass_)
    for _ in range(64):
        scene.ask()
    assert scene.held() == 64
    line = scene.ask()
    if pass_:
        scene.wire.push(scene.up(), OK)
    got = scene.wire.pull(line)
    assert got[9:12] == status
    if not pass_:
        assert got.endswith(b'{"error_msg":"failed to limit conn"}\n')
    assert scene.held() == 64


def test_wires_of_one_region_count_together() -> None:
    region = _core.Region.create(1024, slots=2)
    one = _core.Wire(snapshot(*steps()), region=region)
    one.push(one.open(), GET)
    two = _core.Wire(snapshot(*steps()), region=region)
    line = two.open()
    two.push(line, GET)
    assert two.pull(line).startswith(b"HTTP/1.1 503 ")
    del one
    line = two.open()
    two.push(line, GET)
    assert two.pull(line) == b""


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"conn": 0}, "conn: expected more than 0, found 0"),
        ({"conn": 2.5}, "conn: expected int or str, found float"),
        ({"conn": None}, "conn: expected int or str, found null"),
        ({"burst": -1}, "burst: expected at least 0, found -1"),
        ({"default_conn_delay": 0}, "default_conn_delay: expected more than 0, found 0"),
        ({"default_conn_delay": 1e9}, "default_conn_delay: expected at most 3600 seconds"),
        ({"policy": "redis"}, 'redis_host: missing; policy "redis" needs it'),
        ({"policy": "redis-sentinel"}, 'policy: expected one of "local", "redis", "redis-cluster", found "redis-sentinel"'),
    ],
)
def test_faults_are_named(conf: dict[str, object], message: str) -> None:
    whole = {"conn": 1, "burst": 0, "default_conn_delay": 1, "key": "remote_addr", **conf}
    assert [str(fault) for fault in faults_of(whole, limit_conn.Conf)[1]] == [message]


def test_it_is_one_limit_or_several() -> None:
    def faults(**conf: object) -> list[str]:
        return [str(fault) for fault in faults_of({"default_conn_delay": 1, **conf}, limit_conn.Conf)[1]]

    rule = {"conn": 1, "burst": 0, "key": "$remote_addr"}
    assert faults(rules=[rule]) == []
    assert faults(conn=1) == [
        "burst: missing; rules would be the other way",
        "key: missing; rules would be the other way",
    ]
    assert faults(rules=[rule], conn=1) == ["conn: expected none beside rules"]
    assert faults(rules=[]) == ["rules: expected at least 1 item, found 0"]
    assert faults(rules=[{"conn": 1, "burst": -1}]) == ["rules[0].burst: expected at least 0, found -1", "rules[0].key: missing"]
    assert faults(rules=[rule] * 7) == ["rules: expected at most 6 items, found 7"]


# -- numbers that depend on the request, and several rules -----------------------------------------


def with_headers(**fields: str) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"GET / HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode()


@pytest.mark.parametrize(
    ("value", "good"),
    [("2", True), ("002", True), ("0", False), ("-1", False), ("1.5", False), ("", False), ("9" * 16, False), ("two", False)],
)
def test_a_number_from_the_request_must_be_one(value: str, good: bool) -> None:
    """What a client makes of a variable may narrow a limit or fail it, never switch it off."""
    scene = Scene(conn="$http_most", burst="${http_more}", default_conn_delay=10)
    line = scene.ask(with_headers(Most=value, More="1"))
    assert scene.held() == good
    if not good:
        assert scene.wire.pull(line).startswith(b"HTTP/1.1 500 ")
        return
    lines = [scene.ask(with_headers(Most=value, More="1")) for _ in range(3)]
    assert scene.held() == 3
    assert [scene.wire.pull(each)[9:12] for each in lines] == [b"", b"", b"503"]


def test_rules_count_apart_and_the_first_that_is_exceeded_refuses() -> None:
    rules = [
        {"conn": 5, "burst": 0, "key": "$remote_addr"},
        {"conn": "$http_most", "burst": 0, "key": "$http_tenant"},
    ]
    scene = Scene(rules=rules)
    tenant = with_headers(Tenant="a", Most="2")
    lines = [scene.ask(tenant) for _ in range(3)]
    assert scene.wire.pull(lines[2]).startswith(b"HTTP/1.1 503 ")
    assert sorted(_core._test_held(scene.region).values()) == [2, 2]  # the third gave back what it had of the first rule
    for request in (with_headers(Most="1"), with_headers(Tenant="a")):  # no key, no number: the second rule is not theirs
        scene.ask(request)
    assert sorted(_core._test_held(scene.region).values()) == [2, 4]
    scene.ask()
    line = scene.ask()
    assert scene.wire.pull(line).startswith(b"HTTP/1.1 503 ")


def test_who_leaves_while_it_waits_leaves_nothing_behind() -> None:
    """A place is free again at once, so whoever comes and goes is limited by nothing: his memory must not wait for the time."""
    scene = Scene(conn=1, burst=1, default_conn_delay=3600)
    scene.ask()
    for _ in range(50):
        scene.wire.reset(scene.ask())
    assert (scene.held(), scene.wire.active) == (1, 1)
