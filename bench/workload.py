"""What `bench.instructions` counts: requests served on memory, one scenario after the other, in C loops.

Owns: the scenarios' configuration, requests and the upstream's answer, which are those of bench/peers/fastgw and bench/origin.
Must not know who counts. Run by itself it serves each scenario for every length of run and says so, one line a run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench import tokens
from fastgw import _core

LENGTHS = (1, 250, 1250)  # requests of a warm-up, and of two runs: what those share cancels in their difference
ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 100\r\nConnection: keep-alive\r\n\r\n" + b"x" * 100
)
EXPIRES = 4102444800  # 2100-01-01: a token whose bytes are the same in every run
FOREVER = 1_000_000_000


@dataclass(frozen=True)
class Scenario:
    """A snapshot, a request for it, and the status of the answer."""

    about: str
    snapshot: Callable[[], _core.Snapshot]
    request: bytes
    status: int
    token_cache: int = 0


def request(path: str = "/bench", token: str = "") -> bytes:
    """As wrk writes it."""
    lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1:9080", *([f"Authorization: Bearer {token}"] if token else [])]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()


def signed(consumer: tokens.Consumer, secret: str = "") -> str:
    return tokens.sign({"key": consumer.key, "exp": EXPIRES}, secret or consumer.secret)


def upstream() -> _core.Upstream:
    pool = _core.Pool("127.0.0.1:1980")
    pool.resolve("127.0.0.1", 1980)
    return _core.Upstream([(pool, 1, 0, b"127.0.0.1:1980")], keepalive_requests=FOREVER)


def _credential(consumer: tokens.Consumer) -> _core.Credential:
    """A consumer that limit-count counts by name, as compile.py builds it."""
    name = consumer.name.encode()
    limit = _core.LimitCountStep(
        b"consumer\0" + name + b"\0limit-count",
        _core.Template("consumer_name", "var"),
        count=consumer.limit,
        window=3600,
        rejected_code=429,
    )
    owner = _core.Consumer(name, _core.Steps([(2, 1002, limit)]))
    secret = _core.SecretKey("HS256", consumer.secret.encode())
    return _core.Credential(owner, consumer.key.encode(), name + b"-jwt", secret=secret)


def guarded() -> _core.Snapshot:
    """One route with jwt-auth; limits on the consumers."""
    plan = _core.Plan(b"bench", _core.Steps([(1, 2510, _core.JwtAuthStep())]), upstream())
    known = [_credential(consumer) for consumer in (tokens.ORDINARY, tokens.LIMITED)]
    return _core.Snapshot([(plan, b"", b"/bench")], {"jwt": known}, _core.Steps([]))


def limited() -> _core.Snapshot:
    """One route without authentication whose requests are counted by the client's address."""
    key = _core.Template("remote_addr", "var")
    limit = _core.LimitCountStep(b"routes/bench\0limit-count", key, count=FOREVER, window=3600, rejected_code=429)
    plan = _core.Plan(b"bench", _core.Steps([(1, 1002, limit)]), upstream())
    return _core.Snapshot([(plan, b"", b"/bench")], {}, _core.Steps([]))


def plain(routes: int = 1) -> _core.Snapshot:
    """Routes without plugins: /bench and as many like it as are asked for."""
    to, none = upstream(), _core.Steps([])
    paths = [b"/bench", *(b"/bench/%d/items" % i for i in range(1, routes))]
    plans = [(_core.Plan(b"bench" if i == 0 else b"bench-%d" % i, none, to), b"", path) for i, path in enumerate(paths)]
    return _core.Snapshot(plans, {}, none)


SCENARIOS: Mapping[str, Scenario] = {
    "jwt-limit": Scenario("token verified, request counted, forwarded", guarded, request(token=signed(tokens.ORDINARY)), 200),
    "jwt-limit, token remembered": Scenario(
        "as jwt-limit, the token verified before", guarded, request(token=signed(tokens.ORDINARY)), 200, token_cache=4096
    ),
    "plain": Scenario("no plugin, forwarded", plain, request(), 200),
    "plain, counted": Scenario("as plain, counted by limit-count; the answer says what is left", limited, request(), 200),
    "401": Scenario("wrong signature", guarded, request(token=signed(tokens.ORDINARY, tokens.ORDINARY.secret[::-1])), 401),
    "429": Scenario("good token, limit used up", guarded, request(token=signed(tokens.LIMITED)), 429),
    "10,000 routes": Scenario("as plain, one of 10,000 routes", lambda: plain(10_000), request("/bench/5000/items"), 200),
}


def wire_for(scenario: Scenario, log: int) -> _core.Wire:
    """A worker's core and one client: connections open, limits used up, buffers grown. Not by `run`, which is counted."""
    wire = _core.Wire(scenario.snapshot(), token_cache=scenario.token_cache)
    wire.access_log(log)
    line = wire.open()
    answer = b""
    for _ in range(tokens.TINY_LIMIT + 2):
        wire.push(line, scenario.request)
        for up, side, _open in wire.lines():
            if side == "up" and wire.pull(up):
                wire.push(up, ANSWER)
        answer = wire.pull(line)
    if not answer.startswith(b"HTTP/1.1 %d " % scenario.status):
        raise SystemExit(f"workload: expected an answer {scenario.status}, found {answer[:40]!r}")
    return wire


def main() -> int:
    log = os.open(os.devnull, os.O_WRONLY)
    for name, scenario in SCENARIOS.items():
        wire = wire_for(scenario, log)
        for length in LENGTHS:
            wire.run(0, scenario.request, ANSWER, length)
            print(f"{length} {name}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
