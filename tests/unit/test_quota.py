"""What a client is told of the limits that it is under: header lines that replace each other, and lists that grow."""

import pytest

from fastgw import _core
from tests.support.core import OK, chain, snapshot

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def limit(name: str | None = "route", identity: bytes = b"r", **conf: object) -> _core.LimitCountStep:
    whole: dict[str, object] = {"count": 100, "window": 60, "policy": name, **conf}
    return _core.LimitCountStep(identity, _core.Template("all", "constant"), **whole)  # type: ignore[arg-type]


def fields(*steps: _core.LimitCountStep, answer: bytes = OK, first: _core.Steps | None = None, wait: float = 0) -> list[str]:
    """The lines about limits of the answer to a second request, so long after the first."""
    wire = _core.Wire(snapshot(*steps, first=first))
    line = wire.open()
    got = b""
    for _ in range(2):
        wire.push(line, GET)
        if wire.pull(1):
            wire.push(1, answer)
        got = wire.pull(line)
        wire.advance(wait)
        wait = 0
    return [line for line in got.partition(b"\r\n\r\n")[0].decode().split("\r\n") if "atelimit" in line.lower()]


def draft(*lines: str) -> list[str]:
    return [line for line in lines if not line.startswith("X-")]


def test_the_fields_of_the_draft() -> None:
    assert fields(limit()) == [
        "X-RateLimit-Limit: 100",
        "X-RateLimit-Remaining: 98",
        "X-RateLimit-Reset: 60",
        'RateLimit-Policy: "route";q=100;w=60',
        'RateLimit: "route";r=98;t=60',
    ]
    assert draft(*fields(limit(None))) == []
    assert fields(limit(quota_headers=False)) == []


def test_seconds_are_rounded_up() -> None:
    lines = fields(limit(), wait=0.25)
    assert lines[2] == "X-RateLimit-Reset: 59.75"
    assert lines[4] == 'RateLimit: "route";r=98;t=60'


def test_who_is_refused_is_told_too() -> None:
    assert draft(*fields(limit(count=1))) == ['RateLimit-Policy: "route";q=1;w=60', 'RateLimit: "route";r=0;t=60']


@pytest.mark.parametrize(
    ("burst", "policy", "left"),
    [
        (None, "q=100;w=60", "r=98;t=2"),
        (20, "q=20;w=12", "r=18;t=2"),
        (300, "q=300;w=180", "r=298;t=2"),
        (7, "q=7;w=5", "r=5;t=2"),
    ],
)
def test_a_buckets_quota_is_what_it_holds(burst: int | None, policy: str, left: str) -> None:
    """So that q in w is the rate, and never less than r."""
    lines = draft(*fields(limit(algorithm="token-bucket", burst=burst)))
    assert lines == [f'RateLimit-Policy: "route";{policy}', f'RateLimit: "route";{left}']


def test_numbers_stay_within_what_a_structured_field_has() -> None:
    lines = fields(limit(count=2**53 - 1, window=2**31 - 1))
    assert lines[0] == "X-RateLimit-Limit: 9007199254740991"
    assert lines[3:] == [
        'RateLimit-Policy: "route";q=999999999999999;w=2147483647',
        'RateLimit: "route";r=999999999999999;t=549755814',  # the table's clock reaches no further
    ]


def test_several_limits_are_members_of_one_field() -> None:
    prefixed = [
        limit(name, name.encode(), count=count, header_names=tuple(f"X-{name}-RateLimit-{what}" for what in ("L", "M", "R")))
        for name, count in (("a", 5), ("b", 50), ("c", 500))
    ]
    lines = fields(*prefixed)
    assert draft(*lines) == [
        'RateLimit-Policy: "a";q=5;w=60, "b";q=50;w=60, "c";q=500;w=60',
        'RateLimit: "a";r=3;t=60, "b";r=48;t=60, "c";r=498;t=60',
    ]
    assert len(lines) == 3 * 3 + 2


def test_a_later_limits_lines_replace_an_earlier_ones() -> None:
    """APISIX: headers of the later one overwrite the earlier, and global rules run first."""
    assert fields(limit(count=7), first=chain(limit("global-rule", b"g", count=5, window=10), first=50)) == [
        'RateLimit-Policy: "global-rule";q=5;w=10, "route";q=7;w=60',
        'RateLimit: "global-rule";r=3;t=10, "route";r=5;t=60',
        "X-RateLimit-Limit: 7",
        "X-RateLimit-Remaining: 5",
        "X-RateLimit-Reset: 60",
    ]


def test_the_upstreams_own_fields_are_replaced() -> None:
    answer = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nratelimit: own;r=1\r\nRateLimit-Policy: own;q=9\r\nx-ratelimit-limit: 9\r\n"
        b"RateLimit-Else: 1\r\n\r\nok"
    )
    assert fields(limit(), answer=answer) == [
        "RateLimit-Else: 1",
        "X-RateLimit-Limit: 100",
        "X-RateLimit-Remaining: 98",
        "X-RateLimit-Reset: 60",
        'RateLimit-Policy: "route";q=100;w=60',
        'RateLimit: "route";r=98;t=60',
    ]


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\r\nb", "ä"])
def test_a_name_that_would_break_the_field_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="policy: expected printable ASCII"):
        limit(name)
