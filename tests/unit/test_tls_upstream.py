"""TLS towards upstreams in the connection core, on memory: the upstream is Python's ssl."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastgw import _core
from tests.support.certificates import Authority, certificate
from tests.support.core import OK, snapshot
from tests.support.judged import Judged
from tests.support.tls import Memory, server_context

CA = Authority()
HOST = "a.example"
REQUEST = b"GET /a HTTP/1.1\r\nHost: a.example\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: %d\r\n\r\n"
DOWN, UP = 0, 1


def to(client: _core.TlsClient, nodes: int = 1, **options: object) -> _core.Upstream:
    """An upstream of so many nodes that speak TLS."""
    made = []
    for i in range(nodes):
        pool = _core.Pool(f"127.0.0.1:{81 + i}", client)
        pool.resolve("127.0.0.1", 81 + i)
        made.append((pool, 1, 0, f"node{i}.example:{81 + i}".encode()))
    return _core.Upstream(made, **options)  # type: ignore[arg-type]


@pytest.fixture
def trust(tmp_path: Path) -> _core.TlsTrust:
    path = tmp_path / "trusted.pem"
    path.write_text(CA.pem)
    return _core.TlsTrust(str(path))


@pytest.fixture
def wire(trust: _core.TlsTrust) -> Iterator[_core.Wire]:
    """A client's line 0."""
    wire = _core.Wire(snapshot(to=to(_core.TlsClient(trust))), limits={"body_bytes": 0})
    wire.open()
    yield wire
    wire.reset(DOWN)
    assert wire.active == 0


def server(wire: _core.Wire, *names: str, line: int = UP, authority: Authority = CA) -> Memory:
    """The other end of an upstream's line."""
    context = server_context(*authority.issue(*(names or (HOST,))))
    return Memory(lambda data: wire.push(line, data), lambda: wire.pull(line), context, server=True)


def asked(wire: _core.Wire, request: bytes = REQUEST, *names: str) -> Memory:
    """A request whose upstream has shaken hands."""
    wire.push(DOWN, request)
    end = server(wire, *names)
    end.shake()
    return end


# ---- certificates --------------------------------------------------------------------------------


def test_trust_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nothing\.pem"):
        _core.TlsTrust(str(tmp_path / "nothing.pem"))


def test_a_pair_must_fit(trust: _core.TlsTrust) -> None:
    cert, _ = certificate()
    with pytest.raises(ValueError, match="client certificate: key"):
        _core.TlsClient(trust, cert.encode(), certificate()[1].encode())


@pytest.mark.parametrize("name", ["a.example", "A.Example", "node0.example"])
def test_the_name_that_was_asked_for_or_the_node(wire: _core.Wire, name: str) -> None:
    end = asked(wire, REQUEST, name)
    assert end.read().startswith(b"GET /a HTTP/1.1\r\nHost: a.example\r\n")
    end.write(OK)
    assert b"200 OK" in wire.pull(DOWN)


@pytest.mark.parametrize("name", ["b.example", "a.example.b", "*.a.example", "127.0.0.2", "81"])
def test_no_other_name(wire: _core.Wire, name: str) -> None:
    end = asked(wire, REQUEST, name)
    assert end.read() == b""
    assert b"502 Bad Gateway" in wire.pull(DOWN)
    assert not wire.is_open(UP)


@pytest.mark.parametrize(("pass_host", "failures"), [("pass", 0), ("node", 1)])
def test_a_name_that_the_client_chose_says_nothing_of_the_node(trust: _core.TlsTrust, pass_host: str, failures: int) -> None:
    judged = Judged([200], 1, [500], 1, 1, 1)
    judged.add("127.0.0.1:81")
    wire = _core.Wire(snapshot(to=to(_core.TlsClient(trust), pass_host=pass_host, checks=judged.checks())))
    wire.open()
    asked(wire, REQUEST, "b.example")
    assert b"502 Bad Gateway" in wire.pull(DOWN)
    assert judged.look("127.0.0.1:81").counters == (0, 0, failures, 0)
    wire.reset(DOWN)


def test_a_subject_is_no_name(wire: _core.Wire) -> None:
    context = server_context(*CA.issue("192.0.2.1", subject=HOST))
    wire.push(DOWN, REQUEST)
    end = Memory(lambda data: wire.push(UP, data), lambda: wire.pull(UP), context, server=True)
    end.shake()
    assert b"502 Bad Gateway" in wire.pull(DOWN)


