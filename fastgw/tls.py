"""Certificates as ssl objects describe them, made into what the core shows to clients, and who is shown by which name; and how
upstreams are spoken to.

Of several objects with one name the oldest is shown, in every worker alike; when it goes, the next one is.

Owns: the claims to server names, what the next snapshot is told of them; by whom upstreams are judged. Must not know handshakes,
or where objects come from.
"""

import hashlib
import weakref
from collections.abc import Callable, Iterator
from typing import NamedTuple

from fastgw import _core
from fastgw.schema.expression import parsed
from fastgw.schema.settings import Tls
from fastgw.schema.ssl import Ssl, SslClient
from fastgw.schema.upstream import Upstream, UpstreamTls

__all__ = ["Clients", "Pair", "ServerNames", "Shown", "shown_of", "try_tls"]

Pair = tuple[str, str]
"""A certificate and its key, PEM."""


class Shown(NamedTuple):
    """An ssl object as clients are shown it."""

    created: int
    names: tuple[bytes, ...]
    server: _core.TlsServer


def try_tls(settings: Tls) -> None:
    """ValueError: TLS is asked for and cannot be spoken, or nobody can be judged by the file."""
    if settings.listen:
        _core.tls_load()
    if settings.trusted_certificate is not None:
        _core.TlsTrust(settings.trusted_certificate)


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


class Clients:
    """How upstreams are spoken to. Those that are alike share one, and so the connections that belong to it."""

    def __init__(self, trusted: str | None = None) -> None:
        """trusted: a PEM file of those who may sign; None: those that the system trusts."""
        self._trusted = trusted
        self._trust: _core.TlsTrust | None = None
        self._known: weakref.WeakValueDictionary[tuple[bool, Pair | None], _core.TlsClient] = weakref.WeakValueDictionary()

    def of(self, upstream: Upstream, linked: Callable[[str], Ssl]) -> _core.TlsClient | None:
        """None: TLS is not spoken to it. linked: an ssl object by its id. ValueError, LookupError: what it says will not do."""
        if upstream.scheme != "https":
            return None
        tls = upstream.tls or UpstreamTls()
        pair = _pair(tls, linked)
        client = self._known.get((tls.verify, pair))
        if client is None:
            cert, key = (None, None) if pair is None else (text.encode() for text in pair)
            client = _core.TlsClient(self._judges() if tls.verify else None, cert, key)
            self._known[tls.verify, pair] = client
        return client

    def _judges(self) -> _core.TlsTrust:
        if self._trust is None:
            self._trust = _core.TlsTrust(self._trusted)
        return self._trust


def _pair(tls: UpstreamTls, linked: Callable[[str], Ssl]) -> Pair | None:
    """What the gateway proves itself by."""
    if tls.client_cert_id is not None:
        ssl = linked(str(tls.client_cert_id))
        if ssl.type != "client":
            raise LookupError(f"ssl {str(tls.client_cert_id)!r}: expected one of type client, found {ssl.type}")
        return ssl.cert, ssl.key
    if tls.client_cert is not None and tls.client_key is not None:
        return tls.client_cert, tls.client_key
    return None
