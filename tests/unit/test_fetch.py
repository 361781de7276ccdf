"""Fetching where a system is at its end: time and threads. What issuers do is met from outside, in tests/plugins/test_jwks.py."""

import asyncio
import socket
import time
from pathlib import Path

import pytest

from fastgw import _core
from fastgw.admin.fetch import FetchError, fetch
from fastgw.admin.key_sets import KeySets, Source
from fastgw.admin.live import Live
from fastgw.schema.settings import Jwks


def test_many_addresses_share_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
        waiting = [socket.socket() for _ in range(8)]
        for each in waiting:  # its queue is full: who comes now hears nothing
            each.setblocking(False)
            each.connect_ex(deaf.getsockname())
        one = socket.getaddrinfo(*deaf.getsockname(), type=socket.SOCK_STREAM)
        real = socket.getaddrinfo
        monkeypatch.setattr(
            socket, "getaddrinfo", lambda host, *args, **more: one * 4 if host == "many.test" else real(host, *args, **more)
        )
        began = time.monotonic()
        with pytest.raises(FetchError, match=r"no whole answer within 0\.5 s"):
            fetch(f"http://many.test:{deaf.getsockname()[1]}/", 0.5)
        assert time.monotonic() - began < 1.5
        for each in waiting:
            each.close()


def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as up:
        up.settimeout(5)
        port = up.getsockname()[1]
        both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in ("127.0.0.2", "127.0.0.1")]
        real = socket.getaddrinfo
        monkeypatch.setattr(
            socket, "getaddrinfo", lambda host, *args, **more: both if host == "two.test" else real(host, *args, **more)
        )
        with pytest.raises(FetchError, match="no whole answer"):
            fetch(f"http://two.test:{port}/", 0.2)
        with up.accept()[0] as line:
            assert line.recv(4) == b"GET "


def test_a_set_is_fetched_again_where_there_was_no_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(_uri: str, _seconds: float) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("fastgw.admin.fetch.fetch", no_thread)
    region = _core.Region.create(16, slots=1)
    sets = KeySets(tmp_path / "none.db", Live(region, [], -1), region, 0, Jwks())
    source = Source("http://127.0.0.1/", throttle=7)

    async def refresh() -> float:
        await sets._refresh("place", source)
        assert source.timer is not None
        assert source.task is None
        return source.timer.when() - asyncio.get_running_loop().time()

    assert asyncio.run(refresh()) == pytest.approx(7, abs=1)
