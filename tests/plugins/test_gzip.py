"""gzip and brotli from outside: the same answers in both codings, streams, long answers beside others, what is refused."""

import contextlib
import gzip
import json
import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from fastgw.plugins import codings
from fastgw.plugins.check import check_plugin
from tests.plugins.mirror import ask
from tests.support import wire
from tests.support.gateway import Gateway
from tests.support.upstreams import Answering, Upstream

Json = dict[str, Any]
PAGE = b"<p>again and again</p>" * 100
LONG = b"".join(b"line %d of a long answer\n" % i for i in range(200_000))  # 5 MB
CONFS: dict[str, Json] = {
    "plain": {},
    "all": {"types": "*", "vary": True},
    "listed": {"types": ["text/plain", "Application/JSON"], "min_length": 2201, "http_version": 1.0},
}
DECODE: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.decompress, "br": lambda body: codings.brotli().decompress(body)}
PLUGINS = {"gzip": "gzip", "brotli": "br"}


def answer(request: bytes) -> bytes:
    target = request.split(b" ")[1]
    body = LONG if b"long" in target else PAGE
    kind = target.partition(b"?")[2].replace(b"long", b"") or b"text/html"
    said = b"" if request.startswith(b"HEAD") else body
    kind = b"" if kind == b"none" else b"Content-Type: %b\r\n" % kind
    return b'HTTP/1.1 200 OK\r\n%bETag: "x"\r\nContent-Length: %d\r\n\r\n%b' % (kind, len(body), said)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Answering(answer) as upstream:
        node = {"type": "roundrobin", "nodes": {str(upstream.address): 1}}
        routes = [
            {"id": f"{plugin}-{n}", "uri": f"/{plugin}/{n}", "upstream": node, "plugins": {plugin: c}}
            for n, c in CONFS.items()
            for plugin in PLUGINS
        ]
        both = {"gzip": {"types": "*"}, "brotli": {"types": "*", "comp_level": 11, "lgwin": 0}}
        routes.append({"id": "both", "uri": "/both", "upstream": node, "plugins": both})
        kept = {"proxy-cache": {"cache_strategy": "memory", "cache_zone": "memory_cache"}, "gzip": {"types": "*", "vary": True}}
        rewritten = {**kept, "response-rewrite": {"filters": [{"regex": "again", "scope": "global", "replace": "anew"}]}}
        routes.append({"id": "kept", "uri": "/kept", "upstream": node, "plugins": kept})
        routes.append({"id": "rewritten", "uri": "/rewritten", "upstream": node, "plugins": rewritten})
        with Gateway(tmp_path_factory.mktemp("gzip"), {"routes": routes}) as running:
            yield running


@pytest.mark.parametrize("plugin", PLUGINS)
@pytest.mark.parametrize(
    ("target", "accept", "coded"),
    [
        ("plain", True, True),
        ("plain", False, False),
        ("plain?text/css", True, False),
        ("all?text/css", True, True),
        ("all?image/png", True, True),
        ("listed?application/json", True, False),  # 2,200 bytes
        ("listed?application/json;long", True, True),
    ],
)
def test_what_is_coded(gateway: Gateway, plugin: str, target: str, accept: bool, coded: bool) -> None:
    coding = PLUGINS[plugin]
    got = gateway.get(f"/{plugin}/{target}", headers={"Accept-Encoding": coding if accept else "identity"})
    assert got.headers.get("content-encoding") == (coding if coded else None)
    assert got.headers["etag"] == ('W/"x"' if coded else '"x"')
    assert got.headers.get("vary") == ("Accept-Encoding" if target.startswith("all") else None)
    body = DECODE[coding](got.body) if coded else got.body
    assert body == (LONG if "long" in target else PAGE)


def test_the_clients_weights_decide_between_the_two(gateway: Gateway) -> None:
    for accept, coding in (
        ("gzip, br", "br"),
        ("gzip, br;q=0.9", "gzip"),
        ("*", "br"),
        ("deflate", None),
        ("br;q=0, gzip;q=0", None),
    ):
        assert gateway.get("/both", headers={"Accept-Encoding": accept}).headers.get("content-encoding") == coding


def test_older_clients_and_head(gateway: Gateway) -> None:
    old = b"GET %b HTTP/1.0\r\nHost: t\r\nAccept-Encoding: gzip\r\n\r\n"
    head, _, body = wire.raw(gateway.data, old % b"/gzip/listed?text/plain;long").partition(b"\r\n\r\n")
    assert (b"Content-Encoding: gzip" in head, gzip.decompress(body)) == (True, LONG)
    assert b"Content-Encoding" not in wire.raw(gateway.data, old % b"/gzip/plain")
    got = wire.request(gateway.data, "HEAD", "/gzip/all", headers={"Accept-Encoding": "gzip"})
    assert (got.headers.get("content-encoding"), got.headers["content-length"]) == (None, str(len(PAGE)))


@pytest.mark.parametrize("accept", [["gzip", "identity", "gzip"], ["identity", "gzip", "identity"]])
@pytest.mark.parametrize("route", ["kept", "rewritten"])
def test_a_cache_keeps_what_is_not_coded(gateway: Gateway, route: str, accept: list[str]) -> None:
    page = PAGE if route == "kept" else PAGE.replace(b"again", b"anew")
    for turn, coding in enumerate(accept):
        got = gateway.get(f"/{route}?text/{accept[0]}", headers={"Accept-Encoding": coding})
        assert got.headers["apisix-cache-status"] == ("MISS" if turn == 0 else "HIT")
        assert got.headers.get("content-encoding") == (coding if coding == "gzip" else None)
        assert (gzip.decompress(got.body) if coding == "gzip" else got.body) == page
        assert "Accept-Encoding" in got.headers["vary"]
        assert ("etag" in got.headers) == (route == "kept")  # of another body it says nothing


