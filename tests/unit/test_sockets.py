"""Listening sockets: one per slot, one port for all, none lost when slots go."""

import contextlib
import errno
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastgw.sockets import Listener


@pytest.fixture
def three() -> Iterator[Listener]:
    listener = Listener("127.0.0.1:0", 3)
    yield listener
    listener.remove()


def queued(listener: Listener, slot: int) -> int:
    """How many connections wait in one slot's queue; takes them out."""
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            listener.socket(slot).accept()[0].close()
            count += 1
    return count


def clients(listener: Listener, count: int) -> contextlib.ExitStack:
    host, port = listener.text.split(":")
    stack = contextlib.ExitStack()
    for _ in range(count):
        stack.enter_context(socket.create_connection((host, int(port)), 5))
    return stack


def test_slots_share_the_port_that_the_first_one_got(three: Listener) -> None:
    ports = {three.socket(slot).getsockname() for slot in range(3)}
    assert len(ports) == 1
    assert three.text == f"127.0.0.1:{three.socket(0).getsockname()[1]}"


def test_connections_spread_over_the_slots(three: Listener) -> None:
    with clients(three, 60):
        counts = [queued(three, slot) for slot in range(3)]
    assert sum(counts) == 60
    assert all(counts)


def test_a_slot_that_goes_gets_no_new_connections(three: Listener) -> None:
    with clients(three, 30):
        three.resize(2)
        before = queued(three, 2)
        with clients(three, 60):
            assert queued(three, 2) == 0
            counts = [queued(three, slot) for slot in range(2)]
        assert sum(counts) + before == 90
        assert all(counts)
    three.release(2)
    with clients(three, 20):
        assert queued(three, 0) + queued(three, 1) == 20


def test_a_slot_that_comes_back_gets_connections_again(three: Listener) -> None:
    three.resize(1)
    three.release(1)
    three.resize(3)
    with clients(three, 60):
        assert all(queued(three, slot) for slot in range(3))


def test_an_address_in_use_is_named(three: Listener) -> None:
    with pytest.raises(OSError, match="in use") as caught:
        Listener(three.text, 1)
    assert caught.value.filename == three.text
    assert caught.value.errno == errno.EADDRINUSE


def test_a_foreign_address_is_named() -> None:
    with pytest.raises(OSError) as caught:
        Listener("203.0.113.1:80", 1)
    assert caught.value.filename == "203.0.113.1:80"


def test_ipv6(three: Listener) -> None:
    listener = Listener("[::1]:0", 2)
    try:
        assert listener.text == f"[::1]:{listener.socket(1).getsockname()[1]}"
    finally:
        listener.remove()


def test_a_unix_socket_is_shared_and_a_stale_name_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    for _ in range(2):
        listener = Listener(f"unix:{path}", 3)
        assert listener.socket(0) is listener.socket(2)
        listener.close()  # the name stays, as after a kill
    listener = Listener(f"unix:{path}", 1)
    with pytest.raises(OSError, match="in use"):
        Listener(f"unix:{path}", 1)
    listener.remove()
    assert not path.exists()


def test_a_file_is_not_taken_for_a_stale_socket(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(FileExistsError):
        Listener(f"unix:{path}", 1)
    assert path.read_text() == "data"


@pytest.mark.parametrize("mode", [0o600, 0o666])
def test_a_unix_socket_has_the_mode_that_is_asked_for(tmp_path: Path, mode: int) -> None:
    listener = Listener(f"unix:{tmp_path / 's'}", 1, mode)
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == mode
    listener.remove()
