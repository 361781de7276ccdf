"""Certificates as ssl objects describe them, made into what the core shows to clients, and who is shown by which name.

Of several objects with one name the oldest is shown, in every worker alike; when it goes, the next one is.

Owns: the claims to server names, what the next snapshot is told of them. Must not know handshakes, or where objects come from.
"""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from fastgw import _core
from fastgw.schema.expression import parsed
from fastgw.schema.ssl import Ssl, SslClient

__all__ = ["ServerNames", "Shown", "shown_of"]


class Shown(NamedTuple):
    """An ssl object as clients are shown it."""

    created: int
    names: tuple[bytes, ...]
    server: _core.TlsServer


def shown_of(ssl: Ssl, created: int, protocols: tuple[str, ...]) -> Shown:
    """ValueError: OpenSSL does not take a certificate, a key or the authorities."""
    names = ssl.snis or ((ssl.sni,) if ssl.sni is not None else ())
    pairs = [(ssl.cert, ssl.key), *zip(ssl.certs, ssl.keys, strict=True)]
    encoded = [(cert.encode(), key.encode()) for cert, key in pairs]
    if ssl.client is None:
        server = _core.TlsServer(encoded, protocols=protocols)
    else:
        server = _core.TlsServer(
            encoded,
            protocols=protocols,
            ca=ssl.client.ca.encode(),
            depth=min(ssl.client.depth, 100),  # OpenSSL's own bound is less
            authority=_authority(ssl.client),
            skip=_skip(ssl.client.skip_mtls_uri_regex),
        )
    return Shown(created, tuple(name.lower().encode() for name in names), server)


def _authority(client: SslClient) -> int:
    """The same for the same judges of client certificates: whoever was judged by them need not be again."""
    digest = hashlib.sha256(f"{client.depth}\n{client.ca}".encode()).digest()
    return int.from_bytes(digest[:8], "big") | 1


def _skip(patterns: tuple[str, ...] | None) -> _core.Expression | None:
    if patterns is None:
        return None
    return _core.Expression(parsed(["OR", *(["uri", "~~", pattern] for pattern in patterns)]))


class ServerNames:
    """The claims of all ssl objects, and the changes that the next snapshot has to be told of."""

    def __init__(self) -> None:
        self._shown: dict[str, Shown] = {}
        self._claims: dict[bytes, dict[str, Shown]] = {}
        self._holders: dict[bytes, _core.TlsServer] = {}
        self._touched: dict[bytes, None] = {}

    def replace(self, id_: str, after: Shown | None) -> None:
        """What the object with this id shows from now on; None: nothing."""
        before = self._shown.pop(id_, None)
        for name in before.names if before is not None else ():
            self._claims[name].pop(id_, None)
            self._touched[name] = None
        if after is not None:
            self._shown[id_] = after
            for name in after.names:
                self._claims.setdefault(name, {})[id_] = after
                self._touched[name] = None

    def settle(self, edit: _core.Edit) -> Iterator[None]:
        """Tells the edit who is shown by which name from now on; yields after each name."""
        while self._touched:
            name, _ = self._touched.popitem()
            claimants = self._claims[name]
            first = min(claimants, key=lambda id_: (claimants[id_].created, id_), default=None)
            if first is None:
                del self._claims[name]
                if self._holders.pop(name, None) is not None:
                    edit.drop_server_name(name)
            elif self._holders.get(name) is not claimants[first].server:
                self._holders[name] = claimants[first].server
                edit.put_server_name(name, claimants[first].server)
            yield
