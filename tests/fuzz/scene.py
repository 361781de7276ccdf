"""The configuration that scripts of `exchange` run on, and what its routes may do with a request.

Owns: the routes and the credentials, with the texts that stand for them in scripts. Must not know scripts or claims.
"""

from __future__ import annotations

from email.utils import formatdate

from fastgw import _core
from tests.fuzz.plugged import OTHER, PLUGGED, Chains
from tests.support import signing
from tests.support.core import IDENTITY, TOKEN, chain, john, pool, shown

WALL = 1_700_000_000  # s; the time at which every script begins
KEY = b"kim-key"
KIM = {b"x-consumer-username": b"kim", b"x-credential-identifier": b"cred-key", b"x-consumer-custom-id": b"id-kim"}
SIGNER = {b"x-consumer-username": b"sue", b"x-credential-identifier": b"cred-hmac", b"x-consumer-custom-id": None}
JOHN = dict(IDENTITY)
SIGNED = "\r\n".join(
    signing.signed(
        "/hmac", f"Digest: {signing.digest(b'hello')}", key_id="sue-id", method="POST", when=formatdate(WALL, usegmt=True)
    )
)
# What stands for texts that mutation would only break.
PLACEHOLDERS = {b"$TOKEN": TOKEN, b"$SIGNED": SIGNED.encode()}

REWRITTEN = b"rewritten.example:8080"  # the Host that /hash gives to its nodes
TAG = "X-Tag"  # the header of the ids that the gateway gives to /tag's requests and answers
SAID = b"said"  # what /say answers
FIXED = b"in its place"  # the body of /fixed's answers, whatever the upstream's
HELD = 0.3  # s that /held delays a request; /slow does no longer than 0.4

_JOHN, _KIM = john(), shown(b"kim", "key", KEY)
_SUE = _core.Credential(
    _core.Consumer(b"sue", _core.Steps([])), b"sue-id", b"cred-hmac", signing=_core.SigningSecret(b"kim-secret")
)
_ADDRESS = _core.Template("remote_addr")


def _say(conf: object, request: _core.Request) -> _core.Reply | None:
    return _core.Reply(200, SAID) if request.arg("say") is not None else None


def _swap(conf: object, request: _core.Request, piece: bytes, last: bool) -> bytes:
    return swapped(piece) if last else piece.swapcase()


def swapped(body: bytes) -> bytes:
    """What /swap makes of a body, however it comes in pieces."""
    return body.swapcase() + b"!"


def _code(piece: bytes, end: int) -> bytes:
    return piece.swapcase() + (b"!" if end == 2 else b"")


_COUNT = _core.LimitCountStep(b"fuzz", _ADDRESS, count=1000000, window=60)
_NUMBER = {name: _core.Template(text, "constant") for name, text in (("conn", "2"), ("burst", "2"))}
CHAINS = {
    b"open": chain(),
    b"hash": chain(),
    b"auth": chain(_core.JwtAuthStep(hide_credentials=True), _COUNT),
    b"key": chain(
        _core.IpRestrictionStep(["192.0.2.0/24"], admits=True, body=b""),
        _core.RequestIdStep("rewrite"),
        _core.RequestIdStep("header_filter"),
        _core.KeyAuthStep(hide_credentials=True),
    ),
    b"tag": chain(_core.RequestIdStep("rewrite", header_name=TAG), _core.RequestIdStep("header_filter", header_name=TAG)),
    b"hmac": chain(_core.HmacAuthStep(digest=True, max_body=64)),
    b"slow": chain(_core.LimitReqStep(b"slow", _ADDRESS, count=5, window=1, burst=2)),
    b"held": chain(
        _core.LimitConnStep(b"held", _ADDRESS, conn=_NUMBER["conn"], burst=_NUMBER["burst"], delay=HELD, learns=False)
    ),
    b"up": chain(),
    b"swap": chain(_core.PythonStep("swap", "body_filter", _swap, None)),
    b"swap-coded": chain(_core.EncodeStep("gzip", lambda: _code, types=None, min_length=1, minor=0, vary=False, piece=512)),
    b"fixed": chain(_core.ResponseRewriteStep(_core.AnswerHeaders([("add", "X-Fixed", _ADDRESS)]), body=FIXED)),
    b"say": chain(_core.PythonStep("say", "access", _say, None)),
}
NAMES = (*CHAINS, *PLUGGED)  # of the routes that scripts know
EMPTY = _core.Snapshot([], {}, chain())
_TIMEOUTS = {"connect": 5.0, "send": 5.0, "read": 5.0}


class Scene:
    """One set of nodes, and the snapshots that lead to them."""

    def __init__(self) -> None:
        self.nodes = [(pool("127.0.0.1:81"), 1, 0, b"a:81"), (pool("127.0.0.1:82"), 1, 0, b"b:82")]
        self._plugged = Chains()

    def snapshot(self) -> _core.Snapshot:
        """/open, /say, /swap, /swap-coded, /fixed and /tag are for anybody, /auth for John's token, /key for Kim's key, which are
        hidden, and /hmac for what Sue signed; /slow and /held delay and refuse; /up lets other protocols through; /hash has a
        node for each path, and a Host of its own. The routes of PLUGGED have its plugins, /split two kinds of nodes.
        """
        plain = _core.Upstream(self.nodes, keepalive_requests=20, **_TIMEOUTS)
        hashed = _core.Upstream(
            self.nodes, "rewrite", REWRITTEN, retries=1, balance="chash", key=_core.Template("uri"), keepalive_size=1, **_TIMEOUTS
        )
        other = _core.Upstream(self.nodes, "rewrite", OTHER, **_TIMEOUTS)
        routes = [
            (_core.Plan(name, steps, hashed if name == b"hash" else plain, upgrades=name == b"up"), b"", b"/" + name + b"*")
            for name, steps in [*CHAINS.items(), *self._plugged.made(other).items()]
        ]
        routes.append((_core.Plan(b"other", chain(), plain), b"", b"/a*"))  # where tests/wire asks
        routes.append((_core.Plan(b"none", chain(), None), b"", b"/none"))
        return _core.Snapshot(routes, {"jwt": [_JOHN], "key": [_KIM], "hmac": [_SUE]}, chain())
