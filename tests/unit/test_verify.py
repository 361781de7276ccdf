"""Signatures that threads judge: who waits meanwhile and who does not, and that no answer differs for it."""

import gc
import json
import os
import threading
from collections.abc import Callable, Iterator

import pytest

from fastgw import _core
from tests.support.core import OK, _b64, chain, shown, upstream
from tests.support.waiting import until

MOST = 1024  # VERIFY_MOST in native/verify.pxd
HEAD = b"eyJhbGciOiJFUzUxMiJ9."  # {"alg":"ES512"}
GOOD = b"R29vZA"  # "Good"
PAYLOAD = b"eyJrZXkiOiJqb2huLWtleSIsIm4iOiI"  # {"key":"john-key","n":"


def token(number: int = 0, signature: bytes = GOOD, **more: int) -> bytes:
    payload = json.dumps({"key": "john-key", "n": number, **more}).encode()
    return HEAD + _b64(payload) + b"." + signature


class Slow:
    """A key that judges a signature when it is told to; good are those that say so."""

    def __init__(self, *, quick: bool = False, goes: bool = False) -> None:
        self.asked: list[bytes] = []
        self.threads: set[int] = set()
        self.go = threading.Event()
        if goes:
            self.go.set()
        self.key = _core.SecretKey("ES512", verifier=self.judge, quick=quick)

    def judge(self, signed: bytes, signature: bytes) -> bool:
        self.asked.append(signed)
        self.threads.add(threading.get_ident())
        if not self.go.wait(60):
            raise AssertionError("the test never let the signature be judged")
        return signature == b"Good"


class Bench:
    """A core with one slow key, and its access log."""

    def __init__(self, slow: Slow, *, threads: int = 2, tokens: int = 64, **step: object) -> None:
        self.slow = slow
        self.region = _core.Region.create(1024)
        self.log = os.memfd_create("log")
        self.wire = _core.Wire(self.snapshot(**step), region=self.region, token_cache=tokens, verify_threads=threads)
        self.wire.access_log(self.log)

    def snapshot(self, credentials: list[_core.Credential] | None = None, **step: object) -> _core.Snapshot:
        slow = _core.Plan(b"slow", chain(_core.JwtAuthStep(**step)), upstream())
        plain = _core.Plan(b"plain", chain(), upstream())
        if credentials is None:
            credentials = [_core.Credential(_core.Consumer(b"john", chain()), b"john-key", b"c", secret=self.slow.key)]
        return _core.Snapshot([(slow, b"", b"/slow"), (plain, b"", b"/plain")], {"jwt": credentials}, chain())

    def ask(self, text: bytes, line: int | None = None, path: bytes = b"/slow") -> int:
        line = self.wire.open() if line is None else line
        self.wire.push(line, b"GET %b HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %b\r\n\r\n" % (path, text))
        return line

    def settle(self) -> None:
        until(lambda: self.wire.verified(0.05) == 0, "all signatures are judged")

    def statuses(self) -> list[int]:
        """Of those that were refused, or passed and were answered by the upstream, in the log's order."""
        for line, side, is_open in self.wire.lines():
            if side == "up" and is_open and self.wire.pull(line):
                self.wire.push(line, OK)
        self.wire.advance(0)
        return [entry["status"] for entry in self.entries()]

    def entries(self) -> list[dict[str, object]]:
        self.wire.access_log(-1)
        self.wire.access_log(self.log)
        return [json.loads(line) for line in os.pread(self.log, 1 << 24, 0).splitlines()]

    def refusals(self) -> list[object]:
        return [entry.get("refused") for entry in self.entries()]


@pytest.fixture
def slow() -> Iterator[Slow]:
    made = Slow()
    yield made
    made.go.set()


@pytest.fixture
def bench(slow: Slow) -> Iterator[Bench]:
    made = Bench(slow)
    yield made
    slow.go.set()


def answered(bench: Bench, line: int) -> int | None:
    """The status of the answer that a client has got."""
    got = bench.wire.pull(line)
    return int(got[9:12]) if got else None


