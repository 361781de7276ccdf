"""The Admin listener on the wire: framing, bounds, keep-alive, and nothing of ours in a client's face."""

import asyncio
import json
import os
import re
import signal
import socket
from collections.abc import Callable

import pytest
import uvloop

from fastgw.admin import server
from fastgw.admin.envelope import Reply
from fastgw.admin.server import MAX_BODY, MAX_HEAD, MAX_HEADERS, Request, Server
from tests.support.waiting import until

from .conftest import KEY, Admin

GET = f"GET /apisix/admin/routes HTTP/1.1\r\nHost: a\r\nX-API-KEY: {KEY}\r\n\r\n".encode()


def exchange(admin: Admin, sent: bytes, *, half_close: bool = False) -> bytes:
    """All that comes back until the server closes."""
    with admin.raw() as sock:
        sock.sendall(sent)
        if half_close:
            sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(65536), b""))


def one_answer(sock: socket.socket) -> tuple[int, bytes]:
    """Status and body of the next answer on a connection that stays open."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += sock.recv(1)
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    body = b""
    while len(body) < length:
        body += sock.recv(length - len(body))
    return int(head.split()[1]), body


def test_an_answer_byte_for_byte(admin: Admin) -> None:
    raw = exchange(admin, GET.replace(b"Host: a", b"Host: a\r\nConnection: close"))
    head, _, body = raw.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 200 OK"
    assert lines[1].startswith("Date: ")
    assert lines[2:5] == ["Content-Type: application/json", f"Content-Length: {len(body)}", "Connection: close"]
    assert lines[5].startswith("Server: APISIX/3.18.0 fastgw/")
    assert lines[6] == "X-API-VERSION: v3"
    assert re.fullmatch(r'ETag: "\d+"', lines[7])
    assert len(lines) == 8
    assert body == b'{"total":0,"list":[]}\n'


def test_server_tokens_off(make_admin: Callable[..., Admin]) -> None:
    assert make_admin(server_tokens=False).call("GET", "/routes").headers["Server"] == "APISIX"


def test_a_connection_serves_many_requests_also_byte_by_byte(admin: Admin) -> None:
    with admin.raw() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(3):
            for byte in GET:
                sock.sendall(bytes([byte]))
            assert one_answer(sock) == (200, b'{"total":0,"list":[]}\n')


def test_pipelined_requests_are_answered_in_order(admin: Admin) -> None:
    def put(number: int) -> bytes:
        body = json.dumps({"username": f"pipelined{number}"}).encode()
        head = f"PUT /apisix/admin/consumers HTTP/1.1\r\nX-API-KEY: {KEY}\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body

    with admin.raw() as sock:
        sock.sendall(b"".join(put(number) for number in range(20)))
        for number in range(20):
            status, body = one_answer(sock)
            assert (status, json.loads(body)["key"]) == (201, f"/apisix/consumers/pipelined{number}")


def test_chunked_body_and_expect_continue(admin: Admin) -> None:
    body = json.dumps({"username": "chunked"}).encode()
    with admin.raw() as sock:
        head = f"PUT /apisix/admin/consumers HTTP/1.1\r\nX-API-KEY: {KEY}\r\nExpect: 100-continue\r\n"
        sock.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        for byte in body:
            sock.sendall(b"1\r\n" + bytes([byte]) + b"\r\n")
        sock.sendall(b"0\r\n\r\n")
        assert one_answer(sock)[0] == 201


def test_http_1_0_closes_and_head_has_no_body(admin: Admin) -> None:
    raw = exchange(admin, b"HEAD /apisix/admin HTTP/1.0\r\n\r\n")
    assert raw.startswith(b"HTTP/1.1 200 OK\r\n")
    assert raw.endswith(b"\r\n\r\n")


def test_an_upgrade_is_not_taken(admin: Admin) -> None:
    upgrade = GET.replace(b"Host: a", b"Host: a\r\nConnection: Upgrade\r\nUpgrade: h2c")
    raw = exchange(admin, upgrade + b"and more")
    assert raw.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Connection: close" in raw
    assert raw.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /\x00 HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n folded: x\r\n\r\n", 400),
        (b"PUT / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"PUT / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"PUT / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"PUT / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n", 400),
        (b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET /" + b"a" * MAX_HEAD + b" HTTP/1.1\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\na: " + b"b" * MAX_HEAD, 431),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * (MAX_HEADERS + 1) + b"\r\n", 431),
        (b"GET /elsewhere HTTP/1.0\r\n\r\n", 404),
        (b"GET http://a/apisix/admin HTTP/1.0\r\n\r\n", 404),
    ],
)
def test_bad_requests_are_told_so_and_closed(admin: Admin, sent: bytes, status: int) -> None:
    head, _, body = exchange(admin, sent, half_close=True).partition(b"\r\n\r\n")
    assert head.split()[1] == str(status).encode()
    assert b"Connection: close" in head
    assert json.loads(body).keys() == {"error_msg"}
    assert b"Traceback" not in body


@pytest.mark.parametrize("chunked", [False, True])
def test_too_large_a_body_is_refused_and_the_answer_arrives(admin: Admin, chunked: bool) -> None:
    size = MAX_BODY + 100_000
    head = f"PUT /apisix/admin/routes/x HTTP/1.1\r\nX-API-KEY: {KEY}\r\n"
    with admin.raw() as sock:
        if chunked:
            sock.sendall(head.encode() + f"Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n".encode())
        else:
            sock.sendall(head.encode() + f"Content-Length: {size}\r\n\r\n".encode())
        sock.sendall(b" " * size)  # all of it: the server must not reset before its answer is read
        status, body = one_answer(sock)
    message = json.loads(body)["error_msg"]
    assert status == 400
    assert message.startswith("invalid request body: request size ")
    assert message.endswith(f"is greater than the maximum size {MAX_BODY} allowed")
    assert chunked or str(size) in message


def test_a_body_of_just_the_limit_is_read(admin: Admin) -> None:
    body = json.dumps({"username": "large"}).encode()
    answer = admin.call("PUT", "/consumers", body + b" " * (MAX_BODY - len(body)))
    assert answer.status == 201


def test_a_set_body_limit(make_admin: Callable[..., Admin]) -> None:
    answer = make_admin(body_bytes=2048).call("PUT", "/consumers", b" " * 2049)
    assert "maximum size 2048" in answer.body["error_msg"]


def test_term_lets_the_answer_that_is_due_go_out(make_admin: Callable[..., Admin]) -> None:
    admin = make_admin()
    admin.region.set_slot(0, admin.process.pid + (1 << 22), 1, 2)  # a worker that is behind, of no living pid
    with admin.raw() as busy, admin.raw() as idle:
        idle.sendall(GET)
        assert one_answer(idle)[0] == 200
        body = b'{"username": "due"}'
        head = f"PUT /apisix/admin/consumers HTTP/1.1\r\nX-API-KEY: {KEY}\r\nContent-Length: {len(body)}\r\n\r\n"
        busy.sendall(head.encode() + body)
        until(lambda: admin.region.target() > 0, "the write is published")
        admin.process.send_signal(signal.SIGTERM)
        assert idle.recv(1) == b"", "an idle connection is closed at once"
        admin.region.set_applied(0, admin.region.target())
        assert one_answer(busy)[0] == 201
    assert admin.process.wait(30) == 0


def test_a_stop_waits_for_what_is_done_for_a_client_that_has_gone() -> None:
    """Else what the handler needs is taken from under it: half of a write is done."""
    done = []

    async def main() -> None:
        begun, may_end = asyncio.Event(), asyncio.Event()

        async def slow(_: Request) -> Reply:
            begun.set()
            await may_end.wait()
            done.append("whole")
            return Reply(200, b"ok")

        running = Server(slow, "test")
        listener = socket.create_server(("127.0.0.1", 0))
        await running.listen(listener)
        _, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await begun.wait()
        writer.transport.abort()
        while running.connections:
            await asyncio.sleep(0)
        stopping = asyncio.create_task(running.stop())
        for _ in range(5):
            await asyncio.sleep(0)
        assert not stopping.done()
        may_end.set()
        await stopping
        assert done == ["whole"]

    asyncio.run(main())


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_connection_that_was_accepted_as_the_stop_began_is_closed(run: Callable[..., None]) -> None:
    asked = []

    async def note(_: Request) -> Reply:
        asked.append("asked")
        return Reply(200, b"ok")

    async def main() -> None:
        running = Server(note, "test")
        listener = socket.create_server(("127.0.0.1", 0))
        address = listener.getsockname()
        await running.listen(listener)
        told, begin = os.pipe()
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_reader(told, stopped.set)
        waiting = asyncio.create_task(stopped.wait())
        await asyncio.sleep(0)
        os.write(begin, b"x")  # both are there when the event loop looks: the word to stop first
        with socket.create_connection(address) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await waiting
            asyncio.get_running_loop().remove_reader(told)
            await running.stop()
            seen = list(asked)
            assert not running.connections
            assert not running.answering
            for _ in range(5):
                await asyncio.sleep(0)
            assert asked == seen, "nothing is asked of what has been stopped"
        os.close(told)
        os.close(begin)

    run(main())


# Time: against a server in this process, with its limits made short; each test waits for the server's deed.


def serve(handler: server.Handler, talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]) -> None:
    async def main() -> None:
        running = Server(handler, "test")
        listener = socket.create_server(("127.0.0.1", 0))
        await running.listen(listener)
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        await asyncio.wait_for(talk(reader, writer), 30)  # type: ignore[arg-type]
        writer.close()
        await running.stop()

    asyncio.run(main())


async def ok(_: Request) -> Reply:
    return Reply(200, b"ok")


@pytest.mark.parametrize(
    ("sent", "limit", "answer"),
    [
        (b"", "IDLE_TIMEOUT_S", b""),
        (b"GET / HTT", "HEAD_TIMEOUT_S", b"HTTP/1.1 408 "),
        (b"PUT / HTTP/1.1\r\nContent-Length: 5\r\n\r\n123", "BODY_TIMEOUT_S", b"HTTP/1.1 408 "),
    ],
)
def test_slow_peers_are_cut_off(monkeypatch: pytest.MonkeyPatch, sent: bytes, limit: str, answer: bytes) -> None:
    monkeypatch.setattr(server, limit, 0.05)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        assert (await reader.read()).startswith(answer)

    serve(ok, talk)


def test_dripping_does_not_stretch_the_time_for_a_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEAD_TIMEOUT_S", 0.3)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = asyncio.ensure_future(reader.read())
        writer.write(b"GET / HTTP/1.1\r\n")
        while not answer.done():
            writer.write(b"a: b\r\n")
            await asyncio.wait([answer], timeout=0.05)
        assert answer.result().startswith(b"HTTP/1.1 408 ")

    serve(ok, talk)


def test_a_handler_that_fails_is_a_500_without_details(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(_: Request) -> Reply:
        raise RuntimeError("secret detail")

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET /path?api_key=secret-key HTTP/1.0\r\n\r\n")
        text = await reader.read()
        assert text.startswith(b"HTTP/1.1 500 ")
        assert b"secret detail" not in text

    serve(fail, talk)
    assert "secret detail" in caplog.text
    assert "secret-key" not in caplog.text


def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 0)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.read() == b""

    serve(ok, talk)
