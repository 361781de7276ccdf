"""hmac-auth's step against a model of what is signed; whatever else stands in the fields admits nobody."""

import base64
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw import _core
from tests.support.core import ask, snapshot
from tests.support.signing import date, digest

SECRET = b"kim-secret"
NAMES = ("x-a", "x-b", "X-C", "content-type", "user-agent")
INVALID = b'{"message":"client request can\'t be validated"}\n'
ALGORITHMS = ("sha1", "sha256", "sha512")
values = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30)


def kim() -> _core.Credential:
    consumer = _core.Consumer(b"kim", _core.Steps([]))
    return _core.Credential(consumer, b"kim-id", b"h", signing=_core.SigningSecret(SECRET))


def talk(step: _core.Step, target: str, fields: list[str], body: bytes = b"") -> tuple[bytes, bytes]:
    head = "\r\n".join([f"{'POST' if body else 'GET'} {target} HTTP/1.1", "Host: h", *fields, "", ""])
    return ask(snapshot(step, others={"hmac": [kim()]}), head.encode("latin-1") + body)


def sign(lines: list[str], algorithm: str = "sha256") -> str:
    text = "".join(f"{line}\n" for line in lines).encode("latin-1")
    return base64.b64encode(hmac.digest(SECRET, text, algorithm)).decode()


def field(names: str, code: str, algorithm: str = "sha256") -> str:
    return f'Authorization: Signature keyId="kim-id",algorithm="hmac-{algorithm}",headers="{names}",signature="{code}"'


@given(
    headers=st.dictionaries(st.sampled_from(NAMES), values, max_size=5),
    listed=st.lists(st.sampled_from(["@request-target", "host", *NAMES, "x-absent"]), max_size=10),
    algorithm=st.sampled_from(ALGORITHMS),
    gap=st.sampled_from([" ", "  ", " \t "]),
    when=st.integers(-250, 250),
)
def test_the_text_that_is_signed(headers: dict[str, str], listed: list[str], algorithm: str, gap: str, when: int) -> None:
    stamp = date(when)
    names = ["date", *listed]
    said = {"@request-target": None, "host": "h", "date": stamp, **{name.lower(): value for name, value in headers.items()}}
    lines = ["kim-id"]
    for name in names:
        if name == "@request-target":
            lines.append("GET /a?b=1")
        elif (value := said.get(name.lower())) is not None:
            lines.append(f"{name}: {value}")
    sent = [f"{name}: {value}" for name, value in headers.items()]
    fields = [*sent, f"Date: {stamp}", field(gap.join(names), sign(lines, algorithm), algorithm)]
    assert b"X-Credential-Identifier: h\r\n" in talk(_core.HmacAuthStep(), "/a?b=1", fields)[0]
    other = [*sent, f"Date: {stamp}", field(gap.join(names), sign([*lines, "x"], algorithm), algorithm)]
    assert talk(_core.HmacAuthStep(), "/a?b=1", other)[1].endswith(INVALID)


@given(text=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=120))
def test_any_text_behind_the_scheme(text: str) -> None:
    sent, got = talk(_core.HmacAuthStep(), "/", [f"Date: {date()}", f"Authorization: Signature {text}"])
    assert (sent, got[9:12]) == (b"", b"401")
    assert got.endswith(INVALID)


@given(data=st.data())
def test_a_changed_byte_of_the_field_admits_nobody(data: st.DataObject) -> None:
    stamp = date()
    code = sign(["kim-id", "GET /", f"date: {stamp}"])
    good = field("@request-target date", code)
    at = data.draw(st.integers(len("Authorization: "), len(good) - 1))
    byte = data.draw(st.characters(min_codepoint=32, max_codepoint=126).filter(lambda c: c != good[at]))
    changed = good[:at] + byte + good[at + 1 :]
    known = talk(_core.HmacAuthStep(), "/", [f"Date: {stamp}", changed])[0]
    # What may differ is only how the same is said: the blank behind the scheme, the case of a listed name that a header
    # has (the text has it as it is listed, so the signature differs then), and the padding.
    assert not known or (byte in " ," and good[at] in " ,=")


