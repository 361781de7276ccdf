"""TLS towards upstreams: who is believed, who is asked for, what is shown, what is kept and resumed."""

import contextlib
import datetime
import hashlib
import json
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import wire
from tests.support.certificates import BRIEF, Authority, certificate
from tests.support.gateway import Gateway, one_route
from tests.support.tls import server_context
from tests.support.upstreams import OK, Answering, big_body, big_digest
from tests.support.waiting import until

CA = Authority()
BIG = 6_000_000


class TlsServer(Answering):
    """An upstream behind TLS. `names` are the server names that it was asked for, `resumed` whether each handshake was one."""

    def __init__(self, context: ssl.SSLContext, respond: Callable[[bytes], bytes] = lambda request: OK) -> None:
        super().__init__(respond)
        self.context = context
        self.names: list[str | None] = []
        self.resumed: list[bool] = []
        self.people: list[Any] = []
        self.refusals: list[str] = []
        context.sni_callback = lambda sock, name, _: self.names.append(name)

    def talk(self, sock: socket.socket, index: int) -> None:
        sock.settimeout(None)
        try:
            shaken = self.context.wrap_socket(sock, server_side=True)
        except (ssl.SSLError, ConnectionError) as error:
            self.refusals.append(str(error))
            return
        self.resumed.append(bool(shaken.session_reused))
        self.people.append(shaken.getpeercert())
        with contextlib.closing(shaken), contextlib.suppress(ssl.SSLError):
            self.speak(shaken, index)

    def speak(self, sock: ssl.SSLSocket, index: int) -> None:
        super().talk(sock, index)


def server(*names: str, authority: Authority = CA, lasts: datetime.timedelta | None = None, ask: str | None = None) -> TlsServer:
    cert, key = authority.issue(*names) if lasts is None else authority.issue(*names, lasts=lasts)
    return TlsServer(server_context(cert, key, ask=ask))


def config(directory: Path, upstream: TlsServer, **fields: Any) -> dict[str, Any]:
    trusted = directory / "trusted.pem"
    trusted.write_text(CA.pem)
    made = one_route(upstream.address)
    made["routes"][0]["upstream"].update({"scheme": "https", **fields})
    return {**made, "tls": {"trusted_certificate": str(trusted)}, "access_log": {"path": str(directory / "access.log")}}


def refused(directory: Path) -> str:
    """The reason of the one request there was."""
    log = directory / "access.log"
    line = until(lambda: log.exists() and log.read_text(), "the access log has a line")
    return str(json.loads(str(line).splitlines()[0])["refused"])


# ---- who is believed -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "fields", "reason"),
    [
        (("127.0.0.1",), {}, None),  # the node, as the operator named it
        (("b.example",), {"pass_host": "rewrite", "upstream_host": "b.example"}, None),  # the name that is asked for
        (("*.w.example",), {"pass_host": "rewrite", "upstream_host": "b.w.example:8443"}, None),
        (("b.example",), {}, "upstream.tls.name"),
        (("127.0.0.2",), {}, "upstream.tls.name"),
        (("*.w.example",), {"pass_host": "rewrite", "upstream_host": "a.b.w.example"}, "upstream.tls.name"),
        (("b.example",), {"tls": {"verify": False}}, None),
        (("b.example",), {"tls": {"verify": True}}, "upstream.tls.name"),
    ],
)
def test_the_certificate_must_be_of_whom_was_meant(
    tmp_path: Path, names: tuple[str, ...], fields: dict[str, Any], reason: str | None
) -> None:
    with server(*names) as upstream, Gateway(tmp_path, config(tmp_path, upstream, **fields)) as gateway:
        response = gateway.get("/")
        assert response.status == (200 if reason is None else 502)
        if reason is not None:
            assert refused(tmp_path) == reason
            assert not any(upstream.received)