def test_a_zero_byte_in_a_name_is_no_end_of_it(wire: _core.Wire) -> None:
    """The name is that of the request, which has none; a certificate's may not pass for a shorter one."""
    end = asked(wire, REQUEST, "a.example\0.evil.example")
    assert end.read() == b""
    assert b"502 Bad Gateway" in wire.pull(DOWN)


# ---- records -------------------------------------------------------------------------------------


def test_byte_by_byte(wire: _core.Wire) -> None:
    wire.push(DOWN, REQUEST)
    end = server(wire)
    end.step = 1
    end.shake()
    assert end.read().startswith(b"GET /a ")
    end.write(OK)
    assert b"200 OK" in wire.pull(DOWN)


def test_a_line_that_takes_one_byte_at_a_time(wire: _core.Wire) -> None:
    wire.push(DOWN, REQUEST)
    wire.room(UP, 0)
    end = server(wire)
    while True:
        wire.room(UP, 1)
        try:
            end.ssl.do_handshake()
        except ssl.SSLWantReadError:
            end.exchange()
        else:
            break
    end.exchange()
    wire.room(UP, 1 << 20)
    assert end.read().startswith(b"GET /a ")
    end.write(OK)
    assert b"200 OK" in wire.pull(DOWN)


def test_long_bodies(wire: _core.Wire) -> None:
    body = bytes(range(256)) * 4000
    end = asked(wire, POST % len(body))
    wire.push(DOWN, body[:100_000])
    got = end.read()
    wire.room(UP, 0)
    wire.push(DOWN, body[100_000:])
    while not got.endswith(body):
        wire.room(UP, 20_000)
        assert wire.held() <= 256 * 1024
        got += end.read()
    end.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert wire.pull(DOWN).endswith(body)


def test_a_kept_connection_serves_again(wire: _core.Wire) -> None:
    end = asked(wire)
    for _ in range(3):
        assert end.read().startswith(b"GET /a ")
        end.write(OK)
        assert b"200 OK" in wire.pull(DOWN)
        wire.push(DOWN, REQUEST)
    assert len(wire.lines()) == 2


def test_names_that_were_asked_for_once_do_not_keep_out_others() -> None:
    """A connection is of one name, and clients choose names: of a full pool the oldest one goes."""
    wire = _core.Wire(snapshot(to=to(_core.TlsClient(), keepalive_size=2)))
    wire.open()
    for name in ("x.example", "y.example", "z.example", "a.example"):
        lines = len(wire.lines())
        wire.push(DOWN, REQUEST.replace(b"a.example", name.encode()))
        end = server(wire, line=lines)
        end.shake()
        assert end.read().startswith(b"GET /a ")
        end.write(OK)
        assert b"200 OK" in wire.pull(DOWN)
    assert [wire.is_open(line) for line in range(1, 5)] == [False, False, True, True]
    wire.push(DOWN, REQUEST)
    assert end.read().startswith(b"GET /a ")
    assert len(wire.lines()) == 5
    wire.reset(DOWN)


def test_an_idle_connection_that_says_it_ends_is_closed(wire: _core.Wire) -> None:
    end = asked(wire)
    end.read()
    end.write(OK)
    with pytest.raises(ssl.SSLWantReadError):
        end.ssl.unwrap()
    end.exchange()
    assert not wire.is_open(UP)


def test_an_answer_behind_the_answer_is_nobodys(wire: _core.Wire) -> None:
    end = asked(wire)
    end.read()
    end.write(OK + OK)
    assert wire.pull(DOWN).count(b"200 OK") == 1
    assert not wire.is_open(UP)


# ---- ends ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("polite", [True, False])
def test_a_body_until_close(wire: _core.Wire, polite: bool) -> None:
    end = asked(wire)
    end.read()
    end.write(b"HTTP/1.1 200 OK\r\n\r\npart")
    if polite:
        with pytest.raises(ssl.SSLWantReadError):
            end.ssl.unwrap()
        end.exchange()
    else:
        wire.end(UP)
    answer = wire.pull(DOWN)
    assert b"part" in answer
    assert answer.endswith(b"0\r\n\r\n") is polite
    assert wire.is_open(DOWN) is polite


