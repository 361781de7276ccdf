"""proxy-mirror from outside: what the other server gets, and that the request and its answer are what they are without it."""

import re
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from fastgw.plugins.check import check_plugin
from tests.plugins.mirror import ask, mirror, parse
from tests.support import wire
from tests.support.gateway import Gateway
from tests.support.upstreams import Answering, Scripted, Upstream
from tests.support.waiting import until
from tests.support.wire import Address

MOST = 1024  # bytes of a copied body


class Silent(Upstream):
    """Takes requests and never answers."""

    def talk(self, sock: socket.socket, index: int) -> None:
        while self.read(sock, index):
            pass


def node(address: Address, **more: Any) -> dict[str, Any]:
    return {"type": "roundrobin", "nodes": {str(address): 1}, **more}


def copies(other: Upstream) -> bytes:
    return b"".join(bytes(each) for each in other.received)


def settled(other: Upstream, mark: bytes) -> bytes:
    """All that the other server got, once that is among it."""
    until(lambda: mark in copies(other), f"{mark!r} reaches the mirror")
    return copies(other)


def send(gateway: Gateway, request: bytes) -> Any:
    return parse(wire.raw(gateway.data, request))


@pytest.fixture(scope="module")
def other() -> Iterator[Answering]:
    with Answering() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, other: Answering) -> Iterator[Gateway]:
    with mirror() as upstream:
        host = f"http://{other.address}"
        confs: dict[str, dict[str, Any]] = {
            "plain": {"host": host, "max_req_body_size": MOST},
            "replace": {"host": host, "path": "/shadow"},
            "prefix": {"host": host, "path": "/shadow", "path_concat_mode": "prefix"},
            "never": {"host": host, "sample_ratio": 0.00001},
        }
        routes = [
            {"id": n, "uri": f"/{n}*", "upstream": node(upstream.address), "plugins": {"proxy-mirror": c}}
            for n, c in confs.items()
        ]
        routes[0]["enable_websocket"] = True
        who: dict[str, Any] = {"key-auth": {}, "proxy-mirror": {"host": host}}
        routes.append({"id": "who", "uri": "/who", "upstream": node(upstream.address), "plugins": who})
        routes.append(
            {
                "id": "node",
                "uri": "/node",
                "upstream": node(upstream.address, pass_host="node"),
                "plugins": {"proxy-mirror": {"host": host}},
            }
        )
        jack = {"username": "jack", "plugins": {"key-auth": {"key": "jacks-key"}}}
        twice = {"host": host, "path": "/global", "_meta": {"filter": [["arg_twice", "==", "1"]]}}
        rules = [{"id": "1", "plugins": {"proxy-mirror": twice}}]
        config = {"routes": routes, "consumers": [jack], "global_rules": rules}
        with Gateway(tmp_path_factory.mktemp("mirror"), config) as running:
            yield running


def test_a_copy_is_what_the_upstream_gets(gateway: Gateway, other: Answering) -> None:
    answer = ask(gateway, "/plain/a%2Fb?x=1&n=copy-1", "X-One: 1", "TE: trailers", "X-Consumer-Username: eve")
    assert answer.status == 200
    got = settled(other, b"n=copy-1")
    found = re.search(rb"GET /plain/a%2Fb\?x=1&n=copy-1 HTTP/1.1\r\n.*?\r\n\r\n", got, re.DOTALL)
    assert found is not None
    assert sorted(found[0].decode().split("\r\n")) == sorted(answer.sent.split("\r\n"))
    assert b"eve" not in found[0]
    assert b"X-Forwarded-For: 127.0.0.1" in found[0]


def test_the_identity_goes_along(gateway: Gateway, other: Answering) -> None:
    assert ask(gateway, "/who", "apikey: jacks-key").status == 200
    assert b"X-Consumer-Username: jack" in settled(other, b"GET /who ")
    assert ask(gateway, "/who", "apikey: wrong").status == 401  # refused: nothing to copy


def test_a_host_of_the_upstreams_own_is_not_told(gateway: Gateway, other: Answering) -> None:
    assert ask(gateway, "/node").status == 200
    assert f"Host: {other.address}\r\n".encode() in settled(other, b"GET /node ")


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/replace/x?a=1", b"GET /shadow?a=1 "),
        ("/replace/y", b"GET /shadow "),
        ("/prefix/x?b=2", b"GET /shadow/prefix/x?b=2 "),
    ],
)
def test_paths(gateway: Gateway, other: Answering, target: str, path: bytes) -> None:
    ask(gateway, target)
    settled(other, path)


def test_bodies_of_all_framings_are_copied(gateway: Gateway, other: Answering) -> None:
    whole = b"POST /plain HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: 6\r\n\r\nlength"
    assert send(gateway, whole).sent.endswith("length")
    assert settled(other, b"length").count(b"Content-Length: 6\r\n\r\nlength") == 1
    head = b"POST /plain HTTP/1.1\r\nHost: t\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = head + b"3;x=1\r\nchu\r\n4\r\nnked\r\n0\r\n\r\n"
    assert "Transfer-Encoding: chunked" in send(gateway, chunks).sent
    assert b"Content-Length: 7\r\n\r\nchunked" in settled(other, b"chunked")


