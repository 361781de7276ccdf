"""encode: which answers are given a coding and in which, what their heads say then, and how their pieces go out."""

import gzip
import re
import zlib

import pytest

from fastgw import _core
from fastgw.plugins.codings import GzipCoder
from tests.support.core import ask, chain, snapshot

TEXT = b"the same again and again " * 40


class Marked:
    """A coding that shows what it is given: each call's bytes in brackets, with what is behind them."""

    def __init__(self, name: str = "") -> None:
        self.name = name.encode()

    def __call__(self, piece: bytes, end: int) -> bytes:
        return b"[%b%b%b]" % (self.name, piece, b"+,."[end : end + 1])


def step(coding: str = "gzip", **options: object) -> _core.Step:
    given = {"types": ["text/html"], "min_length": 20, "minor": 1, "vary": False, **options}
    return _core.EncodeStep(coding, given.pop("make", Marked), **given)  # type: ignore[arg-type]


def html(*fields: bytes, body: bytes = TEXT, status: bytes = b"200 OK") -> bytes:
    head = [
        b"HTTP/1.1 " + status,
        b"Content-Type: text/html; charset=utf-8",
        *fields,
        b"Content-Length: %d" % len(body),
        b"",
        b"",
    ]
    return b"\r\n".join(head) + body


def asked(accept: bytes | None = b"gzip", method: bytes = b"GET", version: bytes = b"1.1", *fields: bytes) -> bytes:
    own = [] if accept is None else [b"Accept-Encoding: " + accept]
    return b"\r\n".join([method + b" / HTTP/" + version, b"Host: h", *own, *fields, b"", b""])


def parted(got: bytes) -> tuple[dict[bytes, list[bytes]], bytes]:
    head, _, body = got.partition(b"\r\n\r\n")
    fields: dict[bytes, list[bytes]] = {}
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b": ")
        fields.setdefault(name.lower(), []).append(value)
    return fields, body


def unchunked(body: bytes) -> bytes:
    found = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        found += body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]
    return found


def coded(answer: bytes, request: bytes | None = None, *steps: _core.Step) -> bytes | None:
    """The coding that the client gets."""
    got = ask(snapshot(*(steps or (step(),))), request or asked(), answer)[1]
    return parted(got)[0].get(b"content-encoding", [None])[0]


# ---- which -----------------------------------------------------------------------------------------


def test_a_body_is_given_a_coding_as_one_stream() -> None:
    got = ask(snapshot(step(make=lambda: GzipCoder(6))), asked(), html())[1]
    fields, body = parted(got)
    assert (fields[b"content-encoding"], fields[b"transfer-encoding"]) == ([b"gzip"], [b"chunked"])
    assert b"content-length" not in fields
    assert gzip.decompress(unchunked(body)) == TEXT


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, None),
        (b"", None),
        (b"identity", None),
        (b"gzip", b"gzip"),
        (b"GZIP", b"gzip"),
        (b"x-gzip", b"gzip"),
        (b"deflate, gzip", b"gzip"),
        (b"gzip;q=0", None),
        (b"gzip;q=0.000", None),
        (b"gzip;q=0.001", b"gzip"),
        (b"gzip ; Q=1.0", b"gzip"),
        (b"gzip;q=2", None),
        (b"gzip;q=x", None),
        (b"gzip;level=9", None),
        (b"*", b"br"),
        (b"*;q=0", None),
        (b"*;q=0, gzip", b"gzip"),
        (b"br;q=0, *", b"gzip"),
        (b"gzip, br", b"br"),
        (b"gzip;q=0.9, br;q=0.8", b"gzip"),
        (b"gzip;q=0.5, identity", None),
        (b"gzip, identity;q=0.5", b"gzip"),
        (b"gzip;q=0, gzip", None),
        (b"gzipx", None),
        (b",,;q=1, gzip", b"gzip"),
    ],
)
def test_the_client_says_which(accept: bytes | None, expected: bytes | None) -> None:
    for steps in ([step("br"), step("gzip")], [step("gzip"), step("br")]):
        assert coded(html(), asked(accept), *steps) == expected


def test_several_fields_are_one_list() -> None:
    assert coded(html(), asked(b"br", b"GET", b"1.1", b"accept-encoding: gzip")) == b"gzip"


@pytest.mark.parametrize(
    ("parameters", "weight"),
    [
        (b"", 1000),
        (b";q=1", 1000),
        (b"; q=0.25 ", 250),
        (b";q=0.1234", 0),
        (b";q=1.5", 0),
        (b";q=", 0),
        (b";q=0.", 0),
        (b";x=1", 0),
    ],
)
def test_weights(parameters: bytes, weight: int) -> None:
    assert _core._test_weight(parameters) == weight


