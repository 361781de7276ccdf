"""Fields of messages that left the gateway: what must be there, what must not, and whose identity a request may carry.

Owns: the claims about one message, beside the one that it was made of. Must not know lines or time.
"""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from tests.fuzz import asked as requests
from tests.fuzz.play import address
from tests.fuzz.scene import JOHN, KEY, KIM, SIGNER, TAG
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


def may_be(message: http1.Message, route: bytes) -> bool:
    """Whether it can be for this route: what its path is brought to is for others to judge."""
    return route in unquote_to_bytes(requests.path(message))


def asks_for_tunnel(out: http1.Message) -> bool:
    """Whether the gateway asks for another protocol."""
    return bool(requests.named(out, b"upgrade"))


def clients_of(message: http1.Message) -> list[int]:
    """Whose request it may be, as the gateway says: by the address that counts, or where others' word counts, by the one that is
    connected. Which of them it is, `check` tells."""
    said = [each for name in (b"x-real-ip", b"x-peer") for each in message.values(name) if each.startswith(b"192.0.2.")]
    return sorted({int(number) - 1 for each in said if (number := each.rpartition(b".")[2]).isdigit()})


def check(out: http1.Message, asked: http1.Message, raw: bytes, *, client: int, trusted: bool) -> None:
    """A request that went upstream, made of the one that this client asked for, whose bytes are `raw`."""
    name = requests.route(asked)
    made = MADE | requests.SAID.get(name, set())
    names = {http1.folded(name) for name, _ in out.fields}
    if asks_for_tunnel(out):
        assert may_be(asked, b"up"), out
        assert (out.values(b"connection"), out.values(b"upgrade")) == ([b"upgrade"], requests.named(asked, b"upgrade")), out
        assert not names & {b"content-length", b"transfer-encoding"}, out
        names -= {b"connection", b"upgrade"}
    assert not names & HOP_BY_HOP, out
    assert len(out.values(b"host")) == 1, out
    _check_forwarding(out, asked, client, trusted)
    requests.check_said(out, asked)
    left = iter(asked.fields)
    for each in out.fields:
        field = http1.folded(each[0])
        if trusted and (field == b"forwarded" or field.startswith(b"x-forwarded-")) and field not in FORWARDING:
            assert each in asked.fields, f"{each} is nobody's: {out}"
        else:
            assert field in made or each in left, f"{each} is nobody's: {out}"
    if not _check_identity(out, asked, raw):
        assert name not in (b"auth", b"key", b"hmac", b"mixed"), f"without authentication: {out}"


def _check_forwarding(out: http1.Message, asked: http1.Message, client: int, trusted: bool) -> None:
    peer = address(client)
    own = requests.client_address(asked, peer)
    assert out.values(b"x-real-ip") == [own], out
    if b"x-peer" in requests.SAID.get(requests.route(asked), ()):
        assert out.values(b"x-peer") == [peer], out
    for name in (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-port"):
        assert len(out.values(name)) == 1, out
    assert len(out.values(b"x-forwarded-host")) <= 1, out
    if not trusted:
        assert out.values(b"x-forwarded-for") == [own], out
        assert out.values(b"x-forwarded-proto") == [b"http"], out
        names = {http1.folded(name) for name, _ in out.fields}
        assert not {name for name in names if name == b"forwarded" or name.startswith(b"x-forwarded-")} - FORWARDING, out
        return
    said = [value for value in requests.named(asked, b"x-forwarded-for") if value]
    assert out.values(b"x-forwarded-for") == [b", ".join([*said, peer])], out


def identified(out: http1.Message) -> bool:
    """Whether it says who sent it."""
    return any(out.values(name) for name in JOHN)


def _check_identity(out: http1.Message, asked: http1.Message, raw: bytes) -> bool:
    """Whether there is one: that of the credential which the request showed, which is hidden where it is to be."""
    if not identified(out):
        return False
    found = {name: out.values(name) for name in JOHN}
    if found == _lines(KIM):
        _check_key(out, asked, raw)
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


def _check_key(out: http1.Message, asked: http1.Message, raw: bytes) -> None:
    """Gone from both places; and there is one id."""
    assert KEY in unquote_to_bytes(raw), out
    assert not out.values(b"apikey"), out
    assert b"apikey" not in _arguments(out), out
    if requests.route(asked) == b"key":
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
