"""The whole core from its byte edges: clients, upstreams and time, driven by a script that the fuzzer mutates.

Owns: the script's grammar and the claims about what leaves on either side. A script is a row of steps, each a letter and
its bytes, with SEPARATOR between them, so that a line of HTTP mutates as a line of HTTP.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from fastgw import _core
from tests.oracle import http1
from tests.support.core import IDENTITY, TOKEN, chain, john, pool, shown

SEPARATOR = b"\xfe"
PLACEHOLDER = b"$TOKEN"  # so that seeds need not carry a token that mutation would only break
LINE_BYTES = 320 * 1024  # what the core may hold for one line: a read and its framing, a head, pipelined bytes
PATIENCE = 60.0  # seconds; longer than any timeout below
KEY = b"kim-key"
KIM = {b"x-consumer-username": b"kim", b"x-credential-identifier": b"cred-key", b"x-consumer-custom-id": b"id-kim"}
HOP_BY_HOP = {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade", b"http2-settings"}


def _snapshot() -> _core.Snapshot:
    """/open goes to two nodes as it is; /auth demands John's token, hides it, and counts; /key demands Kim's key, hides it, and
    gives the request an id; /up lets upgrades through.
    """
    nodes = [(pool("127.0.0.1:81"), 1, 0, b"a"), (pool("127.0.0.1:82"), 1, 0, b"b")]
    upstream = _core.Upstream(nodes, connect=5, send=5, read=5, keepalive_requests=20)
    credential = john()
    limit = _core.LimitCountStep(b"fuzz", _core.Template("remote_addr"), count=1000000, window=60)
    auth = chain(_core.JwtAuthStep(hide_credentials=True), limit)
    ids = (_core.RequestIdStep("rewrite"), _core.RequestIdStep("header_filter"))
    key = chain(_core.IpRestrictionStep(["192.0.2.0/24"], admits=True, body=b""), *ids, _core.KeyAuthStep(hide_credentials=True))
    routes = [
        (_core.Plan(b"open", chain(), upstream), b"", b"/open*"),
        (_core.Plan(b"auth", auth, upstream), b"", b"/auth*"),
        (_core.Plan(b"key", key, upstream), b"", b"/key*"),
        (_core.Plan(b"up", chain(), upstream, upgrades=True), b"", b"/up*"),
        (_core.Plan(b"none", chain(), None), b"", b"/none"),
    ]
    return _core.Snapshot(routes, {"jwt": [credential], "key": [shown(b"kim", "key", KEY)]}, chain())


class Play:
    """One script on one core: what each line was sent and what came out of it."""

    def __init__(self) -> None:
        limits = {
            "head_bytes": 4096,
            "body_bytes": 100000,
            "idle_timeout": 5,
            "head_timeout": 5,
            "body_timeout": 5,
            "send_timeout": 5,
        }
        self.wire = _core.Wire(_snapshot(), limits=limits, token_cache=8)
        self.sent: dict[int, bytearray] = {}
        self.got: dict[int, bytearray] = {}
        self.ended: set[int] = set()
        self.client = self.wire.open()

    def line(self, side: str) -> int | None:
        """The newest open line of that side."""
        lines = [i for i, kind, is_open in self.wire.lines() if kind == side and is_open]
        return lines[-1] if lines else None

    def step(self, letter: bytes, data: bytes) -> None:
        side = "down" if letter.islower() else "up"
        at = self.client if letter.islower() else self.line(side)
        kind, number = letter.lower(), int.from_bytes(data[:2], "little")
        if kind == b"n":
            self.client = self.wire.open()
        elif kind == b"t":
            self.wire.advance(number % 600 / 10)
        elif kind == b"k":
            self.wire.connecting(("at once", "later", "refused")[number % 3])
        elif at is None or not self.wire.is_open(at):
            return
        elif kind in b"sb":
            for piece in [data] if kind == b"s" else [data[i : i + 1] for i in range(len(data))]:
                if self.wire.is_open(at) and at not in self.ended:
                    self.sent.setdefault(at, bytearray()).extend(piece)
                    self.wire.push(at, piece)
        elif kind == b"e":
            self.ended.add(at)
            self.wire.end(at)
        elif kind == b"r":
            self.ended.add(at)
            self.wire.reset(at)
        elif kind == b"f":
            self.wire.room(at, number)
        elif kind == b"c":
            self.wire.connected(at)

    def take(self) -> None:
        for i, _, _ in self.wire.lines():
            self.got.setdefault(i, bytearray()).extend(self.wire.pull(i))

    def leave(self) -> None:
        """Everybody goes, and time passes."""
        for i, _, is_open in self.wire.lines():
            if is_open:
                self.wire.end(i)
        for _ in range(8):
            self.wire.advance(PATIENCE)
        self.take()


def check(data: bytes) -> None:
    """What reaches an upstream re-parses strictly as requests that a client sent, in order, with the gateway's own identity
    and forwarding fields only; what reaches a client re-parses as answers; memory stays bounded; every exchange ends.
    Behind a handshake nothing reaches an upstream, and behind a 101 nothing a client, but what the other side sent there; and no
    byte of it is taken for a request.
    """
    play = Play()
    for step in data.replace(PLACEHOLDER, TOKEN).split(SEPARATOR)[:64]:
        play.step(step[:1], step[1:])
        play.take()
        lines = sum(is_open for _, _, is_open in play.wire.lines())
        assert play.wire.held() <= lines * LINE_BYTES, f"{play.wire.held()} bytes held for {lines} lines"
    play.leave()
    assert play.wire.active == 0, f"{play.wire.active} exchanges never ended"
    left = [i for i, side, is_open in play.wire.lines() if is_open]
    assert not left, f"lines {left} never closed"
    clients = {i: _asked(play, i) for i, side, _ in play.wire.lines() if side == "down"}
    for i, side, _ in play.wire.lines():
        if side == "up":
            _check_up(bytes(play.got[i]), list(clients.values()), play)
        else:
            _check_down(bytes(play.got[i]), clients[i], play)


def _asked(play: Play, client: int) -> list[http1.Message]:
    """The requests that stand in a client's bytes, up to the first that is none, or to the one whose upgrade was granted, whose
    body is what was sent behind it.
    """
    stream, found = bytes(play.sent.get(client, b"")), []
    with contextlib.suppress(http1.MalformedError):
        for message in http1.requests(stream):
            found.append(message)  # noqa: PERF402 (those before the exception count)
    answers = list(http1.answers(bytes(play.got[client]), [message.start[0] for message in found], closed=True))
    if answers and answers[-1].status == 101:
        granted = sum(message.status >= 200 for message in answers)
        assert granted < len(found), f"a 101 for no request: {answers[-1]}"
        found[granted:] = [found[granted]._replace(body=http1.behind(stream, granted + 1))]
    return found


def _path(message: http1.Message) -> bytes:
    """Path of the target; an absolute-form loses its authority on the way."""
    target = re.sub(rb"(?i)\Ahttps?://[^/?]*", b"", message.start[1])
    return target.partition(b"?")[0] or b"/"


def _check_up(stream: bytes, clients: list[list[http1.Message]], play: Play) -> None:
    wanted = [iter(asked) for asked in clients]
    current: list[http1.Message | None] = [None] * len(clients)
    for message in http1.requests(stream, switching=True):
        _check_fields(message, [bytes(sent) for sent in play.sent.values()])
        for i, asked in enumerate(wanted):
            here = current[i]
            while here is None or not _same(message, here):
                here = next(asked, None)
                if here is None:
                    break
            if here is not None:
                current[i] = here
                break
            wanted[i] = iter(clients[i])  # another client's; this one's place is found anew
            current[i] = None
        else:
            raise AssertionError(f"nobody sent {message}")


def _same(out: http1.Message, asked: http1.Message) -> bool:
    if (out.start[0], _path(out)) != (asked.start[0], _path(asked)):
        return False
    if out.values(b"upgrade"):
        return out.values(b"upgrade") == asked.values(b"upgrade") and asked.body.startswith(out.body)
    return out.body == asked.body if out.whole else asked.body.startswith(out.body)


def _check_fields(message: http1.Message, sent: list[bytes]) -> None:
    assert len(message.values(b"host")) == 1, message
    names = {http1.folded(name) for name, _ in message.fields}
    if (
        _path(message).startswith(b"/up")
        and message.values(b"connection") == [b"upgrade"]
        and len(message.values(b"upgrade")) == 1
    ):
        names -= {b"connection", b"upgrade"}
    assert not names & HOP_BY_HOP, message
    assert message.values(b"x-real-ip") == message.values(b"x-forwarded-for") == [b"192.0.2.1"], message
    for name in (b"x-forwarded-proto", b"x-forwarded-port"):
        assert len(message.values(name)) == 1, message
    found = {name: message.values(name) for name in IDENTITY}
    if found == {name: [value] for name, value in KIM.items()}:
        _check_key(message, sent)
    elif any(found.values()):
        assert found == {name: [value] for name, value in IDENTITY.items()}, message
        _check_token(message, sent)


def _check_token(message: http1.Message, sent: list[bytes]) -> None:
    """Gone from the three places where a token is looked for; anywhere else it is the client's own text."""
    assert any(TOKEN in each for each in sent), message
    assert not message.values(b"authorization"), message
    assert b"jwt" not in _arguments(message), message
    cookies = [pair.strip() for value in message.values(b"cookie") for pair in value.split(b";")]
    assert not any(pair.startswith(b"jwt=") for pair in cookies), message


