"""What must not cross to the upstream: credentials that steps hide, and fields that step-made lines replace, in every spelling
that an upstream may take for theirs."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastgw import _core
from tests.support.core import OK, TOKEN, ask, chain, john, snapshot

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
        ([b"Cookie: one=%b" % TOKEN, b"Cookie: a=1;two=%b;b=2" % TOKEN, b"cookie: c=3"], [b"a=1; b=2; c=3"]),
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


# -- what later steps see ----------------------------------------------------------------------------


def seen_by(*steps: _core.Step, fields: tuple[bytes, ...], name: str) -> tuple[str | None, list[tuple[str, str]], str]:
    """What a Python plugin behind these steps reads under a name: the value, every field, and the variable's text."""
    found: list[tuple[str | None, list[tuple[str, str]], str]] = []
    template = _core.Template("http_" + name.lower().replace("-", "_"))
    look = _core.PythonStep("t", "access", lambda c, r: found.append((r.header(name), r.fields(name), r.text(template))), None)
    ask(snapshot(*steps, look, credentials=(john(),)), get(*fields))
    return found[0]


def change(call: Callable[[_core.Request], None]) -> _core.PythonStep:
    return _core.PythonStep("c", "rewrite", lambda c, r: call(r), None)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_what_a_step_took_out_or_set_is_what_others_see(spelling: bytes) -> None:
    fields = (b"X-My-Field: 1", spelling + b": 2")
    theirs = [("X-My-Field", "1"), (spelling.decode(), "2")]
    assert seen_by(fields=fields, name="X-My-Field") == ("1", theirs, "1")
    gone = change(lambda r: r.remove_header("x-my_field"))
    assert seen_by(gone, fields=fields, name="X-My-Field") == (None, [], "")
    mine = change(lambda r: r.set_header("X-My-Field", "m"))
    assert seen_by(mine, fields=fields, name="X-My-Field") == ("m", [("X-My-Field", "m")], "m")
    both = (mine, change(lambda r: r.set_header("x_my_field", "n")))
    assert seen_by(*both, fields=fields, name="X-My-Field") == ("n", [("x_my_field", "n")], "n")
    assert seen_by(*both, gone, fields=fields, name="X-My-Field") == (None, [], "")


def test_hidden_credentials_are_seen_by_nobody() -> None:
    step = _core.JwtAuthStep(header="X-My-Field", hide_credentials=True)
    assert seen_by(step, fields=(b"X-My-Field: " + TOKEN,), name="X-My-Field") == (None, [], "")


@pytest.mark.parametrize("name", ["X-Consumer-Username", "x_consumer_username"])
def test_identity_is_the_gateways_word_for_steps_too(name: str) -> None:
    forged = (b"X-Consumer-Username: forged", b"x.consumer_username: forged")
    assert seen_by(fields=forged, name=name) == (None, [], "")
    known = seen_by(_core.JwtAuthStep(), fields=(*forged, b"Authorization: " + TOKEN), name=name)
    assert known == ("john", [("X-Consumer-Username", "john")], "john")


@pytest.mark.parametrize("name", ["X-Real-IP", "X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Any", "Forwarded"])
def test_what_only_a_trusted_proxy_may_say_is_seen_by_nobody(name: str) -> None:
    forged = tuple(f"{each}: 6.6.6.6".encode() for each in (name, name.lower(), name.replace("-", "_")))
    assert seen_by(fields=forged, name=name) == (None, [], "")


def test_a_request_id_that_is_taken_out_is_not_logged_from_where_it_was(tmp_path: Path) -> None:
    log = os.open(tmp_path / "log", os.O_RDWR | os.O_CREAT)
    out = change(lambda r: r.remove_header("X-Request-Id"))
    wire = _core.Wire(snapshot(_core.RequestIdStep("rewrite"), out, change(lambda r: r.set_header("X-Other", "o"))))
    wire.access_log(log)
    line = wire.open()
    wire.push(line, get(b"X-Request-Id: mine"))
    assert b"mine" not in wire.pull(1)
    wire.push(1, OK)
    wire.access_log(-1)
    (told,) = (json.loads(text) for text in os.pread(log, 4096, 0).splitlines())
    os.close(log)
    assert "request_id" not in told


def test_what_the_upstream_is_told_of_the_client() -> None:
    found: list[Any] = []
    step = _core.PythonStep("t", "access", lambda c, r: found.append((r.forwarded(), r.uri)), None)
    request = b"GET http://h:81/a/../b?c HTTP/1.1\r\nHost: other\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n"
    sent, _ = ask(snapshot(step), request)
    ((told, uri),) = found
    assert dict(told) == {
        "X-Forwarded-For": "192.0.2.1",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Host": "h:81",
        "X-Forwarded-Port": "81",
    }
    assert all(f"{name}: {value}\r\n".encode() in sent for name, value in told)
    assert uri == "/a/../b?c"


@pytest.mark.parametrize("reason", ["a b", 'a"b', "a\n", "ä"])
def test_a_reason_is_a_plain_word(reason: str) -> None:
    with pytest.raises(ValueError, match="reason: expected letters"):
        _core.Reply(400, reason=reason)


@pytest.mark.parametrize("type_", ["a\r\nb: c", "ä", "a\0"])
def test_a_content_type_is_one_line(type_: str) -> None:
    with pytest.raises(ValueError, match="content_type: expected printable ASCII"):
        _core.Reply(400, content_type=type_)
