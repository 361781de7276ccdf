"""W3C trace context: what a client says is passed on where it keeps the rules, and is gone where it does not."""

import pytest

from fastgw import _core
from tests.support.core import ask, snapshot

ID, SPAN = b"4bf92f3577b34da6a3ce929d0e0e4736", b"00f067aa0ba902b7"
GOOD = b"00-%s-%s-01" % (ID, SPAN)


@pytest.mark.parametrize(
    ("parent", "lawful"),
    [
        (GOOD, True),
        (b"00-%s-%s-00" % (ID, SPAN), True),
        (b"00-%s-%s-ff" % (ID, SPAN), True),
        (b"cc-%s-%s-01" % (ID, SPAN), True),
        (b"cc-%s-%s-01-what-the-future-will-be-like" % (ID, SPAN), True),
        (b"cc-%s-%s-01.what" % (ID, SPAN), False),
        (b"00-%s-%s-01-more" % (ID, SPAN), False),
        (b"ff-%s-%s-01" % (ID, SPAN), False),
        (b"00-%s-%s-01" % (b"0" * 32, SPAN), False),
        (b"00-%s-%s-01" % (ID, b"0" * 16), False),
        (b"00-%s-%s-01" % (ID.upper(), SPAN), False),
        (b"00-%s-%s-0x" % (ID, SPAN), False),
        (b"00-%s-%s-1" % (ID, SPAN), False),
        (b"0x-%s-%s-01" % (ID, SPAN), False),
        (b"00_%s-%s-01" % (ID, SPAN), False),
        (b"00-%s_%s-01" % (ID, SPAN), False),
        (b"00-%s-%s_01" % (ID, SPAN), False),
        (b"", False),
        (GOOD[:-1], False),
    ],
)
def test_a_parent(parent: bytes, lawful: bool) -> None:
    assert _core.trace_context_lawful(parent)[0] is lawful


@pytest.mark.parametrize(
    ("state", "lawful"),
    [
        (b"", True),
        (b"a=1", True),
        (b"a=1, b@c=2 ,,", True),
        (b"a", False),
        (b"=1", False),
        (b"a=1,b", False),
        (b"a=\xff", False),
        (b",".join(b"k%d=v" % n for n in range(32)), True),
        (b",".join(b"k%d=v" % n for n in range(33)), False),
    ],
)
def test_a_state(state: bytes, lawful: bool) -> None:
    assert _core.trace_context_lawful(GOOD, state)[1] is lawful


def sent(*lines: bytes) -> bytes:
    """What the upstream sees of these header lines."""
    head, _ = ask(snapshot(), b"\r\n".join((b"GET / HTTP/1.1", b"Host: h", *lines, b"", b"")))
    return b"\r\n".join(each for each in head.split(b"\r\n") if each.lower().startswith(b"trace"))


def test_what_crosses() -> None:
    parent, state = b"traceparent: " + GOOD, b"tracestate: a=1"
    assert sent(parent, state) == parent + b"\r\n" + state
    assert sent(b"Traceparent: " + GOOD) == b"Traceparent: " + GOOD
    assert sent(parent, state, b"tracestate: b=2") == parent + b"\r\n" + state + b"\r\ntracestate: b=2"


def test_what_does_not() -> None:
    parent, state = b"traceparent: " + GOOD, b"tracestate: a=1"
    assert sent(state) == b""
    assert sent(b"traceparent: 00-1-2-3", state) == b""
    assert sent(parent, parent, state) == b""
    assert sent(parent, b"tracestate: a") == parent
