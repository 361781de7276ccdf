"""The worker's connection pools, one per upstream address, shared by all snapshots that name it, so that idle connections
outlive the snapshot that opened them. They go with the last upstream that names them.

Owns: the pools, which host names they stand for, what is known of these names. Must not know who resolves names, upstreams.
"""

import ipaddress
import weakref
from collections.abc import Collection
from functools import partial
from typing import Any

from fastgw import _core

__all__ = ["Pools"]


def _is_name(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return True
    return False


class Pools:
    """Pools by host and port."""

    def __init__(self) -> None:
        self._pools: dict[tuple[str, int], weakref.ref[_core.Pool]] = {}
        self._named: dict[str, set[int]] = {}
        self._addresses: dict[str, tuple[str, ...]] = {}
        self._names: frozenset[str] | None = frozenset()

    def at(self, host: str, port: int) -> _core.Pool:
        """The pool of this address; an IPv6 address comes without brackets."""
        known = self._pools.get((host, port))
        pool = known() if known is not None else None
        if pool is None:
            pool = _core.Pool(f"{host}:{port}")
            self._pools[host, port] = weakref.ref(pool, partial(self._gone, host, port))
            if not _is_name(host):
                pool.resolve(host, port)
            else:
                self._named.setdefault(host, set()).add(port)
                self._names = None
                self._resolve(host, pool, port)
        return pool

    def names(self) -> frozenset[str]:
        """The host names among the pools' addresses; the same object as before when they are the same."""
        if self._names is None:
            self._names = frozenset(self._named)
        return self._names

    def set_addresses(self, name: str, addresses: Collection[str]) -> None:
        """What a host name stands for, from now on."""
        self._addresses[name] = tuple(addresses)
        for port in tuple(self._named.get(name, ())):  # one may go meanwhile
            pool = self._pools[name, port]()
            if pool is not None:
                self._resolve(name, pool, port)

    def _resolve(self, host: str, pool: _core.Pool, port: int) -> None:
        """Connections go to the first address of a name, once there is one."""
        for address in self._addresses.get(host, ())[:1]:
            pool.resolve(address, port)

    def _gone(self, host: str, port: int, ref: Any) -> None:
        if self._pools.get((host, port)) is not ref:  # there is another one already
            return
        del self._pools[host, port]
        ports = self._named.get(host)
        if ports is not None:
            ports.discard(port)
            if not ports:
                del self._named[host]
                self._names = None