def test_what_was_kept_without_a_type_is_not_coded(gateway: Gateway) -> None:
    for expected in ("MISS", "HIT"):
        got = gateway.get("/kept?none", headers={"Accept-Encoding": "gzip"})
        assert (got.headers["apisix-cache-status"], got.headers.get("content-encoding")) == (expected, None)
        assert got.body == PAGE


class Events(Upstream):
    """Sends one event, and the next one only when the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.next = threading.Semaphore(0)

    def talk(self, sock: Any, index: int) -> None:
        self.read_request(sock, index)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(3):
            event = b"data: %d\n\n" % number
            sock.sendall(b"%x\r\n%b\r\n" % (len(event), event))
            assert self.next.acquire(timeout=wire.TIMEOUT)
        sock.sendall(b"0\r\n\r\n")


@pytest.mark.parametrize("plugin", PLUGINS)
def test_events_come_one_by_one(directory: Path, plugin: str) -> None:
    with Events() as upstream, contextlib.ExitStack() as stack:
        node = {"type": "roundrobin", "nodes": {str(upstream.address): 1}}
        plugins = {plugin: {"types": ["text/event-stream"]}}
        routes = [{"id": "e", "uri": "/*", "upstream": node, "plugins": plugins}]
        gateway = stack.enter_context(Gateway(directory, {"routes": routes}))
        client = stack.enter_context(closing(HTTPConnection(gateway.data.host, gateway.data.port, timeout=wire.TIMEOUT)))
        client.request("GET", "/", headers={"Accept-Encoding": PLUGINS[plugin]})
        stream = client.getresponse()
        assert stream.headers["Content-Encoding"] == PLUGINS[plugin]
        gunzip = zlib.decompressobj(31)
        unbrotli = codings.brotli().Decompressor()
        for number in range(3):
            event, seen = b"data: %d\n\n" % number, b""
            while len(seen) < len(event):
                piece = stream.read1(4096)
                assert piece
                seen += gunzip.decompress(piece) if plugin == "gzip" else unbrotli.process(piece)
            assert seen == event
            upstream.next.release()
        stream.read()


def test_a_long_answer_lets_others_go_between_its_pieces(gateway: Gateway) -> None:
    """Of 5 MB at a level that takes seconds for them: another that comes later ends earlier."""
    ended = threading.Event()

    def drain(sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while sock.recv(65536):
                pass
        ended.set()

    with closing(wire.connect(gateway.data)) as sock:
        sock.sendall(b"GET /both?long HTTP/1.1\r\nHost: t\r\nAccept-Encoding: br\r\nConnection: close\r\n\r\n")
        assert b"Content-Encoding: br" in sock.recv(4096)
        reader = threading.Thread(target=drain, args=(sock,))
        reader.start()
        assert ask(gateway, "/gzip/plain").status == 200
        assert not ended.is_set()
        sock.shutdown(socket.SHUT_RDWR)
        reader.join()


REFUSED: list[tuple[str, Json, str]] = [
    *[(plugin, {"types": value}, "types") for plugin in PLUGINS for value in ([], "text/html")],
    *[(plugin, {"types": value}, "types[0]") for plugin in PLUGINS for value in ([""], [1])],
    *[(plugin, {"min_length": 0}, "min_length") for plugin in PLUGINS],
    *[(plugin, {"http_version": 2}, "http_version") for plugin in PLUGINS],
    *[(plugin, {"vary": 1}, "vary") for plugin in PLUGINS],
    ("gzip", {"comp_level": 0}, "comp_level"),
    ("gzip", {"comp_level": 10}, "comp_level"),
    ("gzip", {"buffers": {"number": 0}}, "buffers.number"),
    ("brotli", {"comp_level": 12}, "comp_level"),
    ("brotli", {"mode": 3}, "mode"),
    ("brotli", {"lgwin": 9}, "lgwin"),
    ("brotli", {"lgblock": 15}, "lgblock"),
]


@pytest.mark.parametrize(("plugin", "conf", "where"), REFUSED, ids=lambda value: json.dumps(value)[:60])
def test_confs_that_are_refused(plugin: str, conf: Json, where: str) -> None:
    assert where in [str(fault.path) for fault in check_plugin("routes", plugin, conf)[0]]


@pytest.mark.parametrize("plugin", PLUGINS)
def test_confs_that_are_taken(plugin: str) -> None:
    more = (
        [{"buffers": {"number": 1, "size": 1}}, {"http_version": 1}]
        if plugin == "gzip"
        else [{"mode": 2, "lgwin": 24, "lgblock": 16}]
    )
    for conf in [*CONFS.values(), *more]:
        assert check_plugin("routes", plugin, conf) == ([], [])


def test_brotli_is_refused_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codings, "brotli", lambda: None)
    (fault,) = check_plugin("routes", "brotli", {})[0]
    assert fault.message == "not supported without the Python package Brotli: pip install 'fastgw[brotli]'"


def test_a_package_that_bounds_nothing_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class Old:
        class Decompressor:
            pass

    codings.brotli.cache_clear()
    monkeypatch.setattr(codings.importlib, "import_module", lambda name: Old)
    assert codings.brotli() is None
    monkeypatch.undo()
    codings.brotli.cache_clear()
    assert codings.brotli() is not None
