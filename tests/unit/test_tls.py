"""TLS in the connection core, on memory: what is spoken is Python's ssl, byte by byte where that is told."""

from __future__ import annotations

import contextlib
import ctypes
import random
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastgw import _core
from tests.support.certificates import Authority, certificate
from tests.support.core import OK, snapshot
from tests.support.processes import ROOT
from tests.support.tls import Memory, client_context

NAME = "a.example"
REQUEST = b"GET /a HTTP/1.1\r\nHost: a.example\r\n\r\n"
BIG = 3_000_000
DOWN, UP = 0, 1


def shown(*names: str, **options: object) -> _core.Snapshot:
    """The small configuration with a certificate under each of these names."""
    edit = _core.Edit(snapshot())
    for name in names:
        cert, key = certificate(name.replace("*", "any"))
        edit.put_server_name(name.encode(), _core.TlsServer([(cert.encode(), key.encode())], **options))  # type: ignore[arg-type]
    return edit.finish()


@pytest.fixture
def wire() -> Iterator[_core.Wire]:
    wire = _core.Wire(shown(NAME), limits={"body_bytes": 0})
    yield wire
    assert wire.active == 0


def client(wire: _core.Wire, name: str | None = NAME, context: ssl.SSLContext | None = None, fallback: bytes = b"") -> Memory:
    line = wire.open(tls=_core.TlsListener(fallback))
    return Memory(lambda data: wire.push(line, data), lambda: wire.pull(line), context or client_context(), name)


@pytest.fixture
def end(wire: _core.Wire) -> Memory:
    """The client of line 0, its handshake done."""
    end = client(wire)
    end.shake()
    return end


# ---- the library ---------------------------------------------------------------------------------


def test_the_library_is_that_of_python() -> None:
    assert _core.tls_load() == ssl.OPENSSL_VERSION


def test_prototypes_and_numbers_are_those_of_the_headers(tmp_path: Path) -> None:
    """Where OpenSSL's headers are installed the compiler compares."""
    compiler = shutil.which("gcc")
    if compiler is None or not Path("/usr/include/openssl/ssl.h").exists():
        pytest.skip("needs gcc and OpenSSL's headers")
    native = ROOT / "fastgw" / "native"
    header = (native / "openssl.h").read_text().replace("\\\n", " ")
    table = re.search(r"#define FGW_OPENSSL\(X\)(.*)\n", header)
    assert table
    rows = re.findall(r"X\(([^,]+), (\w+),\s*(\(.*?\))\)(?=\s+X\(|\s*$)", table[1])
    numbers = re.findall(r"(?m)^    (\w+) = (.+)$", (native / "openssl.pxd").read_text())
    assert len(rows) == len(re.findall(r"\bX\(", table[1])) > 60
    assert len(numbers) > 30
    spelled = {
        "TLSEXT_TYPE_SERVER_NAME": "TLSEXT_TYPE_server_name",
        "TLSEXT_NAMETYPE_HOST_NAME": "TLSEXT_NAMETYPE_host_name",
        "ALERT_INTERNAL_ERROR": "SSL_AD_INTERNAL_ERROR",
        "ALERT_UNRECOGNIZED_NAME": "SSL_AD_UNRECOGNIZED_NAME",
    }
    text = "".join(f"#include <openssl/{name}.h>\n" for name in ("ssl", "x509v3", "err", "pem"))
    for result, name, arguments in rows:
        same = f"__builtin_types_compatible_p(__typeof__(&{name}), __typeof__({result} (*){arguments}))"
        text += f'_Static_assert({same}, "{name}");\n'
    for name, value in numbers:
        text += f'_Static_assert({spelled.get(name, name)} == ({value}), "{name}");\n'
    source = tmp_path / "check.c"
    source.write_text(text)
    done = subprocess.run([compiler, "-fsyntax-only", str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# ---- certificates --------------------------------------------------------------------------------


def test_a_key_of_another_certificate_is_refused() -> None:
    cert, key = certificate()
    with pytest.raises(ValueError, match="key values mismatch"):
        _core.TlsServer([(cert.encode(), certificate()[1].encode())])
    with pytest.raises(ValueError, match="PEM certificate"):
        _core.TlsServer([(b"nothing", key.encode())])
    with pytest.raises(ValueError, match="key"):
        _core.TlsServer([(cert.encode(), b"nothing")])
    with pytest.raises(ValueError, match="protocols"):
        _core.TlsServer([(cert.encode(), key.encode())], protocols=["TLSv1.1"])


def test_a_key_with_a_passphrase_asks_nobody() -> None:
    cert, _ = certificate()
    locked = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGjMF8=\n-----END ENCRYPTED PRIVATE KEY-----\n"
    with pytest.raises(ValueError, match="key"):
        _core.TlsServer([(cert.encode(), locked)])


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("a.example", "a.example"),
        ("A.Example", "a.example"),
        ("x.wild.example", "*.wild.example"),
        ("exact.wild.example", "exact.wild.example"),
        ("x.y.wild.example", None),
        ("wild.example", None),
        ("b.example", None),
        (None, None),
    ],
)
def test_the_certificate_is_that_of_the_name(asked: str | None, found: str | None) -> None:
    wire = _core.Wire(shown("a.example", "*.wild.example", "exact.wild.example"))
    end = client(wire, asked)
    if found is None:
        with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
            end.shake()
        assert wire.finished(DOWN)
        return
    end.shake()
    cert = end.ssl.getpeercert(binary_form=True)
    assert cert is not None
    assert found.replace("*", "any").encode() in cert


