"""One client line and its upstream lines, on memory: what comes in, what goes out, and when lines end."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest

from fastgw import _core

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
DOWN, UP = 0, 1


class Talk:
    """A route to one node (or several) and a client that has connected."""

    def __init__(
        self, nodes: int = 1, limits: dict[str, float] | None = None, steps: Sequence[tuple[int, int, _core.Step]] = ()
    ) -> None:
        self.pools = []
        for i in range(nodes):
            self.pools.append(_core.Pool(f"192.0.2.{i + 10}:80"))
            self.pools[-1].resolve(f"192.0.2.{i + 10}", 80)
        entries = [(pool, nodes - i, 0, pool.address.encode()) for i, pool in enumerate(self.pools)]
        upstream = _core.Upstream(entries, connect=5, send=5, read=5, keepalive_size=2, keepalive_idle=30, keepalive_requests=50)
        plan = _core.Plan(b"r", _core.Steps(steps), upstream)
        self.wire = _core.Wire(_core.Snapshot([(plan, b"", b"/*")], {}, _core.Steps([])), limits=limits)
        self.wire.open()

    def ask(self, request: bytes) -> bytes:
        """Pushes bytes on the client's line; gives what went to upstreams."""
        self.wire.push(DOWN, request)
        return b"".join(self.wire.pull(i) for i in self.ups())

    def answer(self, data: bytes) -> bytes:
        """The newest open upstream line says this; gives what the client got."""
        self.wire.push(self.ups()[-1], data)
        return self.wire.pull(DOWN)

    def ups(self, every: bool = False) -> list[int]:
        return [i for i, side, is_open in self.wire.lines() if side == "up" and (is_open or every)]

    def status(self) -> int:
        return int(self.wire.pull(DOWN)[9:12] or 0)


def body_of(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


# -- keep-alive and pipelining ---------------------------------------------------------------------


def test_both_lines_live_on() -> None:
    talk = Talk()
    for _ in range(3):
        assert talk.ask(GET).startswith(b"GET /a HTTP/1.1\r\nHost: x\r\n")
        assert body_of(talk.answer(OK)) == b"ok"
    assert (len(talk.ups()), talk.pools[0].idle, talk.wire.active) == (1, 1, 0)


def test_pipelined_requests_are_answered_in_order() -> None:
    talk = Talk()
    sent = talk.ask(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % i for i in range(5)))
    for i in range(5):
        assert sent.startswith(b"GET /%d " % i)
        assert body_of(talk.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % i)) == b"%d" % i
        sent = talk.wire.pull(talk.ups()[-1])
    assert talk.wire.active == 0


def test_a_request_byte_by_byte() -> None:
    talk = Talk()
    for byte in GET:
        sent = talk.ask(bytes([byte]))
    assert sent.startswith(b"GET /a ")


@pytest.mark.parametrize(
    ("request_", "closes", "says"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", True, b"Connection: close"),
        (b"GET / HTTP/1.0\r\n\r\n", True, b"Connection: close"),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", False, b"Connection: keep-alive"),
    ],
)
def test_who_ends_the_connection(request_: bytes, closes: bool, says: bytes) -> None:
    talk = Talk()
    talk.ask(request_)
    assert says in talk.answer(OK)
    assert talk.wire.is_open(DOWN) is not closes


def test_a_client_that_takes_no_answers_is_not_read() -> None:
    talk = Talk()
    talk.wire.room(DOWN, 0)
    talk.ask(GET)
    talk.answer(OK)
    assert talk.ask(GET * 1000) == b""  # waits until the first answer is taken
    talk.wire.room(DOWN, 1 << 20)
    assert talk.wire.pull(talk.ups()[-1]).startswith(b"GET /a ")
    assert talk.wire.held() < 1 << 17


def test_a_request_over_and_over() -> None:
    talk = Talk()
    assert body_of(talk.wire.run(DOWN, GET, OK, 60)) == b"ok"  # more than keepalive_requests: a new line is used as well
    assert [is_open for _, side, is_open in talk.wire.lines() if side == "up"] == [False, True]
    with pytest.raises(ValueError, match="round 1: expected the answer that the first round had"):
        talk.wire.run(DOWN, GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), OK, 2)
    with pytest.raises(ValueError, match="open line"):
        talk.wire.run(DOWN, GET, OK, 1)


