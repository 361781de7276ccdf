"""real-ip's step: which words are addresses, whose word counts, and who goes by it."""

from typing import Any

import pytest

from fastgw import _core
from fastgw.compile import Compiler
from fastgw.plugins.check import check_plugin
from tests.support.core import ask
from tests.unit.test_compile import route


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", ("192.0.2.1", 0)),
        (" 192.0.2.1\t", ("192.0.2.1", 0)),
        ("192.0.2.1:80", ("192.0.2.1", 80)),
        ("192.0.2.1:65535", ("192.0.2.1", 65535)),
        ("2001:DB8::0:1", ("2001:db8::1", 0)),
        ("[2001:db8::1]", ("2001:db8::1", 0)),
        ("[2001:db8::1]:8080", ("2001:db8::1", 8080)),
        ("::ffff:192.0.2.1", ("192.0.2.1", 0)),
        ("[::ffff:c000:201]:1", ("192.0.2.1", 1)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert _core._test_address(text.encode()) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "unknown",
        "_hidden",
        "192.0.2",
        "192.0.2.256",
        "192.0.2.1:",
        "192.0.2.1:0",
        "192.0.2.1:65536",
        "192.0.2.1:080000",
        "192.0.2.1:x",
        "192.0.2.1 :80",
        "[192.0.2.1]",
        "[::1",
        "[::1]x",
        "[::1]80",
        "[]",
        "[::1]:",
        "::1%eth0",
        "192.0.2.1\x00",
        ":80",
        "192.0.2.1,192.0.2.2",
        "f" * 100,
        "[::1]:1:2",
        "1.2.3.4:1:2",
    ],
)
def test_what_is_no_address(text: str) -> None:
    assert _core._test_address(text.encode()) is None


def found(conf: dict[str, Any], *fields: str, target: str = "/", peer: str = "192.0.2.1", **more: Any) -> str:
    """The X-Real-IP that the upstream gets."""
    assert check_plugin("routes", "real-ip", conf)[0] == []
    build = Compiler().apply([route("r", "/*", plugins={"real-ip": conf, **more})])
    assert build.faults == ()
    request = "\r\n".join([f"GET {target} HTTP/1.1", "Host: h", *fields, "", ""]).encode()
    sent, got = ask(build.snapshot, request, address=peer)
    lines = dict(line.partition(": ")[::2] for line in sent.decode().split("\r\n"))
    return lines["X-Real-IP"] if sent else got[9:12].decode()


PEERS = {"trusted_addresses": ["192.0.2.0/24", "2001:db8::/32"]}
CHAIN = {"source": "http_x_forwarded_for", "recursive": True, **PEERS}


@pytest.mark.parametrize(
    ("conf", "fields", "address"),
    [
        ({"source": "http_x_real_ip"}, ["X-Real-IP: 10.0.0.1"], "10.0.0.1"),
        ({"source": "http_x_real_ip"}, ["x-ReAL-ip: 10.0.0.1:99"], "10.0.0.1"),
        ({"source": "http_x_real_ip"}, ["X-Real-IP: 10.0.0.1", "X-Real-IP: 10.0.0.1"], "192.0.2.1"),
        ({"source": "http_x_real_ip"}, ["X-Real-IP: 10.0.0.1", "X_Real_IP: 10.0.0.2"], "10.0.0.1"),
        ({"source": "http_x_real_ip"}, ["X_Real_IP: 10.0.0.1"], "192.0.2.1"),
        ({"source": "http_x_own"}, ["X-Own: 10.0.0.1", "X_Own: 10.0.0.2"], "10.0.0.1"),
        ({"source": "http_x_real_ip"}, ["X-Real-IP: nobody"], "192.0.2.1"),
        ({"source": "http_x_real_ip"}, [], "192.0.2.1"),
        ({"source": "http_x_real_ip", **PEERS}, ["X-Real-IP: ::1"], "::1"),
        ({"source": "http_x_real_ip", "trusted_addresses": ["10.0.0.0/8"]}, ["X-Real-IP: 10.0.0.1"], "192.0.2.1"),
        ({"source": "http_x_forwarded_for"}, ["X-Forwarded-For: 10.0.0.1, 10.0.0.2"], "10.0.0.2"),
        ({"source": "http_x_forwarded_for"}, ["X-Forwarded-For: 10.0.0.1", "X-Forwarded-For: 10.0.0.2,10.0.0.3"], "10.0.0.3"),
        ({"source": "http_x_forwarded_for"}, ["X-Forwarded-For: 10.0.0.1,"], "192.0.2.1"),
        ({"source": "http_x_forwarded_for", "recursive": True}, ["X-Forwarded-For: 10.0.0.1, 192.0.2.9"], "192.0.2.9"),
        (CHAIN, ["X-Forwarded-For: 10.0.0.1, 10.0.0.2, 192.0.2.9, 2001:db8::1"], "10.0.0.2"),
        (CHAIN, ["X-Forwarded-For: 10.0.0.1, 10.0.0.2", "X-Forwarded-For: 192.0.2.9, 192.0.2.8"], "10.0.0.2"),
        (CHAIN, ["X-Forwarded-For: 192.0.2.7, 192.0.2.9"], "192.0.2.7"),
        (CHAIN, ["X-Forwarded-For: 10.0.0.1, x, 192.0.2.9"], "192.0.2.1"),
        (CHAIN, ["X-Forwarded-For: 10.0.0.1, , 192.0.2.9"], "192.0.2.1"),
        (CHAIN, [], "192.0.2.1"),
        ({"source": "cookie_ip"}, ["Cookie: a=1; ip=10.0.0.1"], "10.0.0.1"),
    ],
)
def test_whose_word_counts(conf: dict[str, Any], fields: list[str], address: str) -> None:
    assert found(conf, *fields) == address