def test_any_name_is_known_where_a_star_is() -> None:
    end = client(_core.Wire(shown("*")), "whatever.example")
    end.shake()


def test_a_client_without_a_name_gets_the_fallback() -> None:
    wire = _core.Wire(shown("a.example"))
    client(wire, None, fallback=b"a.example").shake()
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        client(wire, "b.example", fallback=b"a.example").shake()


def test_the_client_chooses_among_the_certificates_of_a_name() -> None:
    authority = Authority()
    pairs = [authority.issue(NAME, kind=kind) for kind in ("rsa", "ec")]
    server = _core.TlsServer([(cert.encode(), key.encode()) for cert, key in pairs])
    edit = _core.Edit(snapshot())
    edit.put_server_name(NAME.encode(), server)
    wire = _core.Wire(edit.finish())
    for pair, algorithm in zip(pairs, ("aRSA", "aECDSA"), strict=True):
        context = client_context(authority.pem, version=ssl.TLSVersion.TLSv1_2)
        context.set_ciphers(algorithm)
        end = client(wire, context=context)
        end.shake()
        assert ssl.DER_cert_to_PEM_cert(end.ssl.getpeercert(binary_form=True) or b"") == pair[0]


def test_the_chain_is_sent() -> None:
    root = Authority("root")
    cert, key = Authority("middle", under=root).issue(NAME)
    edit = _core.Edit(snapshot())
    edit.put_server_name(NAME.encode(), _core.TlsServer([(cert.encode(), key.encode())]))
    client(_core.Wire(edit.finish()), context=client_context(root.pem)).shake()


def test_versions_differ_by_name() -> None:
    wire = _core.Wire(shown(NAME, protocols=["TLSv1.2"]))
    end = client(wire)
    end.shake()
    assert end.ssl.version() == "TLSv1.2"
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        client(wire, context=client_context(version=ssl.TLSVersion.TLSv1_3)).shake()


def test_a_change_counts_for_the_next_handshake(wire: _core.Wire, end: Memory) -> None:
    wire.install(shown("b.example"))
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        client(wire).shake()
    client(wire, "b.example").shake()
    end.write(REQUEST)  # what was shaken before lives on
    upstream = wire.lines()[-1][0]
    wire.push(upstream, OK)
    assert end.read().startswith(b"HTTP/1.1 200 OK\r\n")


