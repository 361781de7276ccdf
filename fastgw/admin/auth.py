"""Who may talk to the Admin API: address first, then key, then what the key's role may do.

Owns: the allow-list, the keys, the answers to those who are refused (APISIX's bodies), the making of a
first key. Must not know: resources. The key is read from the X-API-KEY header alone: a query or a cookie
would carry it into logs and let a browser send it. Keys are compared as digests, all of them each time,
so the time taken tells nothing. While a client has to wait for its wrong keys (failures.py), none is
looked at, so that guessing on gives no sign.
"""

import hashlib
import hmac
import ipaddress
import logging
import math
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

from fastgw import files
from fastgw.admin.envelope import Reply, error
from fastgw.admin.failures import Failures
from fastgw.admin.server import Request
from fastgw.schema.settings import Admin

__all__ = ["ENV", "Gate", "Key", "keys_of", "own_key"]

ENV: Final = "FASTGW_ADMIN_KEY"
LEAST_KEY: Final = 16  # characters, as for keys in the config file
MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")  # IPv4 in IPv6
# Where APISIX takes a key too.
IN_QUERY: Final = re.compile(r"(?:^|&)api_key=")
IN_COOKIE: Final = re.compile(r"(?:^|[;,\s])x_api_key=")

Role = Literal["admin", "viewer"]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

log = logging.getLogger("fastgw.admin")


class Key(NamedTuple):
    """One admin key; the name, never the value, goes into the audit log."""

    name: str
    value: str
    role: Role = "admin"


class Gate:
    """Decides about one request from what the connection and the head say."""

    def __init__(self, keys: Sequence[Key], allow: Sequence[str] | None, failures: Failures) -> None:
        """allow None: any address. A unix socket is guarded by its file mode, not by this list."""
        if not keys:
            raise ValueError("admin: expected at least one key")
        self._keys = [(_digest(key.value), key) for key in keys]
        self._allow = None if allow is None else [_network(entry) for entry in allow]
        self._failures = failures

    def refuse_address(self, peer: str | None) -> Reply | None:
        if peer is None or self._allow is None:
            return None
        address = ipaddress.ip_address(peer.partition("%")[0])
        if address.version == 6 and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if any(address.version == each.version and address in each for each in self._allow):
            return None
        return error(403, f"address {address} is not in admin.allow")

    def identify(self, request: Request) -> Key | Reply:
        """The key the request carries, or the answer to one that carries none that will do."""
        given = request.headers.get("x-api-key")
        if not given:
            return _missing(request)
        wait = self._failures.wait(request.peer)
        if wait > 0:
            return _refused(429, "too many wrong apikeys from this address", ("Retry-After", str(math.ceil(wait))))
        digest = _digest(given)
        found: Key | None = None
        for known, key in self._keys:
            if hmac.compare_digest(digest, known):
                found = key
        if found is not None:
            return found
        if self._failures.note(request.peer):
            log.warning("too many wrong keys from %s: it has to wait, and its keys are not looked at", request.peer)
        return _refused(401, "wrong apikey")

    @staticmethod
    def refuse_role(key: Key, request: Request, reads: bool) -> Reply | None:
        """reads: the call changes nothing, whatever its method."""
        if key.role == "viewer" and not reads and request.method not in ("GET", "HEAD"):
            return _refused(403, "invalid method for role viewer")  # APISIX says 401
        return None


def keys_of(settings: Admin, data_dir: Path) -> list[Key]:
    """All keys that count: those of the settings, and one of our own where none of them may write."""
    keys = [Key(each.name, each.key, each.role) for each in settings.keys]
    if settings.viewer_key is not None:
        keys.insert(0, Key("viewer", settings.viewer_key, "viewer"))
    if settings.key is not None or not any(key.role == "admin" for key in keys):
        keys.insert(0, Key("admin", own_key(settings.key, data_dir), "admin"))
    return keys


def own_key(configured: str | None, data_dir: Path, environ: Mapping[str, str] = os.environ) -> str:
    """The admin key: from the environment, else the config, else made once and kept in data_dir."""
    if environ.get(ENV):
        return environ[ENV]
    if configured:
        return configured
    path = data_dir / "admin.key"
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.create(path, f"{secrets.token_urlsafe(32)}\n".encode())
        log.warning("no admin key in %s or the config: made one, it is in %s", ENV, path)
    else:
        log.info("the admin key is in %s", path)
    value = path.read_text().strip()
    if len(value) < LEAST_KEY:
        found = f"one of {len(value)}" if value else "an empty file"
        raise ValueError(
            f"{path}: expected an admin key of {LEAST_KEY} characters or more, found {found}; remove it to have one made"
        )
    return value


def _digest(value: str) -> bytes:
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()


def _network(entry: str) -> Network:
    """The range; one of IPv4 in IPv6's clothes as IPv4, for addresses are compared so."""
    found = ipaddress.ip_network(entry, strict=False)
    if isinstance(found, ipaddress.IPv6Network) and found.subnet_of(MAPPED):
        return ipaddress.ip_network((found.network_address.ipv4_mapped or 0, found.prefixlen - MAPPED.prefixlen))
    return found


def _missing(request: Request) -> Reply:
    place = ""
    if IN_QUERY.search(request.target.partition("?")[2]):
        place = "the query"
    elif IN_COOKIE.search(request.headers.get("cookie", "")):
        place = "a cookie"
    return _refused(401, f"missing apikey: expected in the header X-API-KEY, found in {place}" if place else "missing apikey")


def _refused(status: int, description: str, *headers: tuple[str, str]) -> Reply:
    return error(status, "failed to check token", description=description)._replace(headers=headers)
