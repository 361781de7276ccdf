"""Any sequence of changes leads to what its outcome alone leads to: the compiler that makes only what a change touches, beside
one that makes everything again at every change, and beside one that is given the final state at once."""

from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from fastgw import _core
from fastgw.compile import Build, Compiler
from fastgw.tokens import make
from tests.oracle.compile import PlainCompiler

SECRET = "a-secret-for-tests-only-0123456789"
TOKENS = {key: make({"key": key}, SECRET.encode(), "HS256") for key in ("k0", "k1")}
REQUESTS = [
    (host, path, key)
    for host, path in (("other", "/a"), ("other", "/ab"), ("h.test", "/a"), ("x.h.test", "/b"), ("other", "/none"))
    for key in (None, "k0", "k1")
]


class Change(NamedTuple):
    kind: str
    id: str
    value: dict[str, Any] | None
    created: int = 0


# -- objects, of few ids, so that they meet -------------------------------------------------------------


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object that has any of these members."""
    return st.fixed_dictionaries({}, optional=fields)


ids = {
    "routes": ["r0", "r1", "r2", "r3"],
    "services": ["s0", "s1"],
    "upstreams": ["u0", "u1"],
    "plugin_configs": ["p0"],
    "consumers": ["c0", "c1"],
    "credentials": ["c0/x", "c0/y", "c1/x"],
    "consumer_groups": ["g0"],
    "global_rules": ["a", "b"],
    "plugin_metadata": ["limit-count"],
}
perhaps_off = st.sampled_from([{}, {}, {"_meta": {"disable": True}}])
limits = st.builds(
    lambda n, meta: {"count": 100 + n, "time_window": 60, "key_type": "constant", "key": "k", **meta},
    st.integers(1, 9),
    perhaps_off,
)
jwt_keys = st.builds(lambda key, meta: {"key": key, "secret": SECRET, **meta}, st.sampled_from(["k0", "k1"]), perhaps_off)
upstreams = st.integers(1, 3).map(
    lambda n: {"type": "roundrobin", "nodes": {f"192.0.2.{n}:80": 1}, "pass_host": "node", "scheme": "http"}
)
bad_upstream = {"nodes": {"192.0.2.9:80": 1}, "scheme": "kafka"}  # decodes, but does not compile
plain_plugins = some(**{"limit-count": limits, "no-such-plugin": st.just({})})
route_plugins = some(
    **{"limit-count": limits, "jwt-auth": st.sampled_from([{}, {"anonymous_consumer": "c0"}, {"anonymous_consumer": "c1"}])}
)
values: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "routes": st.one_of(
        st.builds(
            lambda uri, rest: {"uri": uri, **rest},
            st.sampled_from(["/a", "/a*", "/%61", "/b", "/*"]),
            some(
                host=st.sampled_from(["h.test", "*.h.test"]),
                priority=st.integers(0, 1),
                service_id=st.sampled_from(["s0", "s1"]),
                plugin_config_id=st.just("p0"),
                upstream_id=st.sampled_from(["u0", "u1"]),
                upstream=upstreams,
                plugins=route_plugins,
                status=st.sampled_from([0, 1]),
            ),
        ),
        st.just({"uri": 5}),
    ),
    "services": some(
        plugins=route_plugins,
        upstream=st.one_of(upstreams, st.just(bad_upstream)),
        upstream_id=st.sampled_from(["u0", "u1"]),
        hosts=st.just(["h.test"]),
    ),
    "upstreams": st.one_of(upstreams, st.just(bad_upstream)),
    "plugin_configs": st.builds(lambda plugins: {"plugins": plugins}, route_plugins),
    "consumers": some(
        group_id=st.just("g0"),
        labels=st.sampled_from([{"custom_id": "one"}, {"custom_id": "two"}]),
        plugins=some(**{"limit-count": limits, "jwt-auth": jwt_keys}),
    ),
    "credentials": st.builds(lambda conf: {"plugins": {"jwt-auth": conf}}, st.one_of(jwt_keys, st.just({"secret": "no key"}))),
    "consumer_groups": st.builds(lambda plugins: {"plugins": plugins}, plain_plugins),
    "global_rules": st.builds(lambda plugins: {"plugins": plugins}, some(**{"limit-count": limits})),
    "plugin_metadata": some(limit_header=st.sampled_from(["X-One", "X-Two"])),
}


@st.composite
def changes(draw: st.DrawFn) -> Change:
    kind = draw(st.sampled_from(["routes", "routes", "credentials", *ids]))
    id_ = draw(st.sampled_from(ids[kind]))
    if draw(st.integers(0, 3)) == 0:
        return Change(kind, id_, None)
    name = {"username": id_} if kind == "consumers" else {"id": id_.rpartition("/")[2]}
    return Change(kind, id_, {**name, **draw(values[kind])})


scripts = st.lists(st.lists(changes(), min_size=1, max_size=4), min_size=1, max_size=10)


class Times:
    """Gives each change the revision at which its object was made, as the store does."""

    def __init__(self) -> None:
        self._now = 0
        self._made: dict[tuple[str, str], int] = {}

    def stamp(self, change: Change) -> Change:
        self._now += 1
        key = (change.kind, change.id)
        if change.value is None:
            self._made.pop(key, None)
            return change
        return change._replace(created=self._made.setdefault(key, self._now))


# -- what is seen of a state ----------------------------------------------------------------------------


def seen(build: Build) -> list[tuple[Any, ...]]:
    """Of each request: the answer's status and headers, and what went upstream."""
    answers = []
    wire = _core.Wire(build.snapshot)
    for host, path, key in REQUESTS:
        line = wire.open()
        token = "" if key is None else f"Authorization: {TOKENS[key]}\r\n"
        wire.push(line, f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{token}\r\n".encode())
        up = max((number for number, side, _ in wire.lines() if side == "up"), default=None)
        sent = wire.pull(up) if up is not None else b""
        if sent and up is not None:
            wire.push(up, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        head = wire.pull(line).split(b"\r\n\r\n")[0].split(b"\r\n")
        # What is left of a limit is no matter of the configuration.
        told = [field for field in head if not field.startswith((b"Date", b"X-RateLimit-Remaining", b"X-RateLimit-Reset"))]
        answers.append((told, sent.split(b"\r\n")))
    return answers


@settings(max_examples=300, deadline=None)
@given(scripts)
def test_what_a_change_touches_is_what_it_changes(script: list[list[Change]]) -> None:
    times, compiler, plain = Times(), Compiler(), PlainCompiler()
    builds: list[tuple[Build, list[tuple[Any, ...]]]] = []
    for batch in script:
        stamped = [times.stamp(change) for change in batch]
        build, wanted = compiler.apply(stamped), plain.apply(stamped)
        assert sorted(build.faults) == sorted(wanted.faults)
        answers = seen(wanted)
        assert seen(build) == answers
        builds.append((build, answers))
    for build, answers in builds:
        assert seen(build) == answers, "a later change shows in a snapshot"


@settings(max_examples=300, deadline=None)
@given(scripts, st.randoms(use_true_random=False))
def test_the_way_to_a_sound_state_leaves_no_trace(script: list[list[Change]], chance: Any) -> None:
    """Whatever was broken on the way, in whatever order a later worker reads what is left."""
    times, compiler = Times(), Compiler()
    final: dict[tuple[str, str], Change] = {}
    for batch in script:
        stamped = [times.stamp(change) for change in batch]
        build = compiler.apply(stamped)
        for change in stamped:
            final.pop((change.kind, change.id), None)
            if change.value is not None:
                final[change.kind, change.id] = change
    rest = list(final.values())
    chance.shuffle(rest)
    fresh = Compiler().apply(rest)
    if not fresh.faults:
        assert build.faults == ()
        assert seen(build) == seen(fresh)


def test_reset_forgets_all_but_pools() -> None:
    upstream = {"type": "roundrobin", "nodes": {"192.0.2.1:80": 1}}
    route = Change("routes", "r", {"id": "r", "uri": "/a", "upstream": upstream}, 1)
    other = Change("routes", "o", {"id": "o", "uri": "/b", "upstream": upstream}, 2)
    compiler = Compiler()
    first = compiler.apply([route, other])
    compiler.reset()
    second = compiler.apply([other])
    assert [_core._test_route(build.snapshot, b"h", b"/a") for build in (first, second)] == [b"r", None]
    assert [_core._test_route(build.snapshot, b"h", b"/b") for build in (first, second)] == [b"o", b"o"]
