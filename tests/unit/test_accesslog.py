"""The access log's line, on memory: whatever a request says, it is one JSON object that says the same."""

import json
import tempfile

import pytest

from fastgw import _core
from tests.support.core import OK, snapshot


def line(request: bytes, answer: bytes = OK, *steps: _core.Step) -> bytes:
    """What is logged of one exchange."""
    wire = _core.Wire(snapshot(*steps))
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


SECRETS = [
    ("/?jwt=s3cret", "/?jwt=***"),
    ("/?a=1&jwt=s3cret&b=2", "/?a=1&jwt=***&b=2"),
    ("/?jwt=s3cret&jwt=s3cret", "/?jwt=***&jwt=***"),
    ("/?%6Awt=s3cret", "/?%6Awt=***"),
    ("/?apikey=s3cret&x=y", "/?apikey=***&x=y"),
    ("/?my+key=s3cret&my%20key=s3cret", "/?my+key=***&my%20key=***"),
    ("/?jwt=s3cret=s3cret==&x", "/?jwt=***&x"),
    ("/?jwt=", "/?jwt=***"),
    ("/?jwt", "/?jwt"),
    ("/?jwts=1&JWT=2&ajwt=3&jw=4&jwt%00=5", "/?jwts=1&JWT=2&ajwt=3&jw=4&jwt%00=5"),
    ("/?", "/?"),
    ("/?&&=&", "/?&&=&"),
    ("/jwt=1", "/jwt=1"),
]


def test_no_line_has_the_credential_of_an_argument() -> None:
    """Whoever asks for it, and on any route: also where nobody does, and where the head itself is refused."""
    step = _core.KeyAuthStep(query="my key", anonymous=None)
    steps = (_core.JwtAuthStep(), _core.KeyAuthStep(), step)
    for target, said in SECRETS:
        for version, given in ((b"1.1", steps), (b"1.1", ()), (b"1.1\r\nContent-Length: x", ())):
            logged = json.loads(line(b"GET %b HTTP/%b\r\nHost: x\r\n\r\n" % (target.encode(), version), OK, *given))
            assert logged["uri"] == said
        url = b"Referer: http://x%b" % target.encode()
        assert json.loads(line(b"GET / HTTP/1.1\r\nHost: x\r\n%b\r\n\r\n" % url))["referer"] == "http://x" + said


def test_a_url_that_needs_escapes_is_still_json() -> None:
    logged = line(b'GET / HTTP/1.1\r\nHost: x\r\nReferer: /"\\?"=\\&jwt="\xff&"\x80\r\n\r\n', OK, _core.JwtAuthStep())
    assert json.loads(logged)["referer"] == '/"\\?"=\\&jwt=***&"\x80'