def test_an_argument_and_a_unix_socket() -> None:
    assert found({"source": "arg_realip"}, target="/?realip=1.2.3.4:80") == "1.2.3.4"
    assert found({"source": "arg_realip"}, target="/?realip=[::1]:80") == "::1"


def test_all_go_by_it_that_ask_for_the_client() -> None:
    conf = {"source": "http_x_real_ip", **PEERS}
    ten = "X-Real-IP: 10.0.0.1"
    deny = {"ip-restriction": {"blacklist": ["10.0.0.0/8"]}}
    assert found(conf, ten, **deny) == "403"
    assert found(conf, "X-Real-IP: 11.0.0.1", **deny) == "11.0.0.1"
    assert (
        found(conf, ten, **{"proxy-rewrite": {"uri": "/x", "_meta": {"filter": [["remote_addr", "==", "10.0.0.1"]]}}})
        == "10.0.0.1"
    )
    build = Compiler().apply([route("r", "/*", plugins={"real-ip": conf})])
    sent, _ = ask(build.snapshot, f"GET / HTTP/1.1\r\nHost: h\r\n{ten}\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n".encode())
    assert b"\r\nX-Forwarded-For: 10.0.0.1\r\n" in sent
    assert b"6.6.6.6" not in sent


def test_a_trusted_chain_is_continued_by_the_peer() -> None:
    wire = _core.Wire(Compiler().apply([route("r", "/*", plugins={"real-ip": {"source": "http_x_forwarded_for"}})]).snapshot)
    wire.push(wire.open("192.0.2.1", trusted=True), b"GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.1.1.1, 2.2.2.2\r\n\r\n")
    sent = wire.pull(1)
    assert b"\r\nX-Real-IP: 2.2.2.2\r\n" in sent
    assert b"\r\nX-Forwarded-For: 1.1.1.1, 2.2.2.2, 192.0.2.1\r\n" in sent


def test_it_is_of_one_request() -> None:
    plugins = {"real-ip": {"source": "http_x_real_ip"}}
    wire = _core.Wire(Compiler().apply([route("a", "/a", plugins=plugins), route("b", "/b")]).snapshot)
    line = wire.open("192.0.2.1")
    for path, address in (("a", b"10.0.0.1"), ("b", b"192.0.2.1"), ("a", b"10.0.0.1")):
        wire.push(line, b"GET /%b HTTP/1.1\r\nHost: h\r\nX-Real-IP: 10.0.0.1\r\n\r\n" % path.encode())
        assert b"\r\nX-Real-IP: %b\r\n" % address in wire.pull(1)
        wire.push(1, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize(
    "conf",
    [
        {},
        {"source": ""},
        {"source": "$remote_addr"},
        {"source": "nothing"},
        {"source": "post_arg_ip"},
        {"source": "status"},
        {"source": "arg_x", "trusted_addresses": []},
        {"source": "arg_x", "trusted_addresses": ["localhost"]},
        {"source": "arg_x", "recursive": 1},
    ],
)
def test_confs_that_are_refused(conf: dict[str, Any]) -> None:
    assert check_plugin("routes", "real-ip", conf)[0]
