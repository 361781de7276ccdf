"""Who may talk to the Admin API: address first, then key, then what the key's role may do.

Owns: the allow-list, the keys, the answers to those who are refused (APISIX's bodies), the making of a
first key. Must not know: resources. The key is read from the X-API-KEY header alone: a query or a cookie
would carry it into logs and let a browser send it. Keys are compared as digests, all of them each time,
so the time taken tells nothing.
"""

import hashlib
import hmac
import ipaddress
import logging
import os
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

from fastgw.admin.envelope import Reply, error

__all__ = ["ENV", "Gate", "Key", "own_key"]

ENV: Final = "FASTGW_ADMIN_KEY"
Role = Literal["admin", "viewer"]

log = logging.getLogger("fastgw.admin")


class Key(NamedTuple):
    """One admin key; the name, never the value, goes into the audit log."""

    name: str
    value: str
    role: Role = "admin"


class Gate:
    """Decides about one request from what the connection and the head say."""

    def __init__(self, keys: Sequence[Key], allow: Sequence[str] | None) -> None:
        """allow None: any address. A unix socket is guarded by its file mode, not by this list."""
        if not keys:
            raise ValueError("admin: expected at least one key")
        self._keys = [(_digest(key.value), key) for key in keys]
        entries = [entry for entry in allow if entry != "unix:"] if allow is not None else None
        self._allow = [ipaddress.ip_network(entry, strict=False) for entry in entries] if entries is not None else None

    def refuse_address(self, peer: str | None) -> Reply | None:
        if peer is None or self._allow is None:
            return None
        address = ipaddress.ip_address(peer.partition("%")[0])
        if address.version == 6 and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if any(address.version == each.version and address in each for each in self._allow):
            return None
        return error(403, f"address {address} is not in admin.allow")

    def identify(self, headers: Mapping[str, str], method: str) -> Key | Reply:
        """The key the request carries, or the answer to one that carries none that will do."""
        given = headers.get("x-api-key")
        if not given:
            return _refused(401, "missing apikey")
        digest = _digest(given)
        found: Key | None = None
        for known, key in self._keys:
            if hmac.compare_digest(digest, known):
                found = key
        if found is None:
            return _refused(401, "wrong apikey")
        if found.role == "viewer" and method not in ("GET", "HEAD"):
            return _refused(403, "invalid method for role viewer")  # APISIX says 401
        return found


def own_key(configured: str | None, data_dir: Path, environ: Mapping[str, str] = os.environ) -> str:
    """The admin key: from the environment, else the config, else made once and kept in data_dir."""
    if environ.get(ENV):
        return environ[ENV]
    if configured:
        return configured
    path = data_dir / "admin.key"
    if not path.exists():
        _write_once(path, secrets.token_urlsafe(32))
        log.warning("no admin key in %s or the config: made one, it is in %s", ENV, path)
    else:
        log.info("the admin key is in %s", path)
    value = path.read_text().strip()
    if not value:
        raise ValueError(f"{path}: expected an admin key, found an empty file; remove it to have one made")
    return value


def _write_once(path: Path, value: str) -> None:
    """The file appears whole or not at all; of two processes one wins and both read its key."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=path.name + ".", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(handle, "w") as file:
            file.write(value + "\n")
            file.flush()
            os.fsync(handle)
        try:
            os.link(name, path)
        except FileExistsError:
            pass
    finally:
        os.unlink(name)


def _digest(value: str) -> bytes:
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()


def _refused(status: int, description: str) -> Reply:
    return error(status, "failed to check token", description=description)