@pytest.mark.parametrize("what", ["self-signed", "another authority", "expired"])
def test_what_is_not_believed(tmp_path: Path, what: str) -> None:
    if what == "self-signed":
        upstream, reason = TlsServer(server_context(*certificate(address="127.0.0.1"))), "upstream.tls.self_signed"
    elif what == "expired":
        upstream, reason = server("127.0.0.1", lasts=BRIEF), "upstream.tls.expired"
    else:
        upstream, reason = server("127.0.0.1", authority=Authority("others")), "upstream.tls.untrusted"
    with upstream, Gateway(tmp_path, config(tmp_path, upstream)) as gateway:
        assert gateway.get("/").status == 502
        assert refused(tmp_path) == reason
        assert not any(upstream.received)
        gateway.put("routes/r", config(tmp_path, upstream, tls={"verify": False})["routes"][0])
        assert gateway.get("/").status == 200  # and the connections of the one are not those of the other
        gateway.put("routes/r", config(tmp_path, upstream)["routes"][0])
        assert gateway.get("/").status == 502


def test_a_chain_is_followed(tmp_path: Path) -> None:
    upstream = server("127.0.0.1", authority=Authority("middle", under=CA))
    with upstream, Gateway(tmp_path, config(tmp_path, upstream)) as gateway:
        assert gateway.get("/").status == 200


def test_the_trust_of_the_system(tmp_path: Path) -> None:
    """SSL_CERT_FILE is where OpenSSL looks for it."""
    with server("127.0.0.1") as upstream:
        settings = config(tmp_path, upstream)
        trusted = settings.pop("tls")["trusted_certificate"]
        with Gateway(tmp_path, settings, env={"SSL_CERT_FILE": trusted}) as gateway:
            assert gateway.get("/").status == 200


def test_an_upstream_that_speaks_no_tls(tmp_path: Path) -> None:
    class Plain(TlsServer):
        def talk(self, sock: socket.socket, index: int) -> None:
            self.read(sock, index)
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with Plain(server_context(*CA.issue("127.0.0.1"))) as upstream, Gateway(tmp_path, config(tmp_path, upstream)) as gateway:
        assert gateway.get("/").status == 502
        assert refused(tmp_path) == "upstream.tls.handshake"


def test_another_node_is_tried(tmp_path: Path) -> None:
    with server("127.0.0.1") as good, server("127.0.0.1", authority=Authority("others")) as bad:
        settings = config(tmp_path, good)
        settings["routes"][0]["upstream"]["nodes"] = {str(good.address): 1, str(bad.address): 1}
        with Gateway(tmp_path, settings) as gateway:
            assert [gateway.get("/").status for _ in range(6)] == [200] * 6
        assert bad.refusals


def test_a_post_is_not_sent_twice_but_may_be_sent_after_a_failed_handshake(tmp_path: Path) -> None:
    with server("127.0.0.1") as good, server("127.0.0.1", authority=Authority("others")) as bad:
        settings = config(tmp_path, good)
        settings["routes"][0]["upstream"]["nodes"] = {str(good.address): 1, str(bad.address): 1}
        with Gateway(tmp_path, settings) as gateway:
            assert [wire.request(gateway.data, "POST", "/", b"x").status for _ in range(4)] == [200] * 4
        assert sum(bytes(one).count(b"POST /") for one in good.received) == 4


# ---- who is asked for ----------------------------------------------------------------------------


def test_the_server_name_is_the_host(tmp_path: Path) -> None:
    with server("127.0.0.1") as upstream, Gateway(tmp_path, config(tmp_path, upstream)) as gateway:
        for host, name in [("a.example", "a.example"), ("B.Example:81", "b.example"), ("127.0.0.1", None), ("[::1]:5", None)]:
            assert gateway.get("/", headers={"Host": host}).status == 200
            assert upstream.names[-1] == name


def test_a_connection_serves_its_own_name_only(tmp_path: Path) -> None:
    with server("127.0.0.1") as upstream, Gateway(tmp_path, config(tmp_path, upstream)) as gateway:
        for _ in range(3):
            for host in ("a.example", "b.example"):
                assert gateway.get("/", headers={"Host": host}).status == 200
        assert upstream.names == ["a.example", "b.example"]
        for received, host in zip(upstream.received, ("a.example", "b.example"), strict=True):
            assert bytes(received).count(f"\r\nHost: {host}\r\n".encode()) == 3


