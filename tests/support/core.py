"""The connection core on memory, ready to be talked to: a small configuration and both ends of the lines.

Owns: what the tests of the core and its fuzz targets share. Must not know what they claim.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping
from typing import Any

from fastgw import _core

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SECRET = b"john-hs256-secret-of-enough-bytes"
CUSTOM_ID = b"495aec6a"
CREDENTIAL = b"cred-john-jwt-auth"
IDENTITY = {b"x-consumer-username": b"john", b"x-credential-identifier": CREDENTIAL, b"x-consumer-custom-id": CUSTOM_ID}


def token(**claims: Any) -> bytes:
    """John's token. Always the same bytes for the same claims."""
    parts: list[dict[str, Any]] = [{"alg": "HS256", "typ": "JWT"}, {"key": "john-key", **claims}]
    text = b".".join(_b64(json.dumps(part).encode()) for part in parts)
    return text + b"." + _b64(hmac.digest(SECRET, text, "sha256"))


def _b64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


TOKEN = token()


def pool(address: str = "127.0.0.1:81", ip: str = "127.0.0.1") -> _core.Pool:
    """One address, resolved."""
    made = _core.Pool(address)
    made.resolve(ip, int(address.rpartition(":")[2]))
    return made


def upstream(nodes: int = 1, **options: Any) -> _core.Upstream:
    """That many nodes of equal weight."""
    addresses = [f"127.0.0.1:{81 + i}" for i in range(nodes)]
    return _core.Upstream([(pool(address), 1, 0, address.encode()) for address in addresses], **options)


def john(*steps: tuple[int, _core.Step], number: int = 7) -> _core.Credential:
    """A consumer with a credential, and with steps of its own."""
    consumer = _core.Consumer(b"john", _core.Steps([(number, priority, step) for priority, step in steps]))
    return _core.Credential(consumer, b"john-key", CREDENTIAL, CUSTOM_ID, secret=_core.SecretKey("HS256", SECRET))


def shown(name: bytes, kind: str, text: bytes, key: bytes | None = None) -> _core.Credential:
    """A credential of the consumer of that name whose secret requests show: of kind "key", or "basic" with its user name."""
    proof = _core.SharedSecret(text)
    consumer = _core.Consumer(name, _core.Steps([]))
    return _core.Credential(consumer, proof.index if key is None else key, b"cred-" + kind.encode(), b"id-" + name, proof=proof)


def snapshot(
    *steps: _core.Step,
    to: _core.Upstream | None = None,
    path: bytes = b"/*",
    credentials: tuple[_core.Credential, ...] = (),
    others: Mapping[str, list[_core.Credential]] | None = None,
    first: _core.Steps | None = None,
) -> _core.Snapshot:
    """One route to one upstream. `credentials` are John's kind, `others` of any kind; `first` are a global rule's steps."""
    plan = _core.Plan(b"route", chain(*steps), upstream() if to is None else to)
    return _core.Snapshot([(plan, b"", path)], {"jwt": list(credentials), **(others or {})}, first or chain())


def ask(snapshot_: _core.Snapshot, request: bytes, answer: bytes = OK, address: str = "192.0.2.1") -> tuple[bytes, bytes]:
    """One request on a core of its own: what the upstream saw (b"" where it was not asked) and what the client got."""
    wire = _core.Wire(snapshot_)
    line = wire.open(address)
    wire.push(line, request)
    sent = b""
    if len(wire.lines()) > 1:
        sent = wire.pull(1)
        wire.push(1, answer)
    got = wire.pull(line)
    assert wire.active == 0
    return sent, got


def chain(*steps: _core.Step, first: int = 100) -> _core.Steps:
    """Steps in this order, each of a plugin of its own; `first` is the number of the first one's plugin."""
    return _core.Steps([(first + i, 1000 - i, step) for i, step in enumerate(steps)])