def _check_key(message: http1.Message, sent: list[bytes]) -> None:
    """Gone from both places; and there is one id."""
    assert any(KEY in unquote_to_bytes(each) for each in sent), message
    assert not message.values(b"apikey"), message
    assert b"apikey" not in _arguments(message), message
    assert len(message.values(b"x-request-id")) == 1, message
    assert 0 < len(message.values(b"x-request-id")[0]) <= 256, message


def _arguments(message: http1.Message) -> list[bytes]:
    """Names of the query's arguments, as an application reads them."""
    pairs = message.start[1].partition(b"?")[2].split(b"&")
    return [unquote_to_bytes(pair.partition(b"=")[0].replace(b"+", b" ")) for pair in pairs]


def _check_down(stream: bytes, asked: list[http1.Message], play: Play) -> None:
    methods = [message.start[0] for message in asked]
    answers = list(http1.answers(stream, methods, closed=True))
    final = [m for m in answers if m.status >= 200]
    assert len(final) <= len(asked) + 1, f"{len(final)} answers to {len(asked)} requests"
    if answers and answers[-1].status == 101:
        wanted = [value.lower() for value in asked[-1].values(b"upgrade")]
        grants = [m for m in _grants(play) if [value.lower() for value in m.values(b"upgrade")] == wanted]
        assert any(m.body.startswith(answers[-1].body) for m in grants), f"nobody granted {answers[-1]}"


def _grants(play: Play) -> Iterator[http1.Message]:
    """The 101 of upstreams, each with all that was sent behind it."""
    for i, side, _ in play.wire.lines():
        if side == "up":
            methods = [message.start[0] for message in http1.requests(bytes(play.got[i]), switching=True)]
            with contextlib.suppress(http1.MalformedError):
                for message in http1.answers(bytes(play.sent.get(i, b"")), methods, closed=False):
                    if message.status == 101:
                        yield message