def test_a_handshake_that_does_not_end_is_too_slow(wire: _core.Wire) -> None:
    wire.push(DOWN, REQUEST)
    wire.push(UP, b"\x16\x03\x03")
    wire.advance(61)
    assert b"HTTP/1.1 504 " in wire.pull(DOWN)
    assert not wire.is_open(UP)


def test_a_client_that_leaves_takes_the_handshake_along(wire: _core.Wire) -> None:
    wire.push(DOWN, REQUEST)
    wire.pull(UP)
    wire.reset(DOWN)
    assert not wire.is_open(UP)
    assert wire.active == 0


@pytest.mark.parametrize("data", [OK, b"\0" * 100, b"\x16\x03\x03\xff\xff" + b"x" * 70_000])
def test_what_is_no_handshake(wire: _core.Wire, data: bytes) -> None:
    wire.push(DOWN, REQUEST)
    wire.push(UP, data)
    assert b"502 Bad Gateway" in wire.pull(DOWN)


# ---- tries ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_", [REQUEST, POST % 2 + b"hi"])
def test_a_failed_handshake_is_a_failed_try_of_which_nothing_was_sent(trust: _core.TlsTrust, request_: bytes) -> None:
    wire = _core.Wire(snapshot(to=to(_core.TlsClient(trust), 2)))
    wire.open()
    wire.push(DOWN, request_)
    with pytest.raises(ssl.SSLError, match="unknown ca"):
        server(wire, authority=Authority("others")).shake()
    end = server(wire, line=2)
    end.shake()
    assert end.read().startswith(request_[:6])
    end.write(OK)
    assert b"200 OK" in wire.pull(DOWN)


def test_a_post_that_went_is_not_sent_again(trust: _core.TlsTrust) -> None:
    wire = _core.Wire(snapshot(to=to(_core.TlsClient(trust), 2)))
    wire.open()
    end = asked(wire, POST % 2 + b"hi")
    assert end.read().endswith(b"hi")
    wire.reset(UP)
    assert b"502 Bad Gateway" in wire.pull(DOWN)
    assert len(wire.lines()) == 2


def test_verification_off_believes_anybody() -> None:
    wire = _core.Wire(snapshot(to=to(_core.TlsClient())))
    wire.open()
    wire.push(DOWN, REQUEST)
    end = server(wire, "whoever.example", authority=Authority("others"))
    end.shake()
    end.read()
    end.write(OK)
    assert b"200 OK" in wire.pull(DOWN)


# ---- out of turn -----------------------------------------------------------------------------------


def test_a_server_that_speaks_in_its_handshake_is_not_asked(wire: _core.Wire) -> None:
    wire.push(DOWN, POST % 2 + b"ab")
    context = server_context(*CA.issue(HOST))
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # where the server's Finished is the last word: more fits behind it
    end = Memory(lambda data: wire.push(UP, data), lambda: wire.pull(UP), context, server=True)
    while not shaken(wire, end):
        wire.push(UP, end.outgoing.read())
    end.ssl.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen")
    wire.push(UP, end.outgoing.read())
    assert not wire.is_open(UP)
    got = wire.pull(DOWN)
    assert got.startswith(b"HTTP/1.1 502 ")
    assert b'"reason":"upstream.early"' in got
    assert end.read() == b""  # nothing was asked


def shaken(wire: _core.Wire, end: Memory) -> bool:
    """Whether the server's side of the handshake is done; what it has to say stays there."""
    end.incoming.write(wire.pull(UP))
    try:
        end.ssl.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


@pytest.mark.parametrize("last", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen"])
def test_what_an_idle_server_says_with_the_next_request_came_before_it(wire: _core.Wire, last: bytes) -> None:
    end = asked(wire)
    end.exchange()
    assert end.ssl.read().startswith(b"GET ")
    end.ssl.write(OK)
    end.exchange()
    assert wire.pull(DOWN).endswith(b"ok")
    if last:
        end.ssl.write(last)
    else:
        with pytest.raises(ssl.SSLWantReadError):
            end.ssl.unwrap()  # close_notify
    wire.together([(DOWN, POST % 2 + b"ab"), (UP, end.outgoing.read())])
    assert not wire.is_open(UP)
    other = server(wire, line=UP + 1)
    other.shake()
    other.exchange()
    assert other.ssl.read().startswith(b"POST ")
    other.ssl.write(OK)
    other.exchange()
    assert wire.pull(DOWN).endswith(b"ok")