def test_others_are_served_meanwhile(bench: Bench, slow: Slow) -> None:
    waiting = bench.ask(token())
    assert answered(bench, waiting) is None
    plain = bench.wire.open()
    bench.wire.push(plain, b"GET /plain HTTP/1.1\r\nHost: h\r\n\r\n")
    assert bench.statuses() == [200]
    assert answered(bench, plain) == 200
    assert answered(bench, waiting) is None
    slow.go.set()
    bench.settle()
    assert bench.statuses() == [200, 200]
    assert answered(bench, waiting) == 200
    assert threading.get_ident() not in slow.threads


@pytest.mark.parametrize("anonymous", [False, True])
def test_a_bad_one_is_refused(slow: Slow, anonymous: bool) -> None:
    nobody = _core.Credential(_core.Consumer(b"nobody", chain()), b"", b"")
    bench = Bench(slow, anonymous=nobody if anonymous else None)
    slow.go.set()
    line = bench.ask(token(signature=b"QmFk"))
    bench.settle()
    assert bench.statuses() == [200 if anonymous else 401]
    assert bench.entries()[0].get("consumer") == ("nobody" if anonymous else None)
    if not anonymous:
        got = bench.wire.pull(line)
        assert b'WWW-Authenticate: Bearer realm="jwt"\r\n' in got
        assert got.endswith(b'{"message":"failed to verify jwt"}\n')
        assert bench.refusals() == ["jwt.bad_signature"]


def test_a_good_one_is_remembered_and_counted_once(bench: Bench, slow: Slow) -> None:
    slow.go.set()
    bench.ask(token())
    bench.settle()
    bench.ask(token())
    assert bench.statuses() == [200, 200]
    assert len(slow.asked) == 1
    metrics = bench.region.metrics()
    assert (metrics["token_cache_hits"], metrics["token_cache_misses"]) == (1, 1)


def test_one_token_many_times_at_once_is_judged_once(bench: Bench, slow: Slow) -> None:
    lines = [bench.ask(token()) for _ in range(50)]
    other = bench.ask(token(1))
    slow.go.set()
    bench.settle()
    assert bench.statuses() == [200] * 51
    assert [answered(bench, line) for line in [*lines, other]] == [200] * 51
    assert len(slow.asked) == 2


def test_the_same_token_with_another_signature_is_another(bench: Bench, slow: Slow) -> None:
    good, bad = bench.ask(token()), bench.ask(token(signature=b"QmFk"))
    longer = bench.ask(token(signature=GOOD + b"Rw"))
    slow.go.set()
    bench.settle()
    bench.statuses()
    assert [answered(bench, line) for line in (good, bad, longer)] == [200, 401, 401]


def test_beyond_the_bound_it_says_so(bench: Bench, slow: Slow) -> None:
    remembered = token(MOST + 7)
    slow.go.set()
    bench.ask(remembered)
    bench.settle()
    bench.statuses()
    slow.go.clear()
    waiting = [bench.ask(token(number)) for number in range(MOST)]
    got = bench.wire.pull(bench.ask(token(MOST)))
    assert got.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"Retry-After: 1\r\n" in got
    assert b"WWW-Authenticate" not in got
    shared = bench.ask(token(0))  # is being judged already
    bench.ask(remembered)  # needs no judging
    assert bench.statuses() == [200, 503, 200]
    assert bench.refusals()[1] == "jwt.busy"
    slow.go.set()
    bench.settle()
    bench.statuses()
    assert [answered(bench, line) for line in [*waiting, shared]] == [200] * (MOST + 1)
    assert bench.wire.active == 0


def test_the_anonymous_consumer_does_not_stand_in_for_a_busy_gateway(slow: Slow) -> None:
    nobody = _core.Credential(_core.Consumer(b"nobody", chain()), b"", b"")
    bench = Bench(slow, anonymous=nobody)
    for number in range(MOST):
        bench.ask(token(number))
    assert answered(bench, bench.ask(token(MOST))) == 503
    slow.go.set()
    bench.settle()


@pytest.mark.parametrize("leave", [lambda wire, line: wire.reset(line), lambda wire, line: wire.breaks(line)])
def test_a_client_that_leaves_meanwhile(bench: Bench, slow: Slow, leave: Callable[[_core.Wire, int], None]) -> None:
    lines = [bench.ask(token(number % 3)) for number in range(9)]
    for line in lines[::2]:
        leave(bench.wire, line)
    slow.go.set()
    bench.settle()
    bench.statuses()
    assert [answered(bench, line) for line in lines[1::2]] == [200] * 4
    assert bench.wire.active == 0