# -- bodies ----------------------------------------------------------------------------------------

CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: v\r\n\r\n"
COUNTED = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde"


@pytest.mark.parametrize("step", [1, 2, 3, 1000])
@pytest.mark.parametrize(("request_", "framed"), [(COUNTED, b"abcde"), (CHUNKED, b"")])
def test_request_bodies_in_pieces(step: int, request_: bytes, framed: bytes) -> None:
    talk, sent, stream = Talk(), b"", request_ + GET
    for at in range(0, len(stream), step):
        sent += talk.ask(stream[at : at + step])
    body = body_of(sent)
    if framed:
        assert body == framed
    else:
        assert body.endswith(b"0\r\n\r\n")
        assert b"".join(body.split(b"\r\n")[1::2]) == b"abcde"
        assert b"T: v" not in sent
        assert b"x=y" not in sent
    talk.answer(OK)
    assert talk.wire.pull(talk.ups()[-1]).startswith(b"GET /a ")  # what stood behind the body


@pytest.mark.parametrize("step", [1, 2, 3, 1000])
@pytest.mark.parametrize(
    ("answer", "client", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"1.1", b"abcde"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"1.0", b"abcde"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde", b"1.1", b"abcde"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"1.1", b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b"1.1", b""),
    ],
)
def test_answer_bodies_in_pieces(step: int, answer: bytes, client: bytes, expected: bytes) -> None:
    talk, got = Talk(), b""
    talk.ask(b"GET / HTTP/%b\r\nHost: x\r\n\r\n" % client)
    for at in range(0, len(answer), step):
        got += talk.answer(answer[at : at + step])
    head, _, body = got.partition(b"\r\n\r\n")
    if b"Transfer-Encoding: chunked" in head:
        assert client == b"1.1"
        body = b"".join(body.split(b"\r\n")[1::2])
    assert (body, talk.wire.active) == (expected, 0)


def test_head_has_no_body_whatever_it_says() -> None:
    talk = Talk()
    talk.ask(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = talk.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
    assert (b"Content-Length: 5" in answer, body_of(answer), talk.pools[0].idle) == (True, b"", 1)


def test_a_body_that_ends_with_the_connection() -> None:
    talk = Talk()
    talk.ask(GET)
    got = talk.answer(b"HTTP/1.0 200 OK\r\n\r\nab")
    talk.wire.end(talk.ups()[-1])
    got += talk.wire.pull(DOWN)
    assert body_of(got) == b"2\r\nab\r\n0\r\n\r\n"
    assert talk.wire.is_open(DOWN)


def test_a_reset_ends_no_body() -> None:
    talk = Talk()
    talk.ask(GET)
    talk.answer(b"HTTP/1.0 200 OK\r\n\r\nab")
    talk.wire.reset(talk.ups()[-1])
    assert not talk.wire.is_open(DOWN)
    assert b"0\r\n\r\n" not in talk.wire.pull(DOWN)


def test_expect_continue_is_answered_once() -> None:
    talk = Talk()
    sent = talk.ask(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert talk.wire.pull(DOWN) == b"HTTP/1.1 100 Continue\r\n\r\n"
    sent += talk.ask(b"hi")
    assert b"Expect" not in sent
    assert body_of(sent) == b"hi"
    assert talk.answer(b"HTTP/1.1 100 Continue\r\n\r\n" + OK).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    "request_",
    [
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n6\r\n",
    ],
)
def test_a_body_over_the_bound(request_: bytes) -> None:
    talk = Talk(limits={"body_bytes": 10})
    talk.ask(request_)
    assert talk.status() == 413
    assert talk.ups() == []


# -- backpressure ----------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", [b"Content-Length: 1000000", b"Transfer-Encoding: chunked"])
def test_a_client_that_reads_slowly_holds_the_upstream_back(framing: bytes) -> None:
    talk, got = Talk(), b""
    talk.ask(GET)
    talk.wire.room(DOWN, 100)
    piece = b"x" * 50_000 if b"Length" in framing else b"c350\r\n" + b"x" * 50_000 + b"\r\n"
    end = b"" if b"Length" in framing else b"0\r\n\r\n"
    talk.wire.push(UP, b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n" + piece * 20 + end)
    assert talk.wire.held() < 140_000
    while talk.wire.active or talk.wire.held():
        got += talk.wire.pull(DOWN)
        talk.wire.room(DOWN, 30_000)
    got += talk.wire.pull(DOWN)
    assert body_of(got).count(b"x") == 1_000_000


def test_an_upstream_that_reads_slowly_holds_the_client_back() -> None:
    talk, got = Talk(), b""
    talk.wire.connecting("later")
    talk.ask(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 300_000)
    talk.wire.room(UP, 1000)
    talk.wire.connected(UP)
    talk.wire.push(DOWN, b"x" * 700_000)
    assert talk.wire.held() < 200_000
    for _ in range(1000):
        got += talk.wire.pull(UP)
        if got.count(b"x") >= 1_000_001:
            break
        talk.wire.room(UP, 30_000)
    assert body_of(got) == b"x" * 1_000_000


# -- what fails ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * 17,
    ],
)
def test_a_lying_upstream_is_answered_502_and_not_used_again(answer: bytes) -> None:
    talk = Talk()
    talk.ask(GET)
    got = talk.answer(answer)
    assert got[got.rindex(b"HTTP/1.1") :][9:12] == b"502"
    assert talk.ups() == []
    assert talk.wire.is_open(DOWN)


