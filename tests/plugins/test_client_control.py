"""client-control from outside: bodies that are too long, and a connection that lives on."""

from pathlib import Path

from tests.plugins.mirror import mirror
from tests.support import wire
from tests.support.gateway import Gateway, one_route


def test_bodies_are_bounded(directory: Path) -> None:
    with mirror() as upstream:
        config = one_route(upstream.address, plugins={"client-control": {"max_body_size": 5}, "key-auth": {}})
        config["consumers"] = [{"username": "kim", "plugins": {"key-auth": {"key": "k"}}}]
        with Gateway(directory, config) as gateway:
            small = b"POST / HTTP/1.1\r\nHost: t\r\napikey: k\r\nContent-Length: 5\r\n\r\nhello"
            large = b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 6\r\n\r\nhello!"
            last = small.replace(b"Host: t", b"Host: t\r\nConnection: close")
            received = wire.raw(gateway.data, small + large + last)
            assert received.count(b"HTTP/1.1 200 OK") == 2
            assert b"HTTP/1.1 413 Content Too Large" in received
            assert b'{"error_msg":"Content Too Large"}' in received
            chunked = b"POST / HTTP/1.1\r\nHost: t\r\napikey: k\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello!\r\n0\r\n\r\n"
            assert wire.raw(gateway.data, chunked).startswith(b"HTTP/1.1 413 ")