@pytest.mark.parametrize("length", [*range(1, 130), 256])
def test_secrets_of_every_length(length: int) -> None:
    secret, stamp = b"s" * length, date()
    credential = _core.Credential(_core.Consumer(b"kim", _core.Steps([])), b"kim-id", signing=_core.SigningSecret(secret))
    for algorithm in ALGORITHMS:
        code = base64.b64encode(hmac.digest(secret, f"kim-id\ndate: {stamp}\n".encode(), algorithm)).decode()
        lines = ["GET / HTTP/1.1", "Host: h", f"Date: {stamp}", field("date", code, algorithm), "", ""]
        sent, _ = ask(snapshot(_core.HmacAuthStep(), others={"hmac": [credential]}), "\r\n".join(lines).encode())
        assert b"X-Consumer-Username: kim\r\n" in sent


@given(body=st.binary(min_size=1, max_size=300), other=st.binary(min_size=1, max_size=300))
def test_a_body_and_its_digest(body: bytes, other: bytes) -> None:
    stamp = date()
    auth = field("@request-target date", sign(["kim-id", "POST /", f"date: {stamp}"]))
    fields = [f"Date: {stamp}", auth, f"Digest: {digest(body)}", f"Content-Length: {len(other)}"]
    sent, got = talk(_core.HmacAuthStep(digest=True), "/", fields, other)
    assert (b"\r\n\r\n" + other in sent) is (body == other) is (got[9:12] == b"200")


def test_a_field_of_an_earlier_request_counts_for_nothing() -> None:
    """A connection's next request is judged by what it brings itself: also its body, or that it has none."""
    stamp = date()
    wire = _core.Wire(snapshot(_core.HmacAuthStep(digest=True, max_body=10), others={"hmac": [kim()]}))
    line = wire.open()
    post = field("@request-target date", sign(["kim-id", "POST /", f"date: {stamp}"]))
    get = field("@request-target date", sign(["kim-id", "GET /", f"date: {stamp}"]))
    large = f"POST / HTTP/1.1\r\nHost: h\r\nDate: {stamp}\r\n{post}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    wire.push(line, large + b"b\r\nhello world\r\n0\r\n\r\n")
    assert b"HTTP/1.1 413 " in wire.pull(line)
    line = wire.open()
    wire.push(line, f"GET / HTTP/1.1\r\nHost: h\r\nDate: {stamp}\r\nDigest: {digest(b'')}\r\n{get}\r\n\r\n".encode())
    assert wire.pull(line) == b""  # it went on
    assert wire.active == 1


def test_an_exchange_that_ends_within_a_step_is_not_touched_again() -> None:
    """Its memory may be gone by then: a sanitizing build tells."""
    stamp = date()
    wire = _core.Wire(snapshot(_core.HmacAuthStep(digest=True), others={"hmac": [kim()]}))
    signed = field("@request-target date", sign(["kim-id", "POST /", f"date: {stamp}"]))
    head = f"POST / HTTP/1.1\r\nHost: h\r\nDate: {stamp}\r\n{signed}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    last = wire.open()
    wire.push(last, head[:9])
    others = [wire.open() for _ in range(300)]  # more than are kept for reuse
    for line in others:
        wire.push(line, head[:9])
    for line in others:
        wire.reset(line)
    wire.push(last, head[9:] + b"nonsense\r\n")
    assert wire.pull(last).startswith(b"HTTP/1.1 400 ")
    assert wire.active == 0


@pytest.mark.parametrize(
    ("options", "fault"),
    [({"algorithms": ["hmac-md5"]}, "algorithms: unknown 'hmac-md5'"), ({"algorithms": ["sha256"]}, "unknown 'sha256'")],
)
def test_an_unknown_algorithm_is_named(options: dict[str, list[str]], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        _core.HmacAuthStep(**options)  # type: ignore[arg-type]


def test_an_empty_secret_is_none() -> None:
    with pytest.raises(ValueError, match="at least 1 byte"):
        _core.SigningSecret(b"")