def test_more_than_announced_is_not_relayed() -> None:
    talk = Talk()
    talk.ask(GET)
    assert body_of(talk.answer(OK + b"HTTP/1.1 200 OK\r\n\r\n")) == b"ok"
    assert talk.ups() == []


def test_less_than_announced_cuts_the_client_off() -> None:
    talk = Talk()
    talk.ask(GET)
    talk.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort")
    talk.wire.end(UP)
    assert not talk.wire.is_open(DOWN)


def test_an_early_answer_ends_the_connection_without_reading_the_body_as_a_request() -> None:
    talk = Talk()
    talk.ask(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nGET /smuggled")
    assert b"Connection: close" in talk.answer(OK)
    assert talk.ask(b" HTTP/1.1\r\nHost: x\r\n\r\n") == b""
    assert talk.wire.finished(DOWN)
    assert talk.ups() == []


def test_a_client_that_leaves_releases_the_upstream() -> None:
    talk = Talk()
    talk.ask(GET)
    talk.wire.reset(DOWN)
    assert (talk.ups(), talk.wire.active) == ([], 0)


def test_a_half_closed_client_gets_its_answer_or_is_given_up() -> None:
    talk = Talk()
    talk.ask(GET)
    talk.wire.end(DOWN)
    assert body_of(talk.answer(OK)) == b"ok"
    gone = Talk()
    gone.ask(GET)
    gone.wire.end(DOWN)
    gone.wire.advance(2)
    assert (gone.ups(), gone.wire.active) == ([], 0)


# -- retries ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("request_", "again"), [(GET, True), (COUNTED.replace(b"POST", b"PUT"), True), (COUNTED, False)])
def test_a_stale_pooled_connection(request_: bytes, again: bool) -> None:
    talk = Talk()
    talk.ask(GET)
    talk.answer(OK)
    sent = talk.ask(request_)
    talk.wire.reset(UP)
    if again:
        assert talk.wire.pull(talk.ups()[-1]) == sent
        assert body_of(talk.answer(OK)) == b"ok"
    else:
        assert talk.status() == 502


def test_a_refused_node_gives_way_to_the_next() -> None:
    talk = Talk(nodes=3)
    talk.wire.connecting("refused")
    talk.ask(COUNTED)
    assert talk.status() == 502
    talk.wire.connecting("later")
    talk.ask(COUNTED)
    talk.wire.reset(talk.ups()[-1])
    talk.wire.connecting("at once")
    talk.wire.reset(talk.ups()[-1])
    assert talk.wire.pull(talk.ups()[-1]).startswith(b"POST / ")
    assert body_of(talk.answer(OK)) == b"ok"


def test_no_retry_once_bytes_of_an_answer_came() -> None:
    talk = Talk(nodes=2)
    talk.ask(GET)
    talk.answer(b"HTTP/1.1 2")
    talk.wire.reset(talk.ups()[-1])
    assert talk.status() == 502


# -- time ------------------------------------------------------------------------------------------


def waits() -> Iterator[tuple[str, bytes, float, int]]:
    yield "half a head", b"GET / HT", 10, 408
    yield "a body that does not come", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab", 60, 408
    yield "an answer that does not come", GET, 5, 504
    yield "the next request", b"", 60, 0


@pytest.mark.parametrize(("what", "sent", "seconds", "status"), list(waits()))
def test_everything_has_a_deadline(what: str, sent: bytes, seconds: float, status: int) -> None:
    talk = Talk()
    talk.ask(sent)
    talk.wire.advance(seconds - 1)
    assert talk.wire.is_open(DOWN), what
    talk.wire.advance(2)
    assert talk.status() == status, what
    assert talk.wire.active == 0, what


def test_dripping_bytes_do_not_move_the_deadline_of_a_head() -> None:
    talk = Talk()
    for byte in b"GET / HTTP/1.1":
        talk.wire.push(DOWN, bytes([byte]))
        talk.wire.advance(1)
    assert talk.status() == 408


def test_connecting_has_a_deadline() -> None:
    talk = Talk()
    talk.wire.connecting("later")
    talk.ask(GET)
    talk.wire.advance(6)
    assert talk.status() == 504


def test_idle_upstream_connections_are_bounded_in_number_time_and_use() -> None:
    talk = Talk()
    others = [talk.wire.open() for _ in range(3)]
    for line in (DOWN, *others):
        talk.wire.push(line, GET)
    for up in talk.ups():
        talk.wire.push(up, OK)
    assert talk.pools[0].idle == 2
    talk.wire.advance(31)
    assert (talk.pools[0].idle, talk.pools[0].open) == (0, 0)
    for _ in range(51):
        talk.ask(GET)
        talk.answer(OK)
    assert len(talk.ups(every=True)) == 4 + 2


# -- choice of a node ------------------------------------------------------------------------------


def test_weights_are_kept_exactly_and_smoothly() -> None:
    talk, order = Talk(nodes=3), []
    for _ in range(12):
        talk.wire.push(DOWN, GET)
        line = next(i for i in talk.ups() if talk.wire.pull(i))
        order.append(line)
        talk.wire.push(line, OK)
    assert sorted(order.count(line) for line in set(order)) == [2, 4, 6]
    assert order[:6] == order[6:]
    assert all(a != b for a, b in pairwise(order[:6]))


# -- a stop ----------------------------------------------------------------------------------------


def test_who_asked_before_the_end_of_an_answer_that_did_not_tell_of_it_is_served_at_a_stop() -> None:
    talk = Talk()
    talk.ask(GET)
    assert b"Connection" not in talk.answer(OK[:-1])
    talk.wire.stop_listening()
    assert talk.ask(GET) == b"", "it waits for its turn"
    assert talk.answer(OK[-1:]) == b"k"
    assert talk.wire.is_open(DOWN)
    assert talk.ask(b"").startswith(b"GET /a HTTP/1.1\r\n")
    assert b"\r\nConnection: close\r\n" in talk.answer(OK)
    assert talk.wire.finished(DOWN) or not talk.wire.is_open(DOWN)


def test_who_asked_nothing_more_is_let_go_at_a_stop() -> None:
    talk = Talk()
    talk.ask(GET)
    talk.answer(OK[:-1])
    talk.wire.stop_listening()
    assert talk.answer(OK[-1:]) == b"k"
    assert not talk.wire.is_open(DOWN)
