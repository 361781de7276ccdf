"""JWT: no bytes but an honest token's are believed.

Owns: the claims about one token. Input: one byte of choices, then the token; or, with the lowest bit set, the header and
the payload as JSON text on two lines, which are then signed rightly, so that the fuzzer gets past the signature.
"""

from __future__ import annotations

import base64
import hmac
import json
import math
from typing import Any

from fastgw import _core
from tests.support.core import SECRET

NOW = 1_700_000_000
ACCEPTED = "jwt.ok"


def check(data: bytes) -> None:
    """A token is accepted only if its signature is right, its header and payload are JSON objects to Python's own reader too,
    its algorithm is the credential's and its times hold; with and without the header cache alike; and no key is believed
    that the payload does not carry.
    """
    choices, rest = (data[0] if data else 0), data[1:]
    text = _signed(rest) if choices & 1 else rest
    required = choices >> 1 & 3
    results = [_core._test_jwt_verify(text, "HS256", SECRET, NOW, required=required, headers=h) for h in (False, True, True)]
    assert results[0] == results[1] == results[2], results
    verdict, key = results[0]
    if verdict != ACCEPTED:
        return
    head, payload, signature = text.split(b".")
    assert _decoded(signature) == hmac.digest(SECRET, head + b"." + payload, "sha256")
    header, claims = _object(_decoded(head)), _object(_decoded(payload))
    assert header["alg"] == "HS256"
    assert not {"crit", "zip"} & header.keys(), header
    assert key is not None
    assert claims["key"].encode("utf-8") == key
    for name, holds in (("exp", lambda at: at > NOW), ("nbf", lambda at: at <= NOW)):
        if name in claims:
            assert type(claims[name]) in (int, float), claims
            assert math.isfinite(claims[name]), claims
            assert holds(claims[name]), claims


def _signed(data: bytes) -> bytes:
    header, _, payload = data.partition(b"\n")
    text = _encoded(header) + b"." + _encoded(payload)
    return text + b"." + _encoded(hmac.digest(SECRET, text, "sha256"))


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _decoded(text: bytes) -> bytes:
    assert b"=" not in text
    raw = base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    assert _encoded(raw) == text, "not canonical"
    return raw


def _object(text: bytes) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({name for name, _ in pairs}) == len(pairs), pairs
        return dict(pairs)

    found = json.loads(text.decode("utf-8"), object_pairs_hook=once)
    assert isinstance(found, dict)
    return found
