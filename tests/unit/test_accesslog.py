"""The access log's line, on memory: whatever a request says, it is one JSON object that says the same."""

import json
import tempfile

import pytest

from fastgw import _core
from tests.support.core import OK, snapshot


def line(request: bytes, answer: bytes = OK) -> bytes:
    """What is logged of one exchange."""
    wire = _core.Wire(snapshot())
    with tempfile.TemporaryFile() as log:
        wire.access_log(log.fileno())
        wire.open()
        wire.run(0, request, answer, 1)
        wire.access_log(-1)
        log.seek(0)
        return log.read()


@pytest.mark.parametrize("byte", [b'"', b"\\", b"\t", b"\x80", b"\xff", b"~", b" "])
def test_a_byte_that_needs_an_escape_gets_it_wherever_it_stands(byte: bytes) -> None:
    for at in range(19):
        agent = b"x" * at + byte + b"y" * (19 - at)
        logged = line(b"GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: -" + agent + b"-\r\n\r\n")
        assert logged.isascii()
        assert logged.count(b"\n") == 1
        assert json.loads(logged)["user_agent"] == f"-{agent.decode('latin-1')}-"


@pytest.mark.parametrize("size", [0, 9, 10, 99, 100, 101, 999, 1000, 65537])
def test_numbers_are_written_whole(size: int) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size
    assert json.loads(line(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", answer))["bytes_out"] == size


@pytest.mark.parametrize("number", [10**18 - 1, 10**18, 2**63 - 1])
def test_a_length_of_any_size_crosses(number: int) -> None:
    wire = _core.Wire(snapshot())
    wire.open()
    answer = wire.run(0, b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % number, 1)
    assert b"\r\nContent-Length: %d\r\n" % number in answer


def test_time_is_the_wires_own() -> None:
    assert json.loads(line(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"))["request_ms"] == 0