# ---- what is negotiated --------------------------------------------------------------------------


@pytest.mark.parametrize(("offered", "chosen"), [([], None), (["http/1.1"], "http/1.1"), (["h2", "http/1.1"], "http/1.1")])
def test_http1_is_chosen(wire: _core.Wire, offered: list[str], chosen: str | None) -> None:
    end = client(wire, context=client_context(alpn=offered))
    end.shake()
    assert end.ssl.selected_alpn_protocol() == chosen


def test_a_client_that_only_knows_others_is_refused(wire: _core.Wire) -> None:
    with pytest.raises(ssl.SSLError, match="no application protocol"):
        client(wire, context=client_context(alpn=["h2"])).shake()


def test_no_session_is_given_out(end: Memory) -> None:
    assert end.ssl.session is None or not end.ssl.session.has_ticket


# ---- records -------------------------------------------------------------------------------------


def test_requests_go_up_as_they_came(wire: _core.Wire, end: Memory) -> None:
    for _ in range(3):
        end.write(REQUEST)
        assert b"X-Forwarded-Proto: https\r\n" in wire.pull(UP)
        wire.push(UP, OK)
        answer = end.read()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b"\r\n\r\nok")
    assert len(wire.lines()) == 2


def test_byte_by_byte(wire: _core.Wire) -> None:
    end = client(wire)
    end.step = 1
    end.shake()
    end.write(REQUEST + REQUEST)
    wire.push(UP, OK)
    wire.push(UP, OK)
    assert end.read().count(b"200 OK") == 2


def test_head_and_body_of_an_answer_are_one_record(wire: _core.Wire, end: Memory) -> None:
    end.write(REQUEST)
    wire.push(UP, OK)
    sealed = wire.pull(DOWN)
    assert sealed[0] == 23
    assert len(sealed) == 5 + int.from_bytes(sealed[3:5], "big")