@pytest.mark.parametrize(
    "answer",
    [
        html(b"Content-Encoding: br"),
        html(b"content-encoding: identity"),
        html(b"Cache-Control: no-transform"),
        html(b"Cache-Control: max-age=3", b"cache-control: private , No-Transform"),
        html(b"Content-Range: bytes 0-999/2000", status=b"206 Partial Content"),
        html(b"Content-Range: bytes */9"),
        html(status=b"206 Partial Content"),
        html(status=b"205 Reset Content"),
        html(body=b"x" * 19),
        html().replace(b"text/html", b"text/css"),
        html().replace(b"Content-Type: text/html; charset=utf-8\r\n", b""),
        html().replace(b"Content-Type: text/html; charset=utf-8", b"Content-Type:"),
        b"HTTP/1.1 204 No Content\r\nContent-Type: text/html\r\n\r\n",
        b'HTTP/1.1 304 Not Modified\r\nContent-Type: text/html\r\nContent-Length: 999\r\nETag: "x"\r\n\r\n',
    ],
)
def test_what_must_stay_as_it_is_does(answer: bytes) -> None:
    given = ask(snapshot(step(), step("br")), asked(b"br, gzip"), answer)[1]
    plain = ask(snapshot(), asked(b"br, gzip"), answer)[1]
    assert [line for line in given.split(b"\r\n") if not line.startswith(b"Date")] == [
        line for line in plain.split(b"\r\n") if not line.startswith(b"Date")
    ]


def test_neither_head_nor_what_the_client_forbids() -> None:
    assert coded(html()[: -len(TEXT)], asked(method=b"HEAD")) is None
    assert coded(html(), asked(b"gzip", b"GET", b"1.1", b"Cache-Control: no-cache, no-transform")) is None


@pytest.mark.parametrize("status", [b"200 OK", b"403 Forbidden", b"404 Not Found", b"500 Internal Server Error"])
def test_errors_are_coded_as_well(status: bytes) -> None:
    assert coded(html(status=status)) == b"gzip"


def test_types_and_lengths_and_versions() -> None:
    assert coded(html().replace(b"text/html", b"TEXT/HTML ")) == b"gzip"
    assert coded(html().replace(b"text/html", b"image/png"), None, step(types=None)) == b"gzip"
    assert coded(html(body=b"x" * 20)) == b"gzip"
    chunked = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
    assert coded(chunked) == b"gzip"  # its length is not known
    assert coded(html(), asked(version=b"1.0")) is None
    got = ask(snapshot(step(minor=0)), asked(version=b"1.0"), html())[1]
    assert b"Transfer-Encoding" not in got
    assert got.endswith(b"\r\n\r\n[%b+][.]" % TEXT)


# ---- the head --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tag", "told"), [(b'"x"', b'W/"x"'), (b'W/"x"', b'W/"x"'), (b"odd", b"W/odd")])
def test_a_validator_becomes_weak_and_ranges_go(tag: bytes, told: bytes) -> None:
    got = ask(snapshot(step()), asked(), html(b"ETag: " + tag, b"Accept-Ranges: bytes", b"Repr-Digest: y", b"Last-Modified: z"))[
        1
    ]
    fields, _ = parted(got)
    assert (fields[b"etag"], fields[b"last-modified"]) == ([told], [b"z"])
    assert not {b"accept-ranges", b"repr-digest"} & {*fields}


@pytest.mark.parametrize(
    ("request_", "answer", "told"),
    [
        (asked(), html(), [b"Accept-Encoding"]),
        (asked(None), html(), [b"Accept-Encoding"]),
        (asked(), html(b"Vary: Cookie, accept-encoding"), [b"Cookie, accept-encoding"]),
        (asked(), html(b"Vary: Cookie"), [b"Cookie", b"Accept-Encoding"]),
        (asked(), html(b"Vary: *"), [b"*"]),
        (asked(), html(b"Content-Encoding: br"), []),
        (asked(), html(body=b"short"), []),
        (asked(method=b"HEAD"), html()[: -len(TEXT)], [b"Accept-Encoding"]),
        (asked(), b"HTTP/1.1 304 Not Modified\r\n\r\n", [b"Accept-Encoding"]),
    ],
)
def test_caches_are_told_what_it_depends_on(request_: bytes, answer: bytes, told: list[bytes]) -> None:
    assert parted(ask(snapshot(step(vary=True)), request_, answer)[1])[0].get(b"vary", []) == told


def test_a_coding_is_given_behind_all_other_steps() -> None:
    ops = [("set", "Content-Type", _core.Template("text/html", "constant"))]
    change = _core.ResponseRewriteStep(_core.AnswerHeaders(ops))  # type: ignore[arg-type]
    assert coded(html().replace(b"text/html", b"text/css"), None, step(), change) == b"gzip"
    body = _core.ResponseRewriteStep(_core.AnswerHeaders([]), body=b"m" * 50)
    fields, got = parted(ask(snapshot(step(), body), asked(), html(b"Content-Encoding: br"))[1])
    assert (fields[b"content-encoding"], fields[b"content-length"], got) == ([b"gzip"], [b"53"], b"[%b.]" % (b"m" * 50))
    swap = _core.PythonStep("swap", "body_filter", lambda conf, request, piece, last: piece.upper(), None)
    _, got = parted(ask(snapshot(step(), swap), asked(), html())[1])
    assert unchunked(got) == b"[%b+][.]" % TEXT.upper()


