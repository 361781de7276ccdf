"""response-rewrite's steps and the framing of what they change: statuses, bodies and headers on a core without sockets."""

import gzip
import re

import pytest

from fastgw import _core
from fastgw.plugins.codings import decoded
from tests.support.core import OK, ask, chain, snapshot

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
HEAD = GET.replace(b"GET", b"HEAD")
NEXT = b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nfoo\r\n3\r\nbar\r\n0\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\nfoobar"
MARKS = b"ETag: x\r\nLast-Modified: y\r\nContent-Encoding: gzip\r\nAccept-Ranges: bytes\r\nContent-Digest: z\r\nX-Kept: k\r\n"


def rewrite(*ops: tuple[str, str, str], status: int = 0, body: bytes | None = None) -> _core.Step:
    headers = [(what, name, _core.Template(value, "var_combination") if what != "cut" else None) for what, name, value in ops]
    return _core.ResponseRewriteStep(_core.AnswerHeaders(headers), status=status, body=body)  # type: ignore[arg-type]


def parted(got: bytes) -> tuple[int, dict[bytes, list[bytes]], bytes]:
    head, _, body = got.partition(b"\r\n\r\n")
    fields: dict[bytes, list[bytes]] = {}
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b": ")
        fields.setdefault(name.lower(), []).append(value)
    return int(head[9:12]), fields, body


def told(
    step: _core.Step, answer: bytes = OK, request: bytes = GET, **more: _core.Steps
) -> tuple[int, dict[bytes, list[bytes]], bytes]:
    return parted(ask(snapshot(step, **more), request, answer)[1])  # type: ignore[arg-type]


# ---- headers -------------------------------------------------------------------------------------