def test_the_configuration_it_began_on_decides(bench: Bench, slow: Slow) -> None:
    """Also when nothing else keeps that alive: neither the snapshot, nor the credential, nor the key."""
    line = bench.ask(token())
    bench.wire.install(bench.snapshot([]))
    bench.wire.advance(1)
    slow.key = _core.SecretKey("ES512", verifier=lambda *_: False)
    gc.collect()
    slow.go.set()
    bench.settle()
    assert bench.statuses() == [200]
    assert answered(bench, line) == 200
    assert answered(bench, bench.ask(token())) == 401
    assert bench.refusals()[1] == "jwt.unknown_key"


def test_times_are_judged_when_the_answer_is_there(bench: Bench, slow: Slow) -> None:
    bench.wire.wall = 1_700_000_000
    line = bench.ask(token(exp=1_700_000_010))
    bench.wire.advance(10)
    slow.go.set()
    bench.settle()
    assert answered(bench, line) == 401
    assert bench.refusals() == ["jwt.expired"]


def test_an_answer_is_of_one_token_only(slow: Slow) -> None:
    """Two steps that look in different places, and one key: the second token must be judged by itself."""
    bench = Bench(slow)
    credential = _core.Credential(_core.Consumer(b"john", chain()), b"john-key", b"c", secret=slow.key)
    steps = _core.Steps([(1, 2, _core.JwtAuthStep(header="x-one")), (1, 1, _core.JwtAuthStep(header="x-two"))])
    bench.wire.install(_core.Snapshot([(_core.Plan(b"r", steps, upstream()), b"", b"/*")], {"jwt": [credential]}, chain()))
    slow.go.set()
    request = b"GET / HTTP/1.1\r\nHost: h\r\nX-One: %b\r\nX-Two: %b\r\n\r\n"
    pairs = [(token(1), token(2)), (token(3), token(3, b"QmFk")), (token(4, b"QmFk"), token(4)), (token(5), token(5))]
    for one, two in pairs:
        bench.wire.push(bench.wire.open(), request % (one, two))
    bench.settle()
    bench.statuses()
    assert sorted(entry["status"] for entry in bench.entries()) == [200, 200, 401, 401]


def test_who_waits_again_and_again_is_judged_at_once_in_the_end(slow: Slow) -> None:
    """Many steps, each with a token of its own: all are judged, on the loop at last."""
    bench, count = Bench(slow, tokens=0), 9
    credential = _core.Credential(_core.Consumer(b"john", chain()), b"john-key", b"c", secret=slow.key)
    steps = _core.Steps([(1, -number, _core.JwtAuthStep(header=f"x-{number}")) for number in range(count)])
    bench.wire.install(_core.Snapshot([(_core.Plan(b"r", steps, upstream()), b"", b"/*")], {"jwt": [credential]}, chain()))
    slow.go.set()
    fields = b"".join(b"X-%d: %b\r\n" % (number, token(number)) for number in range(count))
    bench.wire.push(bench.wire.open(), b"GET / HTTP/1.1\r\nHost: h\r\n" + fields + b"\r\n")
    bench.settle()
    assert bench.statuses() == [200]
    assert len(set(slow.asked)) == count
    assert threading.get_ident() in slow.threads


def test_a_quick_key_is_asked_on_the_loop_unless_others_wait() -> None:
    quick, slow = Slow(quick=True, goes=True), Slow()
    bench = Bench(slow)
    john = _core.Credential(_core.Consumer(b"john", chain()), b"john-key", b"c", secret=quick.key)
    slow_one = _core.Plan(b"slow", chain(_core.JwtAuthStep(key_claim="k")), upstream())
    quick_one = _core.Plan(b"quick", chain(_core.JwtAuthStep()), upstream())
    jane = _core.Credential(_core.Consumer(b"jane", chain()), b"jane-key", b"d", secret=slow.key)
    bench.wire.install(_core.Snapshot([(slow_one, b"", b"/slow"), (quick_one, b"", b"/quick")], {"jwt": [john, jane]}, chain()))
    bench.ask(token(1), path=b"/quick")
    assert bench.statuses() == [200]
    assert quick.threads == {threading.get_ident()}
    bench.ask(HEAD + _b64(b'{"k":"jane-key"}') + b"." + GOOD)
    line = bench.ask(token(2), path=b"/quick")
    slow.go.set()
    bench.settle()
    bench.statuses()
    assert answered(bench, line) == 200
    assert len(quick.threads) == 2