def test_a_session_is_resumed_for_its_own_name_only(tmp_path: Path) -> None:
    with server("127.0.0.1") as upstream:
        settings = config(tmp_path, upstream, keepalive_pool={"requests": 1})
        with Gateway(tmp_path, settings) as gateway:
            for host in ("a.example", "a.example", "a.example", "b.example", "b.example"):
                assert gateway.get("/", headers={"Host": host}).status == 200
        assert upstream.resumed == [False, True, True, False, True]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_connections_and_sessions_by_version(tmp_path: Path, version: ssl.TLSVersion) -> None:
    with server("127.0.0.1") as upstream:
        upstream.context.maximum_version = version
        with Gateway(tmp_path, config(tmp_path, upstream, keepalive_pool={"requests": 2})) as gateway:
            assert [gateway.get("/").status for _ in range(6)] == [200] * 6
        assert upstream.resumed == [False, True, True]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_upstream_of_old_versions_is_refused(tmp_path: Path) -> None:
    with server("127.0.0.1") as upstream, Gateway(tmp_path, config(tmp_path, upstream)) as gateway:
        upstream.context.set_ciphers("ALL:@SECLEVEL=0")
        upstream.context.minimum_version = upstream.context.maximum_version = ssl.TLSVersion.TLSv1_1
        assert gateway.get("/").status == 502
        assert refused(tmp_path) == "upstream.tls.handshake"


# ---- what is shown -------------------------------------------------------------------------------


def test_a_client_certificate(tmp_path: Path) -> None:
    people = Authority("people")
    cert, key = people.issue("gateway")
    other, other_key = people.issue("other")
    with server("127.0.0.1", ask=people.pem) as upstream:
        with Gateway(tmp_path, config(tmp_path, upstream, tls={"client_cert": cert, "client_key": key})) as gateway:
            assert gateway.get("/").status == 200
            # By id, and anew when that changes: the connections of one certificate are not those of the other.
            gateway.put("ssls/c", {"type": "client", "cert": cert, "key": key})
            gateway.put("routes/r", config(tmp_path, upstream, tls={"client_cert_id": "c"})["routes"][0])
            assert gateway.get("/").status == 200
            gateway.put("ssls/c", {"type": "client", "cert": other, "key": other_key})
            assert gateway.get("/").status == 200
            gateway.put("routes/r", config(tmp_path, upstream)["routes"][0])
            assert gateway.get("/").status == 502  # none at all
        shown = [dict(part[0] for part in person["subject"])["commonName"] for person in upstream.people if person]
    assert shown[0] == "gateway"
    assert shown[-1] == "other"


# ---- bodies --------------------------------------------------------------------------------------


def test_long_bodies_both_ways(tmp_path: Path) -> None:
    body = b"".join(big_body(BIG))

    def respond(request: bytes) -> bytes:
        got = request.partition(b"\r\n\r\n")[2]
        assert hashlib.sha256(got).hexdigest() == big_digest(BIG)
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(got) + got

    with server("127.0.0.1") as upstream, Gateway(tmp_path, config(tmp_path, upstream)) as gateway:
        upstream.respond = respond
        response = wire.request(gateway.data, "POST", "/", body)
        assert response.status == 200
        assert hashlib.sha256(response.body).hexdigest() == big_digest(BIG)


class Cutting(TlsServer):
    """Answers with a body that lasts until the close, and closes with or without saying so."""

    polite = True

    def speak(self, sock: ssl.SSLSocket, index: int) -> None:
        self.read_request(sock, index)
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        if self.polite:
            sock.unwrap()
        else:
            socket.socket(fileno=sock.detach()).close()


@pytest.mark.parametrize("polite", [True, False])
def test_a_body_until_close_that_was_cut_is_told_apart(tmp_path: Path, polite: bool) -> None:
    with Cutting(server_context(*CA.issue("127.0.0.1"))) as upstream:
        upstream.polite = polite
        with Gateway(tmp_path, config(tmp_path, upstream)) as gateway:
            answer = wire.raw(gateway.data, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert b"all of it" in answer
    assert answer.endswith(b"0\r\n\r\n") is polite


def test_an_upstream_that_does_not_shake_hands(tmp_path: Path) -> None:
    class Silent(TlsServer):
        def talk(self, sock: socket.socket, index: int) -> None:
            while self.read(sock, index):
                pass

    with Silent(server_context(*CA.issue("127.0.0.1"))) as upstream:
        fields = {"timeout": {"connect": 1, "send": 60, "read": 60}}
        with Gateway(tmp_path, config(tmp_path, upstream, **fields)) as gateway:
            assert gateway.get("/").status == 504
            assert refused(tmp_path) == "upstream.connect_timeout"