def answer(*fields: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", *fields, b"Content-Length: 0", b"", b""])


@pytest.mark.parametrize(
    ("op", "theirs", "expected"),
    [
        (("set", "X-A", "1"), [], [b"1"]),
        (("set", "X-A", "1"), [b"x-a: 0", b"X-A: 2"], [b"1"]),
        (("set", "x_a", "1"), [b"X-A: 0"], []),
        (("set", "X-A", ""), [b"X-A: 0"], []),
        (("set", "X-A", "$arg_none"), [b"X-A: 0"], []),
        (("add", "X-A", "1"), [], [b"1"]),
        (("add", "X-A", "1"), [b"X-A: 0", b"x-A: 2"], [b"0", b"2", b"1"]),
        (("add", "X-A", "$arg_none"), [b"X-A: 0"], [b"0"]),
        (("cut", "X-A", ""), [b"X-A: 0", b"x-a: 2"], []),
        (("cut", "X-B", ""), [b"X-A: 0"], [b"0"]),
        (("set", "X-A", "$status ${upstream_status} $balancer_port $remote_addr"), [], [b"200 200 81 192.0.2.1"]),
    ],
)
def test_what_becomes_of_a_header(op: tuple[str, str, str], theirs: list[bytes], expected: list[bytes]) -> None:
    assert told(rewrite(op), answer(*theirs))[1].get(b"x-a", []) == expected


def test_headers_go_in_their_order_and_over_those_of_earlier_steps() -> None:
    first = chain(rewrite(("set", "X-A", "global"), ("add", "X-B", "global"), ("set", "X-C", "global")))
    step = rewrite(("add", "X-A", "1"), ("set", "X-B", "2"), ("cut", "X-C", ""), ("add", "X-D", "3"), ("cut", "X-D", ""))
    _, fields, _ = told(step, answer(b"X-A: 0", b"X-B: 0", b"X-C: 0"), first=first)
    assert (fields[b"x-a"], fields[b"x-b"]) == ([b"global", b"1"], [b"2"])
    assert b"x-c" not in fields
    assert b"x-d" not in fields


def test_more_lines_than_are_looked_at_for_overwriting_replace_all_the_same() -> None:
    many = [("set", f"X-{i}", str(i)) for i in range(90)]
    _, fields, _ = told(rewrite(*many), answer(b"X-80: theirs", b"x-89: theirs"))
    assert [fields[b"x-%d" % i] for i in range(90)] == [[b"%d" % i] for i in range(90)]


def test_what_the_gateway_says_of_itself_can_be_replaced() -> None:
    step = rewrite(("set", "Server", "mine"), ("set", "Date", "then"), ("set", "Content-Type", "text/x"))
    _, fields, _ = told(step)
    assert (fields[b"server"], fields[b"date"], fields[b"content-type"]) == ([b"mine"], [b"then"], [b"text/x"])
    _, fields, _ = parted(ask(snapshot(_core.KeyAuthStep(), step), GET)[1])
    assert (fields[b"server"], fields[b"date"], fields[b"content-type"]) == ([b"mine"], [b"then"], [b"text/x"])
    _, fields, body = parted(ask(snapshot(_core.KeyAuthStep(), rewrite(("cut", "Content-Type", ""))), GET)[1])
    assert b"content-type" not in fields
    assert body.startswith(b"{")


@pytest.mark.parametrize("value", ["a$arg_x", "${arg_x}"])
def test_a_client_ends_no_line(value: str) -> None:
    got = ask(snapshot(rewrite(("set", "X-A", value))), b"GET /?x=%0d%0aX-Evil:%201 HTTP/1.1\r\nHost: h\r\n\r\n")[1]
    assert b"\r\nX-Evil" not in got


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Connection", "X-APISIX-Upstream-Status", "keep_alive"])
def test_what_frames_an_answer_is_the_gateways(name: str) -> None:
    with pytest.raises(ValueError, match="sets it itself"):
        rewrite(("cut", name, ""))


# ---- bodies --------------------------------------------------------------------------------------


@pytest.mark.parametrize("theirs", [OK, CHUNKED, UNTIL_CLOSE, answer(), b"HTTP/1.1 204 No Content\r\n\r\n"])
@pytest.mark.parametrize("body", [b"", b"mine", b"m" * 100_000])
def test_a_body_is_replaced_whatever_the_upstream_sends(theirs: bytes, body: bytes) -> None:
    wire = _core.Wire(snapshot(rewrite(status=200, body=body)))
    line = wire.open()
    wire.push(line, GET)
    wire.push(1, theirs.replace(b"\r\n", b"\r\n" + MARKS, 1))
    if theirs == UNTIL_CLOSE:
        wire.end(1)
    status, fields, got = parted(wire.pull(line))
    assert (status, fields[b"content-length"], got) == (200, [b"%d" % len(body)], body)
    assert not {b"transfer-encoding", b"etag", b"last-modified", b"content-encoding", b"accept-ranges", b"content-digest"} & {
        *fields
    }
    assert fields[b"x-kept"] == [b"k"]
    assert wire.active == 0
    wire.push(line, NEXT)  # both connections live on, but for the one that ended the body
    assert NEXT.split(b"\r\n")[0] in (wire.pull(1) if theirs != UNTIL_CLOSE else wire.pull(2))


def test_nobody_waits_for_the_end_of_a_body_that_nobody_gets() -> None:
    wire = _core.Wire(snapshot(rewrite(body=b"mine")))
    line = wire.open()
    wire.push(line, GET)
    wire.push(1, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1234")
    assert parted(wire.pull(line))[2] == b"mine"
    assert (wire.active, wire.is_open(1), wire.is_open(line)) == (0, False, True)


@pytest.mark.parametrize(
    ("status", "theirs", "request_", "expected"),
    [
        (404, OK, GET, (404, [b"2"], b"ok")),
        (404, OK[:-2], HEAD, (404, [b"2"], b"")),
        (204, OK, GET, (204, [], b"")),
        (304, CHUNKED, GET, (304, [], b"")),
        (205, OK, GET, (205, [b"0"], b"")),
        (200, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", GET, (200, [b"0"], b"")),
        (200, b"HTTP/1.1 204 No Content\r\n\r\n", GET, (200, [b"0"], b"")),
        (500, b"HTTP/1.1 304 Not Modified\r\n\r\n", HEAD, (500, [], b"")),
    ],
)
def test_a_status_decides_whether_there_is_a_body(
    status: int, theirs: bytes, request_: bytes, expected: tuple[int, list[bytes], bytes]
) -> None:
    wire = _core.Wire(snapshot(rewrite(status=status)))
    line = wire.open()
    wire.push(line, request_)
    wire.push(1, theirs)
    code, fields, body = parted(wire.pull(line))
    assert (code, fields.get(b"content-length", []), body) == expected
    assert b"transfer-encoding" not in fields
    wire.push(line, NEXT)
    wire.push(1, OK)
    assert b"200 OK" in wire.pull(line) or status != 200  # the client's line is in step
    assert wire.active == 0


@pytest.mark.parametrize(("status", "body"), [(200, b"mine"), (204, b""), (205, b"")])
def test_heads_without_bodies_stay_so(status: int, body: bytes) -> None:
    code, fields, got = told(rewrite(status=status, body=b"mine"), OK[:-2], HEAD)
    assert (code, got) == (status, b"")
    assert fields.get(b"content-length", []) == ([] if status == 204 else [b"%d" % len(body)])


@pytest.mark.parametrize("theirs", [OK, b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", CHUNKED])
def test_a_205_has_no_content_whatever_filters_add(theirs: bytes) -> None:
    """RFC 9110 section 15.3.6; the steps are those of echo."""
    nothing = _core.AnswerHeaders([])
    add = _core.ResponseRewriteStep(nothing, search=lambda body, coding: body + b"!", streams=True)
    behind = _core.PythonStep("add", "body_filter", lambda conf, request, piece, last: piece + b"!" * last, None)
    _, sent = ask(snapshot(rewrite(status=205), add, behind), GET, theirs)
    code, fields, body = parted(sent)
    assert (code, fields[b"content-length"], body) == (205, [b"0"], b"")


RESET = b"HTTP/1.1 205 Reset Content\r\n"


@pytest.mark.parametrize(
    "theirs", [RESET + b"\r\n", RESET + b"\r\nfoo", RESET + CHUNKED[17:], RESET + b"Content-Length: 3\r\n\r\nfoo"]
)
@pytest.mark.parametrize("rewrites", [False, True])
def test_nor_has_an_upstreams_205_that_is_filtered(theirs: bytes, rewrites: bool) -> None:
    add = _core.PythonStep("add", "body_filter", lambda conf, request, piece, last: b"<" + piece + b">" * last, None)
    wire = _core.Wire(snapshot(*([rewrite(("set", "X-A", "1"))] if rewrites else []), add))
    client = wire.open()
    wire.push(client, GET)
    wire.push(1, theirs)
    code, fields, body = parted(wire.pull(client))
    assert (code, fields[b"content-length"], body) == (205, [b"0"], b"")
    assert b"x-a" in fields or not rewrites
    wire.push(client, NEXT)  # the client's connection goes on
    assert any(b"GET /next " in wire.pull(i) for i, side, _ in wire.lines() if side == "up")


def test_answers_of_the_gateways_own_are_rewritten_too() -> None:
    snap = snapshot(_core.KeyAuthStep(), rewrite(("set", "X-A", "$status"), status=418, body=b"tea"))
    status, fields, body = parted(ask(snap, GET)[1])
    assert (status, fields[b"x-a"], fields[b"content-length"], body) == (418, [b"418"], [b"3"], b"tea")
    assert fields[b"content-type"] == [b"application/json"]


def test_an_http_1_0_client_gets_a_length() -> None:
    _, fields, body = told(rewrite(body=b"mine"), CHUNKED, b"GET / HTTP/1.0\r\n\r\n")
    assert (fields[b"content-length"], body) == ([b"4"], b"mine")


def test_a_tunnel_keeps_its_status() -> None:
    plan = _core.Plan(b"route", chain(rewrite(("set", "X-A", "1"), status=500, body=b"x")), None)
    assert plan is not None
    with pytest.raises(ValueError, match="status"):
        rewrite(status=101)


# ---- bodies that are searched --------------------------------------------------------------------


def searching(most: int = 1000, reads_br: bool = False) -> tuple[_core.Step, _core.Step]:
    def make(body: bytes, coding: str) -> bytes:
        if body == b"raise":
            raise RuntimeError
        return (gzip.decompress(body) if coding == "gzip" else body).replace(b"o", b"0")

    head = _core.ResponseRewriteStep(_core.AnswerHeaders([]), search=make, reads_br=reads_br)
    return head, _core.CollectStep(make, most)


def collected(*pieces: bytes, request: bytes = GET, most: int = 1000) -> tuple[bytes, int]:
    wire = _core.Wire(snapshot(*searching(most)))
    line = wire.open()
    wire.push(line, request)
    for piece in pieces:
        wire.push(1, piece)
    return wire.pull(line), wire.active


def unchunked(body: bytes) -> bytes:
    return b"".join(re.findall(rb"(?s)[0-9a-f]+\r\n(.*?)\r\n", body))


@pytest.mark.parametrize(
    "pieces",
    [
        [
            OK.replace(b"ok", b"fo"),
        ],
        [CHUNKED],
        [CHUNKED[:60], CHUNKED[60:61], CHUNKED[61:]],
    ],
)
def test_a_body_is_searched_as_one(pieces: list[bytes]) -> None:
    got, active = collected(*pieces)
    _, fields, body = parted(got)
    assert fields[b"transfer-encoding"] == [b"chunked"]
    assert unchunked(body) == (b"f0" if len(pieces[0]) < 50 else b"f00bar")
    assert active == 0


def test_what_is_true_of_the_old_body_is_not_told() -> None:
    _, fields, body = parted(
        collected(answer(MARKS.replace(b"Content-Encoding: gzip\r\n", b"")[:-2]).replace(b": 0", b": 2") + b"ok")[0]
    )
    assert (fields[b"x-kept"], unchunked(body)) == ([b"k"], b"0k")
    assert not {b"etag", b"last-modified", b"content-length"} & {*fields}


def test_a_coded_body_is_decoded_and_an_unknown_coding_let_be() -> None:
    coded = gzip.compress(b"foo")
    got, _ = collected(b"HTTP/1.1 200 OK\r\nContent-Encoding: GZip\r\nContent-Length: %d\r\n\r\n" % len(coded) + coded)
    _, fields, body = parted(got)
    assert (unchunked(body), fields.get(b"content-encoding")) == (b"f00", None)
    for coding in (b"br", b"zstd", b"gzip, br"):
        _, fields, body = parted(collected(answer(b"Content-Encoding: " + coding, b"ETag: x").replace(b": 0", b": 2") + b"ok")[0])
        assert (unchunked(body), fields[b"content-encoding"], fields[b"etag"]) == (b"ok", [coding], [b"x"])


def test_a_part_of_a_body_is_let_be() -> None:
    part = b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/9\r\nETag: x\r\nContent-Length: 2\r\n\r\nok"
    status, fields, body = parted(collected(part)[0])
    assert (status, fields[b"etag"], unchunked(body)) == (206, [b"x"], b"ok")


def test_a_body_beyond_the_bound_goes_on_as_it_came_and_a_coded_one_is_cut_off() -> None:
    got, active = collected(b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n", b"o" * 900, b"o" * 900, b"o" * 200)
    assert (unchunked(parted(got)[2]), active) == (b"o" * 2000, 0)
    got, active = collected(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2000\r\n\r\n", b"o" * 900, b"o" * 200)
    assert (parted(got)[2], active) == (b"", 0)


def test_a_search_that_fails_leaves_the_body_and_breaks_a_coded_one() -> None:
    got, active = collected(answer().replace(b": 0", b": 5") + b"raise")
    assert (unchunked(parted(got)[2]), active) == (b"raise", 0)
    got, active = collected(answer(b"Content-Encoding: gzip").replace(b": 0", b": 5") + b"raise")
    assert (got, active) == (b"", 0)  # not even its head had gone out


def test_head_has_no_length_that_would_not_hold() -> None:
    _, fields, body = parted(collected(answer(b"ETag: x").replace(b": 0", b": 5"), request=HEAD)[0])
    assert (body, fields.get(b"content-length"), fields.get(b"etag")) == (b"", None, None)


def test_two_searches_go_one_after_the_other() -> None:
    def shout(body: bytes, coding: str) -> bytes:
        return body.upper() + b"!"

    head = _core.ResponseRewriteStep(_core.AnswerHeaders([]), search=shout)
    first, last = searching()
    snap = snapshot(first, last, first=chain(head, _core.CollectStep(shout, 1000)))
    coded = gzip.compress(b"foo")
    got = ask(
        snapshot(first, last, head, _core.CollectStep(shout, 9)),
        GET,
        answer(b"Content-Encoding: gzip").replace(b": 0", b": %d" % len(coded)) + coded,
    )[1]
    assert unchunked(parted(got)[2]) == b"F00!"
    assert unchunked(parted(ask(snap, GET, CHUNKED)[1])[2]) == b"FOOBAR!"


def test_a_replaced_body_is_searched_too_and_the_gateways_own() -> None:
    status, _, body = parted(ask(snapshot(rewrite(body=b"foo"), *searching()), GET, CHUNKED)[1])
    assert (status, body) == (200, b"f00")
    status, fields, body = parted(ask(snapshot(_core.JwtAuthStep(), *searching()), GET)[1])
    assert (status, body) == (401, b'{"message":"Missing JWT t0ken in request"}\n')
    assert fields[b"content-length"] == [b"%d" % len(body)]


@pytest.mark.parametrize("coding", ["gzip", "br"])
@pytest.mark.parametrize("status", [0, 404, 204])
def test_a_body_that_replaces_a_coded_one_is_in_no_coding(coding: str, status: int) -> None:
    told: list[str] = []

    def make(body: bytes, coding: str) -> bytes:
        told.append(coding)
        return body.upper()

    nothing = _core.AnswerHeaders([])
    steps = (
        _core.ResponseRewriteStep(nothing, search=make, reads_br=True),
        _core.CollectStep(make, 1000),
        _core.ResponseRewriteStep(nothing, status=status, body=b"mine"),
    )
    upstreams = answer(f"Content-Encoding: {coding}".encode()).replace(b": 0", b": 5") + b"coded"
    kept = _core.stored_reply(200, f"Content-Encoding: {coding}\r\n".encode(), b"coded")
    for early, theirs in ((None, upstreams), (kept, b"")):
        first = _core.PythonStep("kept", "access", lambda conf, request, early=early: early, None)
        code, fields, body = parted(ask(snapshot(first, *steps), GET, theirs)[1])
        assert (code, body) == (status or 200, b"" if status == 204 else b"MINE")
        assert b"content-encoding" not in fields
    assert set(told) <= {""}


@pytest.mark.parametrize("theirs", [b"", b"foo"])
def test_a_new_body_goes_through_filters_and_copies_are_of_the_old_one(theirs: bytes) -> None:
    taken: list[bytes | None] = []
    copy = _core.PythonStep("copy", "header_filter", lambda conf, request: _core.copy_answer(request, 100, taken.append), None)
    shout = _core.PythonStep("shout", "body_filter", lambda conf, request, piece, last: piece.upper(), None)
    snap = snapshot(copy, rewrite(body=b"mine"), shout)
    _, fields, body = parted(ask(snap, GET, answer().replace(b": 0", b": %d" % len(theirs)) + theirs)[1])
    assert (fields[b"content-length"], body, taken) == ([b"4"], b"MINE", [theirs])


def test_a_body_in_gzip_of_countless_pieces() -> None:
    """Each one costs its time, and a worker's requests wait for it."""
    piece = gzip.compress(b"")
    assert decoded(gzip.compress(b"foo") + piece * 20 + gzip.compress(b"bar" * 9999), "gzip", 99999) == b"foo" + b"bar" * 9999
    with pytest.raises(ValueError, match="too many pieces"):
        decoded(piece * 5000, "gzip", 99999)