def test_the_routes_step_takes_the_place_of_a_global_one() -> None:
    got = ask(snapshot(step(types=None), first=chain(step(types=["a/b"]))), asked(), html())[1]
    assert b"Content-Encoding: gzip" in got
    got = ask(snapshot(step(types=["a/b"]), first=chain(step(types=None))), asked(), html())[1]
    assert b"Content-Encoding: gzip" not in got


def test_answers_of_the_gateways_own_are_coded_at_once() -> None:
    snap = snapshot(_core.KeyAuthStep(), step(types=["application/json"]))
    fields, body = parted(ask(snap, asked())[1])
    assert (fields[b"content-encoding"], fields[b"content-length"]) == ([b"gzip"], [b"%d" % len(body)])
    assert body.startswith(b'[{"message"')
    assert body.endswith(b".]")


# ---- pieces ----------------------------------------------------------------------------------------


def test_an_event_does_not_wait_for_the_next_one() -> None:
    wire = _core.Wire(snapshot(step(types=["text/event-stream"], make=lambda: GzipCoder(9))))
    line = wire.open()
    wire.push(line, asked())
    wire.push(1, b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    head, _, rest = wire.pull(line).partition(b"\r\n\r\n")
    assert b"Content-Encoding: gzip" in head
    assert rest == b""
    decoder = zlib.decompressobj(31)
    for number in range(3):
        event = b"data: %d\n\n" % number
        wire.push(1, b"%x\r\n%b\r\n" % (len(event), event))
        assert decoder.decompress(unchunked(wire.pull(line))) == event
    wire.push(1, b"0\r\n\r\n")
    rest = wire.pull(line)
    assert rest.endswith(b"0\r\n\r\n")
    assert decoder.decompress(unchunked(rest)) == b""
    assert (decoder.eof, wire.active) == (True, 0)


def test_pieces_are_bounded_and_what_comes_together_is_not_flushed_between() -> None:
    body = bytes(range(256)) * 400  # 102,400 bytes
    wire = _core.Wire(snapshot(step(types=None, piece=4096)))
    line = wire.open()
    wire.push(line, asked())
    wire.push(1, html(body=body))
    pieces = re.findall(rb"(?s)\[(.*?)([+,.])\](?=\[|$)", unchunked(parted(wire.pull(line))[1]))
    assert b"".join(piece for piece, _ in pieces) == body
    assert max(len(piece) for piece, _ in pieces) <= 32768  # the first read; the others:
    assert max(len(piece) for piece, _ in pieces[1:]) <= 4096
    assert [end for _, end in pieces].count(b",") <= 1
    assert (pieces[-1], wire.active) == ((b"", b"."), 0)


def test_an_encoder_that_cannot_be_had_leaves_the_answer_as_it_is() -> None:
    def none() -> None:
        raise RuntimeError

    fields, body = parted(ask(snapshot(step(make=none)), asked(), html())[1])
    assert (fields.get(b"content-encoding"), fields[b"content-length"], body) == (None, [b"%d" % len(TEXT)], TEXT)


def test_one_that_fails_in_the_middle_cuts_the_client_off() -> None:
    class Failing(Marked):
        def __call__(self, piece: bytes, end: int) -> bytes:
            if b"fail" in piece:
                raise RuntimeError
            return super().__call__(piece, end)

    wire = _core.Wire(snapshot(step(make=Failing)))
    line = wire.open()
    wire.push(line, asked())
    wire.push(1, html(body=b"x" * 90)[:-30])
    assert wire.pull(line).endswith(b"[,]\r\n")
    wire.push(1, b"fail" + b"x" * 26)
    assert (wire.pull(line), wire.active) == (b"", 0)


def test_a_body_that_ends_with_its_connection() -> None:
    wire = _core.Wire(snapshot(step(make=lambda: GzipCoder(1))))
    line = wire.open()
    wire.push(line, asked())
    wire.push(1, b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + TEXT)
    wire.end(1)
    _, body = parted(wire.pull(line))
    assert gzip.decompress(unchunked(body)) == TEXT
    assert wire.active == 0


def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind() -> None:
    wire = _core.Wire(snapshot(step(make=lambda: GzipCoder(1))))
    line = wire.open()
    wire.push(line, asked())
    wire.push(1, html()[:-10])
    wire.reset(line)
    assert wire.active == 0
