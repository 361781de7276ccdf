"""forward-auth on the wire: a server that gives no answer, or one in any framing; bodies that go along; connections."""

import json
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.plugins.forward import DOWN, OK, SPELLINGS, Auth, answer, config, fields
from tests.plugins.mirror import Answer, ask, mirror, parse
from tests.support import wire
from tests.support.certificates import certificate
from tests.support.gateway import Gateway, free_addresses
from tests.support.upstreams import Scripted, Upstream
from tests.support.waiting import until


def post(gateway: Gateway, body: bytes, *lines: str, framed: str | None = None) -> Answer:
    """POST /a byte by byte; the body is as framed says, or of its length."""
    head = ["POST /a HTTP/1.1", "Host: test", "Connection: close", *lines, framed or f"Content-Length: {len(body)}", "", ""]
    return parse(wire.raw(gateway.data, "\r\n".join(head).encode() + body))


# -- no answer ---------------------------------------------------------------------------------------

BROKEN = {
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nX-User: a",
    "half a body": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
    "not HTTP": b"SSH-2.0-x\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 1\r\n\r\n",
    "length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "control character": b"HTTP/1.1 200 OK\r\nX-User: a\x01b\r\nContent-Length: 0\r\n\r\n",
    "line feed": b"HTTP/1.1 200 OK\r\nX-User: a\nX-Role: b\r\nContent-Length: 0\r\n\r\n",
    "bare carriage return": b"HTTP/1.1 200 OK\r\nX-User: a\rX-Role: b\r\nContent-Length: 0\r\n\r\n",
    "null": b"HTTP/1.1 200 OK\r\nX-User: a\0b\r\nContent-Length: 0\r\n\r\n",
    "delete": b"HTTP/1.1 200 OK\r\nX-User: a\x7fb\r\nContent-Length: 0\r\n\r\n",
    "switching": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "status out of range": b"HTTP/1.1 777 Odd\r\nContent-Length: 0\r\n\r\n",
    "endless head": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 12000,
    "endless interim": b"HTTP/1.1 103 Early\r\nX: y\r\n\r\n" * 3000 + OK,
    "endless trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n" + b"X: y\r\n" * 12000,
    "endless trailer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: " + b"y" * 70000,
    "endless body": b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + b"x" * 2000000,
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_no_answer_lets_nobody_in(directory: Path, what: str) -> None:
    log = directory / "access.log"
    with mirror() as upstream, Scripted([BROKEN[what]]) as auth:
        value = config(upstream.address, auth.address, upstream_headers=["X-User", "X-Role"], access_log={"path": str(log)})
        with Gateway(directory, value) as gateway:
            for _ in range(2):
                got = ask(gateway, "/a")
                assert (got.status, got.body, got.sent) == (403, DOWN, "")
            assert gateway.log().count("forward-auth: http://") == 1  # once, not for each request
        assert [json.loads(line)["refused"] for line in log.read_text().splitlines()] == ["forward.unreachable"] * 2


GOOD = {
    "interim answers first": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nX-User: no\r\n\r\n" + answer("X-User: ann"),
    "chunks": b"HTTP/1.1 200 OK\r\nX-User: ann\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    "trailers": b"HTTP/1.1 200 OK\r\nX-User: ann\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX-User: eve\r\n\r\n",
    "chunks of a byte": b"HTTP/1.1 200 OK\r\nX-User: ann\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"1\r\nx\r\n" * 50000
    + b"0\r\n\r\n",
    "until it closes": b"HTTP/1.1 200 OK\r\nX-User: ann\r\n\r\nabc",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nX-User: ann\r\n\r\n",
    "more behind it": answer("X-User: ann") + answer("X-User: eve"),
}


@pytest.mark.parametrize("what", GOOD)
def test_every_lawful_framing_is_an_answer(directory: Path, what: str) -> None:
    with (
        mirror() as upstream,
        Scripted([GOOD[what]]) as auth,
        Gateway(directory, config(upstream.address, auth.address, upstream_headers=["X-User"])) as gateway,
    ):
        for _ in range(3):
            got = ask(gateway, "/a")
            assert (got.status, "X-User: ann\r\n" in got.sent, got.sent.count("X-User")) == (200, True, 1)


REFUSALS = {
    "in its body": b"HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\nab",
    "in a chunk": b"HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "as it is too long": b"HTTP/1.1 302 Found\r\nContent-Length: 2000000\r\n\r\n" + b"x" * 2000000,
    "as it does not end": b"HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\nab",
    "of no lawful status": b"HTTP/1.1 777 Odd\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("what", REFUSALS)
def test_a_refusal_that_breaks_off_is_one_still(directory: Path, what: str) -> None:
    """Whoever can make the other server's answer long or slow, say by a long URL, must not get in by that."""
    with (
        mirror() as upstream,
        Scripted([REFUSALS[what]], keep_open="not end" in what) as auth,
        Gateway(directory, config(upstream.address, auth.address, allow_degradation=True, timeout=500)) as gateway,
    ):
        got = ask(gateway, "/a")
        assert (got.status, got.body, got.sent) == (403, DOWN, "")


def test_a_server_that_is_not_there(directory: Path) -> None:
    (nobody,) = free_addresses(1)
    with mirror() as upstream:
        with Gateway(directory, config(upstream.address, nobody, status_on_error=503)) as gateway:
            got = ask(gateway, "/a")
            assert (got.status, got.body, got.sent) == (503, b'{"error_msg":"Service Unavailable"}\n', "")
        (directory / "2").mkdir()
        with Gateway(
            directory / "2", config(upstream.address, nobody, allow_degradation=True, upstream_headers=["X-User"])
        ) as gateway:
            got = ask(gateway, "/a", *(f"{name}: forged" for name in SPELLINGS))
            assert got.status == 200
            assert "forged" not in got.sent


def test_a_server_that_does_not_answer_in_time(directory: Path) -> None:
    class Silent(Upstream):
        def talk(self, sock: socket.socket, index: int) -> None:
            self.read_request(sock, index)
            self.closing.wait()

    with (
        mirror() as upstream,
        Silent() as auth,
        Gateway(directory, config(upstream.address, auth.address, timeout=200)) as gateway,
    ):
        assert ask(gateway, "/a").body == DOWN
        assert "no answer within 0.2 s" in gateway.log()


def test_a_client_that_leaves_while_the_other_server_thinks(directory: Path) -> None:
    with mirror() as upstream, Scripted(keep_open=True) as silent, Auth() as auth:
        value = config(upstream.address, silent.address)
        silent.talk = lambda sock, index: (silent.read_request(sock, index), silent.closing.wait())[0] and None  # type: ignore[method-assign]
        value["routes"].append(
            {**value["routes"][0], "id": "b", "uri": "/b", "plugins": {"forward-auth": {"uri": auth.address.url}}}
        )
        with Gateway(directory, value) as gateway:
            for index in range(3):
                with wire.connect(gateway.data) as sock:
                    sock.sendall(b"GET /a HTTP/1.1\r\nHost: test\r\n\r\n")
                    silent.wait_for(b"\r\n\r\n", index)
            assert ask(gateway, "/b").status == 200
            assert "Traceback" not in gateway.log()
            assert "never retrieved" not in gateway.log()


# -- bodies ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [0, 5, 300000])
def test_a_body_goes_along_and_then_to_the_upstream(directory: Path, size: int, chunked: bool) -> None:
    body = bytes(i * 7 & 0xFF for i in range(size))
    framed = b"".join(b"%x;e=1\r\n%b\r\n" % (len(each), each) for each in (body[:3], body[3:]) if each) + b"0\r\nX-T: t\r\n\r\n"
    with mirror() as upstream, Auth(answer("X-User: ann")) as auth:
        value = config(upstream.address, auth.address, request_method="POST", upstream_headers=["X-User"])
        with Gateway(directory, value) as gateway:
            own = ("Content-Encoding: x-none", "Content-Type: text/x", "TE: trailers")
            got = post(gateway, framed if chunked else body, *own, framed="Transfer-Encoding: chunked" if chunked else None)
            assert got.status == 200
            assert "X-User: ann\r\n" in got.sent
            assert got.sent.endswith("\r\n\r\n" + body.decode("latin-1"))
            (asked,) = auth.asked
            assert asked.startswith(b"POST /check?x=1 HTTP/1.1\r\n")
            assert asked.endswith(b"\r\n\r\n" + body)
            framing = [
                each for each in fields(asked) if each[0] in ("content-length", "transfer-encoding", "expect", "te", "trailer")
            ]
            assert framing == [("content-length", str(size))]
            assert dict(fields(asked))["content-encoding"] == "x-none"
            assert "content-type" not in dict(fields(asked))


def test_a_get_leaves_the_body_alone(directory: Path) -> None:
    with mirror() as upstream, Auth() as auth, Gateway(directory, config(upstream.address, auth.address)) as gateway:
        assert post(gateway, b"12345").sent.endswith("\r\n\r\n12345")
        assert "content-length" not in dict(fields(auth.asked[0]))


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_refused_unasked(directory: Path, chunked: bool) -> None:
    log = directory / "access.log"
    with mirror() as upstream, Auth() as auth:
        value = config(upstream.address, auth.address, request_method="POST", max_req_body_size=4, access_log={"path": str(log)})
        with Gateway(directory, value) as gateway:
            framed = "Transfer-Encoding: chunked" if chunked else None
            got = post(gateway, b"5\r\n12345\r\n0\r\n\r\n" if chunked else b"12345", framed=framed)
            assert (got.status, got.body, got.sent) == (413, b"", "")
            assert post(gateway, b"4\r\n1234\r\n0\r\n\r\n" if chunked else b"1234", framed=framed).status == 200
        assert len(auth.asked) == 1
        assert json.loads(log.read_text().splitlines()[0])["refused"] == "forward.too_large"


def test_a_client_that_waits_to_be_told(directory: Path) -> None:
    with mirror() as upstream, Auth() as auth:
        value = config(upstream.address, auth.address, request_method="POST", max_req_body_size=9)
        with Gateway(directory, value) as gateway:
            for size in (5, 10):
                with wire.connect(gateway.data) as sock:
                    sock.sendall(b"POST /a HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % size)
                    if size == 10:
                        assert wire.read_response(sock).status == 413
                        continue
                    assert wire.read_until(sock, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
                    assert auth.asked == []
                    sock.sendall(b"123")
                    sock.sendall(b"45")
                    assert wire.read_response(sock).status == 200
        assert b"expect" not in auth.asked[0].lower()
        assert b"Expect" not in bytes(upstream.received[0])


def test_a_client_that_leaves_in_its_body(directory: Path) -> None:
    log = directory / "access.log"
    with mirror() as upstream, Auth() as auth:
        value = config(upstream.address, auth.address, request_method="POST", access_log={"path": str(log)})
        with Gateway(directory, value) as gateway:
            for half in (b"Content-Length: 10\r\n\r\n123", b"Transfer-Encoding: chunked\r\n\r\n5\r\n12"):
                assert wire.raw(gateway.data, b"POST /a HTTP/1.1\r\nHost: t\r\n" + half, half_close=True) == b""
            assert (
                wire.raw(gateway.data, b"POST /a HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")[9:12] == b"400"
            )
            assert "Traceback" not in gateway.log()
        assert (auth.asked, upstream.received) == ([], [])
        assert [json.loads(line).get("refused") for line in log.read_text().splitlines()] == [
            "client.left",
            "client.left",
            "framing.chunk",
        ]


# -- connections -------------------------------------------------------------------------------------


@pytest.mark.parametrize("keepalive", [True, False])
def test_connections_are_kept_or_not(directory: Path, keepalive: bool) -> None:
    with mirror() as upstream, Auth() as auth:
        with Gateway(directory, config(upstream.address, auth.address, keepalive=keepalive)) as gateway:
            assert [ask(gateway, "/a").status for _ in range(4)] == [200] * 4
        assert len(auth.received) == (1 if keepalive else 4)
        assert ("connection", "close") not in fields(auth.asked[0]) or not keepalive


@pytest.mark.parametrize("more", [b"H", b"HTTP/1.1 200 OK\r\nX-User: eve\r\n", answer("X-User: eve", body=b"long")[:-3]])
def test_no_question_follows_the_beginning_of_another_answer(directory: Path, more: bytes) -> None:
    with mirror() as upstream, Auth(answer("X-User: ann") + more) as auth:
        with Gateway(directory, config(upstream.address, auth.address, upstream_headers=["X-User"])) as gateway:
            for _ in range(3):
                got = ask(gateway, "/a")
                assert (got.status, "X-User: ann\r\n" in got.sent, "eve" in got.sent) == (200, True, False)
        assert len(auth.received) == 3


def test_how_many_connections_are_kept_and_how_long(directory: Path) -> None:
    together = threading.Barrier(3, timeout=wire.TIMEOUT)

    def respond(request: bytes) -> bytes:
        if b"/a/together" in request:
            together.wait()
        return OK

    with mirror() as upstream, Auth(respond) as auth:
        value = config(upstream.address, auth.address, keepalive_pool=1, keepalive_timeout=3000)
        with Gateway(directory, value) as gateway, ThreadPoolExecutor(3) as pool:
            for connections in (3, 5):  # two of three were not kept
                asked = [pool.submit(ask, gateway, "/a/together") for _ in range(3)]
                assert [each.result().status for each in asked] == [200] * 3
                assert len(auth.received) == connections
            assert ask(gateway, "/a").status == 200
            assert len(auth.received) == 5
            until(lambda: auth.open == 0, "the kept connection is closed when its time is over")
            assert ask(gateway, "/a").status == 200
            assert len(auth.received) == 6


def test_a_kept_connection_that_was_closed_is_replaced(directory: Path) -> None:
    with mirror() as upstream, Scripted([OK]) as auth, Gateway(directory, config(upstream.address, auth.address)) as gateway:
        assert [ask(gateway, "/a").status for _ in range(4)] == [200] * 4
        assert len(auth.received) == 4


class Secure(Upstream):
    """Over TLS."""

    def __init__(self, directory: Path, text: tuple[str, str]) -> None:
        super().__init__()
        (directory / "auth.pem").write_text("".join(text))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(directory / "auth.pem")

    def talk(self, sock: socket.socket, index: int) -> None:
        try:
            with self.context.wrap_socket(sock.dup(), server_side=True) as secure:
                secure.settimeout(wire.TIMEOUT)
                while self.read_request(secure, index):
                    secure.sendall(OK)
        except ssl.SSLError:
            pass  # the other side did not like the certificate


@pytest.mark.parametrize("case", ["unknown", "unverified", "trusted", "other name"])
def test_the_certificate_is_checked_unless_told_otherwise(directory: Path, case: str) -> None:
    text = certificate("auth", None if case == "other name" else "127.0.0.1")
    (directory / "ca.pem").write_text(text[0])
    env = {"SSL_CERT_FILE": str(directory / "ca.pem")} if case in ("trusted", "other name") else {}
    with mirror() as upstream, Secure(directory, text) as auth:
        value = config(
            upstream.address, f"https://{auth.address}/check", **({"ssl_verify": False} if case == "unverified" else {})
        )
        with Gateway(directory, value, env=env) as gateway:
            good = case in ("unverified", "trusted")
            assert [ask(gateway, "/a").status for _ in range(2)] == ([200, 200] if good else [403, 403])
            assert ("certificate" in gateway.log().lower()) is not good