@pytest.mark.parametrize("room", [1, 100, 5_000, 70_000])
def test_a_long_answer_through_a_slow_client(wire: _core.Wire, end: Memory, room: int) -> None:
    body = bytes(range(256)) * (min(BIG, room * 3000) // 256)
    end.write(REQUEST)
    wire.room(DOWN, 0)
    rest = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    wire.push(UP, rest)
    got = bytearray()
    while not got.endswith(body[-200:]) or len(got) < len(body):
        wire.room(DOWN, room)
        assert wire.held() <= 256 * 1024
        got += end.read()
    assert bytes(got).partition(b"\r\n\r\n")[2] == body


def test_a_long_request_through_a_slow_upstream(wire: _core.Wire, end: Memory) -> None:
    body = bytes(range(256)) * 5000
    end.write(b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: %d\r\n\r\n" % len(body))
    got = wire.pull(UP)
    wire.room(UP, 0)
    end.write(body)
    while not got.endswith(body):
        wire.room(UP, 30_000)
        assert wire.held() <= 256 * 1024
        got += wire.pull(UP)
    wire.push(UP, OK)
    assert b"200 OK" in end.read()


class Rekeying:
    """A client that asks for new keys, which Python's ssl cannot: the functions of the same library, called by their names."""

    def __init__(self, wire: _core.Wire, line: int) -> None:
        self._wire, self._line = wire, line
        self._lib = ctypes.CDLL("libssl.so.3")
        for name in ("TLS_client_method", "SSL_CTX_new", "SSL_new", "BIO_s_mem", "BIO_new"):
            getattr(self._lib, name).restype = ctypes.c_void_p
        self._context = ctypes.c_void_p(self._call("SSL_CTX_new", ctypes.c_void_p(self._call("TLS_client_method"))))
        self._ssl = ctypes.c_void_p(self._call("SSL_new", self._context))
        self._in, self._out = (ctypes.c_void_p(self._call("BIO_new", ctypes.c_void_p(self._call("BIO_s_mem")))) for _ in "io")
        self._call("SSL_set_bio", self._ssl, self._in, self._out)
        self._call("SSL_ctrl", self._ssl, 55, ctypes.c_long(0), NAME.encode())  # SSL_CTRL_SET_TLSEXT_HOSTNAME
        self._call("SSL_set_connect_state", self._ssl)
        while self._call("SSL_do_handshake", self._ssl) != 1:
            self.push()
            data = wire.pull(line)
            self._call("BIO_write", self._in, data, len(data))
        self.push()

    def _call(self, name: str, *args: object) -> int:
        return int(getattr(self._lib, name)(*args) or 0)

    def write(self, data: bytes) -> None:
        assert self._call("SSL_write", self._ssl, data, len(data)) == len(data)

    def rekey(self) -> None:
        """Of both sides: the other one has to answer."""
        assert self._call("SSL_key_update", self._ssl, 1) == 1
        assert self._call("SSL_do_handshake", self._ssl) == 1

    def push(self) -> None:
        data = ctypes.create_string_buffer(65536)
        while (n := self._call("BIO_read", self._out, data, len(data))) in range(1, 65537):
            self._wire.push(self._line, data.raw[:n])

    def close(self) -> None:
        self._call("SSL_free", self._ssl)
        self._call("SSL_CTX_free", self._context)


def test_a_peer_that_asks_for_keys_and_takes_none_fills_no_memory(wire: _core.Wire) -> None:
    client = Rekeying(wire, wire.open(tls=_core.TlsListener(b"")))
    client.write(b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 100000000\r\n\r\n")
    client.push()
    wire.room(DOWN, 0)
    for _ in range(40_000):
        client.write(b"x")  # between bytes of a body nothing looks idle
        client.rekey()
        client.push()
        wire.pull(UP)
    assert wire.held() <= 300_000
    wire.end(DOWN)
    client.close()


# ---- ends ----------------------------------------------------------------------------------------


def test_both_sides_close_in_order(wire: _core.Wire, end: Memory) -> None:
    end.write(b"GET /a HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
    wire.push(UP, OK)
    assert end.read().endswith(b"ok")
    assert end.ended()
    assert not wire.is_open(DOWN)


def test_a_client_may_close_by_close_notify_alone(wire: _core.Wire, end: Memory) -> None:
    with pytest.raises(ssl.SSLWantReadError):
        end.ssl.unwrap()
    end.exchange()
    assert not wire.is_open(DOWN)


def test_an_answer_that_is_cut_has_no_close_notify(wire: _core.Wire, end: Memory) -> None:
    """Of a body that lasts until the close only this tells a client that it is not whole."""
    end.write(b"GET /a HTTP/1.0\r\nHost: a.example\r\n\r\n")
    wire.push(UP, b"HTTP/1.1 200 OK\r\n\r\npart")
    wire.reset(UP)
    assert end.read().endswith(b"part")
    assert not wire.is_open(DOWN)
    assert not end.ended()


def test_an_answer_until_close_that_ended_has_one(wire: _core.Wire, end: Memory) -> None:
    end.write(b"GET /a HTTP/1.0\r\nHost: a.example\r\n\r\n")
    wire.push(UP, b"HTTP/1.1 200 OK\r\n\r\nall")
    wire.end(UP)
    assert end.read().endswith(b"all")
    assert end.ended()


def test_a_request_body_that_is_cut_short_is_no_request(wire: _core.Wire, end: Memory) -> None:
    end.write(b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 10\r\n\r\nhalf")
    wire.end(DOWN)
    assert not wire.is_open(DOWN)
    assert not wire.is_open(UP)


def test_a_half_closed_client_gets_its_answer(wire: _core.Wire, end: Memory) -> None:
    end.write(REQUEST)
    wire.end(DOWN)
    wire.push(UP, OK)
    assert end.read().endswith(b"ok")


def test_a_record_that_was_changed_ends_the_connection(wire: _core.Wire, end: Memory) -> None:
    end.ssl.write(REQUEST)
    sealed = bytearray(end.outgoing.read())
    sealed[-1] ^= 1
    wire.push(DOWN, bytes(sealed))
    assert not wire.is_open(DOWN)
    assert wire.lines() == [(DOWN, "down", False)]


# ---- handshakes that do not come to an end ---------------------------------------------------------


@pytest.mark.parametrize("piece", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"])
def test_half_a_handshake_has_one_deadline(piece: bytes) -> None:
    wire = _core.Wire(shown(NAME), limits={"head_timeout": 10})
    wire.open(tls=_core.TlsListener())
    wire.push(DOWN, piece)
    for _ in range(9):
        wire.advance(1)
        wire.push(DOWN, piece and b"\0")
        assert wire.is_open(DOWN)
    wire.advance(1.2)
    assert not wire.is_open(DOWN)


def test_a_client_that_takes_nothing_moves_no_deadline() -> None:
    wire = _core.Wire(shown(NAME), limits={"head_timeout": 10})
    end = client(wire)
    wire.room(DOWN, 0)
    with pytest.raises(AssertionError, match="does not end"):
        end.shake()
    for _ in range(9):
        wire.advance(1)
        wire.room(DOWN, 1)
    assert wire.is_open(DOWN)
    wire.advance(1.2)
    assert not wire.is_open(DOWN)


@pytest.mark.parametrize("data", [REQUEST, b"\0" * 100, b"\x16\x03\x01\xff\xff" + b"x" * 70_000, b"SSH-2.0-x\r\n"])
def test_what_is_no_handshake_is_closed_in_order(wire: _core.Wire, data: bytes) -> None:
    line = wire.open(tls=_core.TlsListener())
    wire.push(line, data)
    wire.push(line, data)
    assert wire.finished(line)
    wire.end(line)
    assert not wire.is_open(line)


def test_a_client_that_ends_in_its_handshake_is_forgotten(wire: _core.Wire) -> None:
    line = wire.open(tls=_core.TlsListener())
    wire.push(line, b"\x16\x03\x01")
    wire.end(line)
    assert not wire.is_open(line)


def test_a_broken_line_in_a_handshake(wire: _core.Wire) -> None:
    end = client(wire)
    with pytest.raises(ssl.SSLWantReadError):
        end.ssl.do_handshake()
    wire.breaks(DOWN)
    end.exchange()
    assert not wire.is_open(DOWN)


# ---- whatever comes ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(60))
def test_changed_bytes_end_the_connection_and_nothing_else(seed: int) -> None:
    """Bytes of handshake and requests are changed, lost, doubled or swapped, and cut anywhere."""
    chance = random.Random(seed)
    wire = _core.Wire(shown(NAME))
    line = wire.open(tls=_core.TlsListener())

    def send(data: bytes) -> None:
        spoilt = bytearray(data)
        if spoilt and chance.random() < 0.5:
            at = chance.randrange(len(spoilt))
            how = chance.randrange(4)
            if how == 0:
                spoilt[at] ^= 1 << chance.randrange(8)
            elif how == 1:
                del spoilt[at : at + chance.choice((1, 5, 100))]
            elif how == 2:
                spoilt[at:at] = spoilt[at : at + chance.choice((1, 5, 100))]
            else:
                spoilt[at:] = spoilt[at:][::-1]
        while spoilt and wire.is_open(line):
            size = chance.choice((1, 5, 100, 5000))
            wire.push(line, bytes(spoilt[:size]))
            del spoilt[:size]

    end = Memory(send, lambda: wire.pull(line), client_context(), NAME)
    with contextlib.suppress(ssl.SSLError, AssertionError):
        end.shake()
        for _ in range(5):
            end.write(REQUEST)
            for up, side, is_open in wire.lines():
                if side == "up" and is_open and wire.pull(up):
                    wire.push(up, OK)
            end.read()
    wire.reset(line)
    assert wire.active == 0
    assert not wire.is_open(line)
    honest = client(wire)  # the core lives on
    honest.shake()
