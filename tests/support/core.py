"""The connection core on memory, ready to be talked to: a small configuration and both ends of the lines.

Owns: what the tests of the core and its fuzz targets share. Must not know what they claim.
"""

from __future__ import annotations

import base64
import hmac
import json
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


def pool(address: str = "127.0.0.1:81") -> _core.Pool:
    """One address, resolved."""
    made = _core.Pool(address)
    made.resolve("127.0.0.1", int(address.rpartition(":")[2]))
    return made


def upstream(nodes: int = 1, **options: Any) -> _core.Upstream:
    """That many nodes of equal weight."""
    addresses = [f"127.0.0.1:{81 + i}" for i in range(nodes)]
    return _core.Upstream([(pool(address), 1, 0, address.encode()) for address in addresses], **options)


def john(*steps: tuple[int, _core.Step], number: int = 7) -> _core.Credential:
    """A consumer with a credential, and with steps of its own."""
    consumer = _core.Consumer(b"john", _core.Steps([(number, priority, step) for priority, step in steps]))
    return _core.Credential(consumer, b"john-key", CREDENTIAL, CUSTOM_ID, secret=_core.SecretKey("HS256", SECRET))


def snapshot(
    *steps: _core.Step, to: _core.Upstream | None = None, path: bytes = b"/*", credentials: tuple[_core.Credential, ...] = ()
) -> _core.Snapshot:
    """One route to one upstream."""
    plan = _core.Plan(b"route", chain(*steps), upstream() if to is None else to)
    return _core.Snapshot([(plan, b"", path)], {"jwt": list(credentials)}, chain())


def chain(*steps: _core.Step, first: int = 100) -> _core.Steps:
    """Steps in this order, each of a plugin of its own; `first` is the number of the first one's plugin."""
    return _core.Steps([(first + i, 1000 - i, step) for i, step in enumerate(steps)])
