"""request-id's steps: whose id it is, what a new one looks like, and where it is told."""

import re
import time
import uuid

import pytest

from fastgw import _core
from tests.support.core import OK, ask, chain, snapshot

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
UUID4 = rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


def steps(**options: object) -> tuple[_core.Step, _core.Step]:
    name = {"header_name": options["header_name"]} if "header_name" in options else {}
    return _core.RequestIdStep("rewrite", **options), _core.RequestIdStep("header_filter", **name)  # type: ignore[arg-type]


def talk(*given: bytes, answer: bytes = OK, **options: object) -> tuple[list[bytes], list[bytes]]:
    """The ids that the upstream and the client were told, under any spelling of the name."""
    request = b"\r\n".join([b"GET / HTTP/1.1", b"Host: h", *given, b"", b""])
    return ids(*ask(snapshot(*steps(**options)), request, answer))


def ids(*heads: bytes) -> tuple[list[bytes], ...]:
    return tuple(re.findall(rb"(?im)^(?:x[-_]request[-_]id|x-mine): *(.*)\r$", head) for head in heads)


def test_a_request_without_one_gets_one_and_the_answer_too() -> None:
    (up,), (down,) = talk()
    assert up == down
    assert re.fullmatch(UUID4, up)


@pytest.mark.parametrize("own", [b"mine", b'a b;c="d"', b"x" * 256, b"0"])
def test_a_clients_id_is_kept(own: bytes) -> None:
    assert talk(b"X-Request-Id: " + own) == ([own], [own])
    assert talk(b"x_request_id: " + own) == ([own], [own])


@pytest.mark.parametrize(
    "given",
    [
        [b"X-Request-Id:"],
        [b"X-Request-Id: " + b"x" * 257],
        [b"X-Request-Id: a\xff"],
        [b"X-Request-Id: a\tb"],
        [b"X-Request-Id: a", b"X-Request-Id: b"],
        [b"X-Request-Id: a", b"x_request_id: a"],
    ],
)
def test_what_is_no_id_or_more_than_one_is_replaced(given: list[bytes]) -> None:
    (up,), (down,) = talk(*given)
    assert up == down
    assert re.fullmatch(UUID4, up)


def test_the_upstreams_id_stays_in_the_answer_unless_it_is_empty() -> None:
    answer = b"HTTP/1.1 200 OK\r\nX-Request-ID: %b\r\nContent-Length: 0\r\n\r\n"
    assert talk(b"X-Request-Id: mine", answer=answer % b"theirs") == ([b"mine"], [b"theirs"])
    assert talk(b"X-Request-Id: mine", answer=answer % b"") == ([b"mine"], [b"mine"])


def test_one_request_has_one_id_also_of_two_plugins() -> None:
    first = chain(*steps())
    (up,), (down,) = ids(*ask(snapshot(*steps(algorithm="ksuid"), first=first), b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"))
    assert up == down
    assert re.fullmatch(UUID4, up)
    both = snapshot(*steps(header_name="X-Mine"), first=first)
    up2, down2 = ids(*ask(both, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"))
    assert len(set(up2)) == 2
    assert sorted(up2) == sorted(down2)


def test_a_refusal_has_an_id_too() -> None:
    snap = snapshot(*steps(), _core.KeyAuthStep())
    sent, got = ask(snap, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert (sent, got[9:12]) == (b"", b"401")
    assert len(ids(got)[0]) == 1


def test_without_the_answers_step_the_client_is_not_told() -> None:
    sent, got = ask(snapshot(_core.RequestIdStep("rewrite", header_name="X-Mine")), b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert (len(ids(sent)[0]), ids(got)[0]) == (1, [])


def made(count: int, **options: object) -> list[str]:
    wire = _core.Wire(snapshot(*steps(**options)))
    line = wire.open()
    found = []
    for _ in range(count):
        wire.push(line, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        found.append(ids(wire.pull(1))[0][0].decode())
        wire.push(1, OK)
    assert len(set(found)) == count
    return found


@pytest.mark.parametrize(("algorithm", "version"), [("uuid", 4), ("uuidv7", 7)])
def test_uuids(algorithm: str, version: int) -> None:
    before = time.time_ns() // 1_000_000
    for text in made(1000, algorithm=algorithm):
        parsed = uuid.UUID(text)
        assert (str(parsed), parsed.version, parsed.variant) == (text, version, uuid.RFC_4122)
        if version == 7:
            assert 0 <= (parsed.int >> 80) - before + 60_000 < 120_000


def test_ksuids_hold_the_time_and_160_bits() -> None:
    for text in made(1000, algorithm="ksuid"):
        assert re.fullmatch(r"[0-9A-Za-z]{27}", text)
        number = 0
        for char in text:
            number = number * 62 + BASE62.index(char)
        assert number < 2**160
        assert abs((number >> 128) + 1_400_000_000 - time.time()) < 60


@pytest.mark.parametrize("chars", [b"abcdef", bytes(range(33, 127)), b"0123456789abcdef", b"aaaaab"])
def test_characters_of_a_set_are_drawn_evenly(chars: bytes) -> None:
    length, count = 200, 200
    text = "".join(made(count, algorithm="chars", chars=chars, length=length))
    assert len(text) == length * count
    assert set(text) == set(chars.decode())
    for char in set(chars.decode()):
        mean = len(text) * chars.decode().count(char) / len(chars)
        assert abs(text.count(char) - mean) < 8 * mean**0.5  # eight standard deviations


@pytest.mark.parametrize(
    "options",
    [
        {"header_name": "Content-Length"},
        {"header_name": "transfer_encoding"},
        {"header_name": "Host"},
        {"header_name": "X-Consumer-Username"},
        {"header_name": "x-forwarded-anything"},
        {"algorithm": "chars"},
        {"algorithm": "chars", "chars": b"abc", "length": 257},
        {"algorithm": "md5"},
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        _core.RequestIdStep("rewrite", **options)  # type: ignore[arg-type]
