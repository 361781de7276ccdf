"""What must not cross to the upstream: credentials that steps hide, and fields that step-made lines replace, in every spelling
that an upstream may take for theirs."""

import pytest

from fastgw import _core
from tests.support.core import TOKEN, ask, chain, john, snapshot

SPELLINGS = [b"X-My-Field", b"X_My_Field", b"x.my-field", b"X~My~Field", b"X-MY_FIELD"]


def get(*fields: bytes) -> bytes:
    return b"\r\n".join([b"GET / HTTP/1.1", b"Host: h", *fields, b"", b""])


def cookies(sent: bytes) -> list[bytes]:
    """The values of the Cookie lines."""
    return [line[8:] for line in sent.split(b"\r\n") if line.lower().startswith(b"cookie: ")]


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ([b"Cookie: one=%b; two=%b; three=3" % (TOKEN, TOKEN)], [b"three=3"]),
        ([b"Cookie: one=%b;two=%b" % (TOKEN, TOKEN)], []),
        ([b"Cookie: one=%b" % TOKEN, b"Cookie: a=1;two=%b;b=2" % TOKEN, b"cookie: one=again; c=3"], [b"a=1; b=2; c=3"]),
        ([b"Cookie: a=1;\tone=%b; \ttwo=%b" % (TOKEN, TOKEN)], [b"a=1"]),
    ],
)
def test_two_steps_hide_a_cookie_each(fields: list[bytes], left: list[bytes]) -> None:
    first, second = (_core.JwtAuthStep(cookie=name, hide_credentials=True) for name in ("one", "two"))
    step = _core.RequestIdStep("rewrite")
    both = snapshot(step, second, credentials=(john(),), first=chain(first, first=50))
    sent, got = ask(both, get(*fields, b"X-Request-Id: mine"))
    assert got.startswith(b"HTTP/1.1 200 ")
    assert cookies(sent) == left
    assert TOKEN not in sent
    assert b"\r\nX-Request-Id: mine\r\n" in sent


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_token_is_hidden_in_every_spelling_of_its_header(spelling: bytes) -> None:
    step = _core.JwtAuthStep(header="X-My-Field", hide_credentials=True, anonymous=john())
    sent, _ = ask(snapshot(step, credentials=(john(),)), get(b"X-My-Field: " + TOKEN, spelling + b": " + TOKEN))
    assert sent
    assert TOKEN not in sent


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("name", ["X-My-Field", "X-Request-Id"])
def test_a_step_made_line_replaces_every_spelling_of_its_name(name: str, spelling: bytes) -> None:
    theirs = spelling.replace(b"My-F", b"My_F") if name == "X-My-Field" else b"X.Request~Id"
    sent, _ = ask(snapshot(_core.RequestIdStep("rewrite", header_name=name)), get(theirs + b": a", theirs + b": b"))
    folded = bytes.maketrans(b"_.~", b"---")
    lines = [line.translate(folded).lower() for line in sent.split(b"\r\n") if b":" in line]
    assert sum(line.startswith(name.lower().encode() + b":") for line in lines) == 1