@pytest.mark.parametrize("at_once", [True, False])
def test_two_mirrors_of_one_body(gateway: Gateway, other: Answering, at_once: bool) -> None:
    """A global rule's and the route's, whether the body is there when they ask for it or comes later."""
    mark = f"body of two {at_once}".encode()
    head = f"POST /plain?twice=1&n={at_once} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {len(mark)}\r\n"
    if at_once:
        answer = send(gateway, head.encode() + b"\r\n" + mark)
    else:
        with closing(wire.connect(gateway.data)) as sock:
            sock.sendall(head.encode() + b"Expect: 100-continue\r\n\r\n")
            assert wire.read_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
            sock.sendall(mark)
            answer = parse(wire.read_to_end(sock))
    assert answer.status == 200
    until(lambda: copies(other).count(mark) == 2, "both copies reach the mirror")
    for path in (b"plain", b"global"):
        assert b"POST /%b?twice=1&n=%b " % (path, str(at_once).encode()) in copies(other)


def test_a_body_is_not_waited_for(gateway: Gateway, other: Answering) -> None:
    """The upstream has the first half while the client still holds the second."""
    with closing(wire.connect(gateway.data)) as client:
        client.sendall(b"POST /plain/halves HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: 10\r\n\r\nfirst")
        assert b"POST /plain/halves" not in copies(other)
        client.sendall(b"-last")
        assert parse(wire.read_to_end(client)).sent.endswith("first-last")
    assert b"first-last" in settled(other, b"first-last")


def test_what_is_not_copied(gateway: Gateway, other: Answering) -> None:
    """Bodies that are too long, requests that are no sample, and those for a tunnel; all the same they are served."""
    body = b"z" * (MOST + 1)
    head = b"POST /plain/long HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    assert send(gateway, head + body).sent.endswith("zz")
    for _ in range(20):
        assert ask(gateway, "/never").status == 200
    upgrade = b"GET /plain/up HTTP/1.1\r\nHost: t\r\nConnection: upgrade, close\r\nUpgrade: websocket\r\n\r\n"
    assert send(gateway, upgrade).status == 200
    ask(gateway, "/plain/behind")
    got = settled(other, b"/plain/behind")
    assert b"/plain/long" not in got
    assert b"/never" not in got
    assert b"/plain/up" not in got
    assert "a copy was dropped" in gateway.log()


def test_head_is_mirrored_and_its_answer_not_waited_for(gateway: Gateway, other: Answering) -> None:
    assert wire.request(gateway.data, "HEAD", "/plain/head").status == 200
    ask(gateway, "/plain/after-head")
    assert b"HEAD /plain/head " in settled(other, b"/plain/after-head")


def test_answers_of_the_mirror_change_nothing(directory: Any) -> None:
    """Whatever it says: errors, nonsense, nothing at all."""
    bad = Scripted([b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"], [b"nonsense\r\n\r\n"], [b""])
    with mirror() as upstream, bad as other, Silent() as silent:
        routes = [
            {"id": n, "uri": f"/{n}", "upstream": node(upstream.address), "plugins": {"proxy-mirror": {"host": f"http://{a}"}}}
            for n, a in (("bad", other.address), ("silent", silent.address))
        ]
        with Gateway(directory, {"routes": routes}) as gateway:
            for _ in range(3):
                answer = ask(gateway, "/bad")
                assert (answer.status, answer.header("Content-Length")) == (200, [str(len(answer.body))])
            until(lambda: "not sent" in gateway.log(), "the log tells of a failure")
            for _ in range(40):  # more than there are connections to it
                assert ask(gateway, "/silent").status == 200
            until(lambda: len(silent.received) == 16, "sixteen connections, and no more")
            assert ask(gateway, "/silent").status == 200


def test_a_mirror_that_is_down_is_told_once(directory: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = Address(*closed.getsockname())
    plugins = {"proxy-mirror": {"host": f"http://{address}"}}
    with mirror() as upstream:
        config = {"routes": [{"id": "r", "uri": "/*", "upstream": node(upstream.address), "plugins": plugins}]}
        with Gateway(directory, config) as gateway:
            for _ in range(20):
                assert ask(gateway).status == 200
            until(lambda: "not sent" in gateway.log(), "the log tells of it")
            assert gateway.log().count("not sent") == 1


def test_a_client_that_leaves_in_the_middle_of_its_body_is_not_mirrored(gateway: Gateway, other: Answering) -> None:
    with closing(wire.connect(gateway.data)) as client:
        client.sendall(b"POST /plain/gone HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nfirst")
    ask(gateway, "/plain/after-gone")
    assert b"/plain/gone" not in settled(other, b"/plain/after-gone")


@pytest.mark.parametrize(
    "conf",
    [
        {},
        {"host": "127.0.0.1:80"},
        {"host": "http://a/b"},
        {"host": "http://a:0"},
        {"host": "grpc://a:80"},
        {"host": "ftp://a"},
        {"host": "http://a\r\nX: 1"},
        {"host": "http://a", "path": "x"},
        {"host": "http://a", "path": "/x?y"},
        {"host": "http://a", "path": "/x y"},
        {"host": "http://a", "path": "/x#y"},
        {"host": "http://a", "path": "/x\r\n"},
        {"host": "http://a", "path_concat_mode": "suffix"},
        {"host": "http://a", "sample_ratio": 0},
        {"host": "http://a", "sample_ratio": 1.1},
        {"host": "http://a", "max_req_body_size": 0},
    ],
)
def test_confs_that_are_refused(conf: dict[str, Any]) -> None:
    assert check_plugin("routes", "proxy-mirror", conf)[0]
