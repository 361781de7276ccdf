"""Fields of messages that left the gateway: what must be there, what must not, and whose identity a request may carry.

Owns: the claims about one message, beside the one that it was made of. Must not know lines or time.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from tests.fuzz.play import address
from tests.fuzz.scene import JOHN, KEY, KIM, REWRITTEN, SIGNER, TAG
from tests.oracle import http1
from tests.support.core import TOKEN

HOP_BY_HOP = {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade", b"http2-settings"}
FORWARDING = {b"x-real-ip"} | {b"x-forwarded-" + name for name in (b"for", b"proto", b"host", b"port")}
IDS = {TAG.lower().encode(), b"x-request-id"}
# What the gateway says itself, and what it may change.
MADE = (
    {b"host", b"content-length", b"transfer-encoding", b"cookie", b"max-forwards", b"connection", b"upgrade"}
    | FORWARDING
    | IDS
    | JOHN.keys()
)
NODES = (b"a:81", b"b:82")


def path(message: http1.Message) -> bytes:
    """Path of the target; an absolute-form loses its authority on the way."""
    return _target(message).partition(b"?")[0] or b"/"


def may_be(message: http1.Message, route: bytes) -> bool:
    """Whether it can be for this route: what its path is brought to is for others to judge."""
    return route in unquote_to_bytes(path(message))


def asks_for_tunnel(out: http1.Message) -> bool:
    """Whether the gateway asks for another protocol."""
    return bool(_named(out, b"upgrade"))


def _named(message: http1.Message, name: bytes) -> list[bytes]:
    return [value for found, value in message.fields if found.lower() == name]


def query(message: http1.Message) -> bytes:
    """Arguments of the target."""
    return _target(message).partition(b"?")[2]


def _target(message: http1.Message) -> bytes:
    return re.sub(rb"(?i)\Ahttps?://[^/?]*", b"", message.start[1])


def client_of(message: http1.Message) -> int:
    """Whose request the gateway says that it is."""
    (own,) = message.values(b"x-real-ip")
    return int(own.rpartition(b".")[2]) - 1


def check(out: http1.Message, asked: http1.Message, raw: bytes, *, trusted: bool) -> None:
    """A request that went upstream, made of the one that was asked for, whose bytes are `raw`."""
    names = {http1.folded(name) for name, _ in out.fields}
    if asks_for_tunnel(out):
        assert may_be(asked, b"up"), out
        assert (out.values(b"connection"), out.values(b"upgrade")) == ([b"upgrade"], _named(asked, b"upgrade")), out
        assert not names & {b"content-length", b"transfer-encoding"}, out
        names -= {b"connection", b"upgrade"}
    assert not names & HOP_BY_HOP, out
    assert len(out.values(b"host")) == 1, out
    _check_forwarding(out, asked, trusted)
    left = iter(asked.fields)
    for each in out.fields:
        name = http1.folded(each[0])
        if trusted and (name == b"forwarded" or name.startswith(b"x-forwarded-")) and name not in FORWARDING:
            assert each in asked.fields, f"{each} is nobody's: {out}"
        else:
            assert name in MADE or each in left, f"{each} is nobody's: {out}"
    if not _check_identity(out, raw):
        assert not re.match(rb"/(?:auth|key|hmac)(?![^/]*/\.)", path(out)), f"without authentication: {out}"


def hosts(asked: http1.Message) -> list[bytes]:
    """What the upstream may be told as Host: the absolute form's authority, else the client's Host, else the node."""
    absolute = re.match(rb"(?i)https?://([^/?]*)", asked.start[1])
    own = [absolute[1]] if absolute else [value for name, value in asked.fields if name.lower() == b"host"]
    return (own or list(NODES)) + ([REWRITTEN] if may_be(asked, b"hash") else [])


def _check_forwarding(out: http1.Message, asked: http1.Message, trusted: bool) -> None:
    own = address(client_of(out))
    assert out.values(b"x-real-ip") == [own], out
    for name in (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-port"):
        assert len(out.values(name)) == 1, out
    assert len(out.values(b"x-forwarded-host")) <= 1, out
    if not trusted:
        assert out.values(b"x-forwarded-for") == [own], out
        assert out.values(b"x-forwarded-proto") == [b"http"], out
        names = {http1.folded(name) for name, _ in out.fields}
        assert not {name for name in names if name == b"forwarded" or name.startswith(b"x-forwarded-")} - FORWARDING, out
        return
    said = [value for value in _named(asked, b"x-forwarded-for") if value]
    assert out.values(b"x-forwarded-for") == [b", ".join([*said, own])], out


def identified(out: http1.Message) -> bool:
    """Whether it says who sent it."""
    return any(out.values(name) for name in JOHN)


def _check_identity(out: http1.Message, raw: bytes) -> bool:
    """Whether there is one: that of the credential which the request showed, which is hidden where it is to be."""
    if not identified(out):
        return False
    found = {name: out.values(name) for name in JOHN}
    if found == _lines(KIM):
        _check_key(out, raw)
    elif found == _lines(SIGNER):
        assert b'keyId="sue-id"' in raw, out
    else:
        assert found == _lines(JOHN), out
        _check_token(out, raw)
    return True


def _lines(identity: dict[bytes, bytes | None]) -> dict[bytes, list[bytes]]:
    return {name: [] if value is None else [value] for name, value in identity.items()}


def _check_token(out: http1.Message, raw: bytes) -> None:
    """Gone from the three places where a token is looked for; anywhere else it is the client's own text."""
    assert TOKEN in raw, out
    assert not out.values(b"authorization"), out
    assert b"jwt" not in _arguments(out), out
    cookies = [pair.strip() for value in out.values(b"cookie") for pair in value.split(b";")]
    assert not any(pair.startswith(b"jwt=") for pair in cookies), out


def _check_key(out: http1.Message, raw: bytes) -> None:
    """Gone from both places; and there is one id."""
    assert KEY in unquote_to_bytes(raw), out
    assert not out.values(b"apikey"), out
    assert b"apikey" not in _arguments(out), out
    assert len(out.values(b"x-request-id")) == 1, out
    assert 0 < len(out.values(b"x-request-id")[0]) <= 256, out


def _arguments(message: http1.Message) -> list[bytes]:
    """Names of the query's arguments, as an application reads them."""
    pairs = message.start[1].partition(b"?")[2].split(b"&")
    return [unquote_to_bytes(pair.partition(b"=")[0].replace(b"+", b" ")) for pair in pairs]


def check_answer(message: http1.Message) -> None:
    """An answer that went to a client: nothing of the upstream's hop crosses."""
    if message.status == 101:
        assert (message.values(b"connection"), len(message.values(b"upgrade"))) == ([b"upgrade"], 1), message
        return
    names = {name.lower() for name, _ in message.fields}
    assert not names & (HOP_BY_HOP - {b"connection"}), message
    assert message.values(b"connection") in ([], [b"close"], [b"keep-alive"]), message
