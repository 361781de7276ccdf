"""The worker's connection pools, one per upstream address, shared by all snapshots that name it, so that idle connections
outlive the snapshot that opened them. They go with the last upstream that names them.

Owns: the pools, which host names they stand for, which services upstreams name, what is known of both. Must not know who finds
that out, upstreams.
"""

import ipaddress
import weakref
from collections.abc import Collection
from functools import partial
from typing import Any, NamedTuple

from fastgw import _core
from fastgw.schema.upstream import Node

__all__ = ["Followed", "Pools", "ServiceName"]


class ServiceName(NamedTuple):
    """A service that DNS knows the nodes of, by its name, with a port or without."""

    name: str

    def __str__(self) -> str:
        return f"service {self.name}"


Followed = str | ServiceName
"""What DNS is asked about: a host name or a service."""


def _is_name(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return True
    return False


class _Place(NamedTuple):
    host: str
    port: int
    tls: _core.TlsClient | None
    of: str | None


class Pools:
    """Pools by host, port and how TLS is spoken there, if it is: who one upstream was believed to be counts for no other.

    The addresses of a name have pools of that name's own then: a certificate was judged by it.
    """

    def __init__(self) -> None:
        self._pools: dict[_Place, weakref.ref[_core.Pool]] = {}
        self._named: dict[str, set[_Place]] = {}
        self._addresses: dict[str, tuple[str, ...]] = {}
        self._users: dict[ServiceName, weakref.ref[ServiceUse]] = {}
        self._nodes: dict[ServiceName, tuple[Node, ...]] = {}
        self._names: frozenset[Followed] | None = frozenset()

    def at(self, host: str, port: int, tls: _core.TlsClient | None = None, of: str | None = None) -> _core.Pool:
        """The pool of this address; an IPv6 address comes without brackets. of: the name that it is an address of."""
        place = _Place(host, port, tls, of if tls is not None else None)
        pool, is_new = self._pool(place, f"{host}:{port}")
        if is_new and not _is_name(host):
            pool.resolve(host, port)
        elif is_new:
            self._named.setdefault(host, set()).add(place)
            self._names = None
            self._resolve(place, pool)
        return pool

    def unix(self, path: str, tls: _core.TlsClient | None = None) -> _core.Pool:
        """The pool of this unix socket."""
        pool, is_new = self._pool(_Place(path, 0, tls, None), f"unix:{path}")
        if is_new:
            pool.resolve_unix(path)
        return pool

    def _pool(self, place: _Place, address: str) -> tuple[_core.Pool, bool]:
        """The pool of that place, and whether it was made just now."""
        known = self._pools.get(place)
        pool = known() if known is not None else None
        if pool is not None:
            return pool, False
        pool = _core.Pool(address, place.tls)
        self._pools[place] = weakref.ref(pool, partial(self._gone, place))
        return pool, True

    def service(self, service: ServiceName) -> tuple["ServiceUse", tuple[Node, ...]]:
        """The nodes of a service, as far as they are known. It is followed while somebody holds the use."""
        known = self._users.get(service)
        use = known() if known is not None else None
        if use is None:
            use = ServiceUse()
            self._users[service] = weakref.ref(use, partial(self._unused, service))
            self._names = None
        return use, self._nodes.get(service, ())

    def names(self) -> frozenset[Followed]:
        """The host names among the pools' addresses, and the services; the same object as before when they are the same."""
        if self._names is None:
            self._names = frozenset((*self._named, *self._users))
        return self._names

    def set_nodes(self, service: ServiceName, nodes: Collection[Node]) -> None:
        """What a service stands for, for upstreams that are made from now on."""
        self._nodes[service] = tuple(nodes)

    def keep(self, names: Collection[Followed]) -> None:
        """Forgets what is known of all others: who follows a name again is told anew."""
        kept = frozenset(names)
        self._addresses = {name: found for name, found in self._addresses.items() if name in kept}
        self._nodes = {service: nodes for service, nodes in self._nodes.items() if service in kept}

    def set_addresses(self, name: str, addresses: Collection[str]) -> None:
        """What a host name stands for, from now on."""
        self._addresses[name] = tuple(addresses)
        for place in tuple(self._named.get(name, ())):  # one may go meanwhile
            ref = self._pools.get(place)
            pool = ref() if ref is not None else None
            if pool is not None:
                self._resolve(place, pool)

    def _resolve(self, place: _Place, pool: _core.Pool) -> None:
        """Connections go to all addresses of a name by turns, once there are some."""
        addresses = self._addresses.get(place.host)
        if addresses:
            pool.spread([self.at(address, place.port, place.tls, place.host) for address in addresses])

    def _gone(self, place: _Place, ref: Any) -> None:
        if self._pools.get(place) is not ref:  # there is another one already
            return
        del self._pools[place]
        places = self._named.get(place.host)
        if places is not None:
            places.discard(place)
            if not places:
                del self._named[place.host]
                self._names = None

    def _unused(self, service: ServiceName, ref: Any) -> None:
        if self._users.get(service) is ref:
            del self._users[service]
            self._names = None


class ServiceUse:
    """Held by who uses a service."""