def test_requests_behind_it_on_the_same_line_keep_their_order(bench: Bench, slow: Slow) -> None:
    line = bench.ask(token())
    bench.wire.push(line, b"GET /none HTTP/1.1\r\nHost: h\r\n\r\n")
    assert bench.wire.pull(line) == b""
    slow.go.set()
    bench.settle()
    bench.statuses()
    got = bench.wire.pull(line)
    assert got.index(b"HTTP/1.1 200") < got.index(b"HTTP/1.1 404")


def test_a_key_that_raises_accepts_nothing(slow: Slow) -> None:
    def broken(signed: bytes, signature: bytes) -> bool:
        raise KeyboardInterrupt

    slow.key = _core.SecretKey("ES512", verifier=broken)
    bench = Bench(slow)
    line = bench.ask(token())
    bench.settle()
    assert answered(bench, line) == 401


def test_the_token_is_hidden_when_it_was_judged(slow: Slow) -> None:
    bench = Bench(slow, hide_credentials=True)
    bench.ask(token())
    slow.go.set()
    bench.settle()
    (up,) = [line for line, side, _ in bench.wire.lines() if side == "up"]
    sent = bench.wire.pull(up)
    assert b"X-Consumer-Username: john\r\n" in sent
    assert b"uthorization" not in sent


@pytest.mark.parametrize("judged", [False, True])
def test_the_end_waits_for_threads_and_lets_go_of_all_who_wait(slow: Slow, judged: bool) -> None:
    bench = Bench(slow)
    for number in range(20):
        bench.ask(token(number))
    until(lambda: len(slow.asked) == 2, "both threads are at work")
    if judged:
        slow.go.set()
        until(lambda: len(slow.asked) == 20, "all are being judged")
    else:
        threading.Timer(0.2, slow.go.set).start()
    del bench.wire
    gc.collect()
    assert slow.go.is_set()


@pytest.mark.parametrize(("signature", "expected"), [(GOOD, 200), (b"QmFk", 401)])
def test_a_step_made_of_steps_asks_its_member_again(slow: Slow, signature: bytes, expected: int) -> None:
    """And those before it, which refused, not once more."""
    bench = Bench(slow)
    credential = _core.Credential(_core.Consumer(b"john", chain()), b"john-key", b"c", secret=slow.key)
    either = _core.MultiAuthStep([_core.KeyAuthStep(), _core.JwtAuthStep()])
    bench.wire.install(
        _core.Snapshot([(_core.Plan(b"r", chain(either), upstream()), b"", b"/*")], {"jwt": [credential]}, chain())
    )
    line = bench.ask(token(signature=signature))
    assert answered(bench, line) is None
    slow.go.set()
    bench.settle()
    assert bench.statuses() == [expected]
    got = bench.wire.pull(line)
    assert got.count(b"WWW-Authenticate: ") == (0 if expected == 200 else 2)
    assert len(slow.asked) == 1


def test_threads_have_an_own_count(slow: Slow) -> None:
    bench = Bench(slow, threads=1)
    for number in range(5):
        bench.ask(token(number))
    slow.go.set()
    bench.settle()
    assert bench.statuses() == [200] * 5
    assert len(slow.threads) == 1


def test_without_threads_all_are_judged_on_the_loop(slow: Slow) -> None:
    bench = Bench(slow, threads=0)
    slow.go.set()
    bench.ask(token())
    assert bench.statuses() == [200]
    assert slow.threads == {threading.get_ident()}


def test_a_shared_secret_never_waits(bench: Bench, slow: Slow) -> None:
    bench.ask(token())
    both = _core.Plan(b"r", chain(_core.KeyAuthStep()), upstream())
    bench.wire.install(_core.Snapshot([(both, b"", b"/*")], {"key": [shown(b"k", "key", b"secret")]}, chain()))
    line = bench.wire.open()
    bench.wire.push(line, b"GET / HTTP/1.1\r\nHost: h\r\nApikey: secret\r\n\r\n")
    assert bench.statuses() == [200]
    assert answered(bench, line) == 200
