"""Names to addresses and services to nodes, asked of DNS servers without a thread.

Owns: which servers are asked and how often, the hosts file, the order of kinds. Must not know: who wants to know, for how long an
answer is kept. The hosts file goes before DNS; a name's IPv6 addresses count where it has no IPv4 address (APISIX): a host
without IPv6 would fail every second try.
"""

import asyncio
import ipaddress
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from fastgw.dns_message import AAAA, SRV, A, NoSuchName, Reply, ServerFailure, Srv, found, question, reply
from fastgw.pools import ServiceName
from fastgw.schema.formats import parse_node
from fastgw.schema.upstream import Node

__all__ = ["Answer", "Client"]

PORT: Final = 53
TIMEOUT_S: Final = 2.0  # of one server
MOST_AT_ONCE: Final = 32  # questions: ten thousand names are neither as many descriptors nor a flood for the server
HOSTS_TTL_S: Final = 30.0
LOOPBACK: Final = "127.0.0.1"  # localhost, whatever a server says (RFC 6761 section 6.3)


class Answer(NamedTuple):
    """Addresses of a name, or nodes of a service, sorted, so that equal answers compare equal; and for how many seconds they
    hold."""

    found: tuple[str, ...] | tuple[Node, ...]
    ttl: float


class Servers(NamedTuple):
    """Whom to ask, and what a name may be short for."""

    addresses: tuple[tuple[str, int], ...]
    search: tuple[str, ...] = ()
    dots: int = 1

    def names(self, name: str) -> Iterator[str]:
        """What a name may mean, the likeliest first (resolv.conf(5))."""
        longer = [] if name.endswith(".") else [f"{name}.{suffix}" for suffix in self.search]
        return iter([name, *longer] if name.count(".") >= self.dots else [*longer, name])


class Client:
    """One per worker."""

    def __init__(
        self,
        servers: Sequence[str] = (),
        *,
        hosts: Path = Path("/etc/hosts"),
        resolv_conf: Path = Path("/etc/resolv.conf"),
        timeout: float = TIMEOUT_S,
    ) -> None:
        """servers: addresses, each with a port or without; none: those of the system, with its search list."""
        self._own = Servers(tuple((host, port or PORT) for host, port in map(parse_node, servers)))
        self._hosts = hosts
        self._resolv_conf = resolv_conf
        self._timeout = timeout
        self._places = asyncio.Semaphore(MOST_AT_ONCE)

    async def look_up(self, what: str | ServiceName) -> Answer:
        """What a host name or a service stands for. OSError: nobody knows, or there is no such name."""
        if isinstance(what, ServiceName):
            return await self._service(what)
        written = _written_down(_content(self._hosts), what)
        if written:
            return Answer(written, HOSTS_TTL_S)
        try:
            addresses, ttl = await self._ask(what, A)
        except NoSuchName:
            addresses, ttl = await self._ask(what, AAAA)
        return Answer(tuple(sorted(str(address) for address in addresses)), ttl)

    async def _service(self, service: ServiceName) -> Answer:
        """SRV records; where there are none the addresses of the name, each a node (APISIX)."""
        name, port = parse_node(service.name)
        try:
            records, ttl = await self._ask(name, SRV)
        except NoSuchName:
            addresses, ttl = await self.look_up(name)
            return Answer(tuple(Node(str(address), port, 1, 0) for address in addresses), ttl)
        # Of records the lowest priority goes first, of nodes the highest; a weight of 0 is a small one (RFC 2782).
        nodes = {
            Node(each.target, port or each.port or None, max(each.weight, 1), -each.priority)
            for each in records
            if isinstance(each, Srv) and _is_host(each.target)  # "." says that there is no such service
        }
        found_nodes = tuple(sorted(nodes, key=lambda node: node._replace(port=node.port or 0)))
        if not found_nodes:
            raise NoSuchName(f"{service.name}: its records say that there is no such service")
        return Answer(found_nodes, ttl)

    def _servers(self) -> Servers:
        return self._own if self._own.addresses else _resolv_conf(_content(self._resolv_conf))

    async def _ask(self, name: str, kind: int) -> tuple[list[str | Srv], float]:
        servers = self._servers()
        if not servers.addresses:
            raise ServerFailure(f"{name}: no DNS server is known")
        for each in servers.names(name):
            try:
                return await self._ask_servers(servers.addresses, each, kind)
            except NoSuchName as nothing:  # noqa: PERF203 (it asks the network)
                last = nothing
        raise last

    async def _ask_servers(self, servers: Sequence[tuple[str, int]], name: str, kind: int) -> tuple[list[str | Srv], float]:
        for server in (*servers, *servers):  # a datagram may have been lost
            try:
                return found(await self._ask_one(server, name, kind), name, kind)
            except NoSuchName:  # noqa: PERF203 (it asks the network)
                raise
            except (OSError, asyncio.TimeoutError, EOFError) as failure:
                last = str(failure) or "timeout"
        raise ServerFailure(f"{name}: no DNS server answers: {last}")

    async def _ask_one(self, server: tuple[str, int], name: str, kind: int) -> Reply:
        number = secrets.randbelow(0x10000)  # with the port of the system's choice this is what a forger has to guess
        async with self._places:
            return await asyncio.wait_for(self._answered(server, number, name, kind), self._timeout)

    async def _answered(self, server: tuple[str, int], number: int, name: str, kind: int) -> Reply:
        got = await _by_udp(server, number, name, kind)
        return await _by_tcp(server, number, name, kind) if got.truncated else got


class _Question(asyncio.DatagramProtocol):
    """Waits for the answer to one question; whatever else arrives is passed over."""

    def __init__(self, number: int, name: str, kind: int) -> None:
        self._asked = number, name, kind
        self.answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        try:
            got = reply(data, *self._asked)
        except ValueError:
            return
        if not self.answer.done():
            self.answer.set_result(got)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)


async def _by_udp(server: tuple[str, int], number: int, name: str, kind: int) -> Reply:
    loop = asyncio.get_running_loop()
    asked = question(number, name, kind)
    transport, protocol = await loop.create_datagram_endpoint(lambda: _Question(number, name, kind), remote_addr=server)
    try:
        transport.sendto(asked)
        return await protocol.answer
    finally:
        transport.close()


async def _by_tcp(server: tuple[str, int], number: int, name: str, kind: int) -> Reply:
    reader, writer = await asyncio.open_connection(*server)
    try:
        asked = question(number, name, kind)
        writer.write(len(asked).to_bytes(2, "big") + asked)
        length = int.from_bytes(await reader.readexactly(2), "big")
        return reply(await reader.readexactly(length), number, name, kind)
    except ValueError as error:
        raise ServerFailure(str(error)) from None
    finally:
        writer.close()


def _is_host(target: str) -> bool:
    """Whether a configuration could name such a node. A label may have any bytes, those of a path to a socket too."""
    try:
        return parse_node(target) == (target, None) and not target.startswith("unix:")
    except ValueError:
        return False


# -- files of the system: small, and read anew for each question, so that a change of theirs needs no signal ---------------------


def _content(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _lines(text: str) -> Iterator[list[str]]:
    for line in text.splitlines():
        words = line.partition("#")[0].partition(";")[0].split()
        if len(words) > 1:
            yield words


def _written_down(hosts: str, name: str) -> tuple[str, ...]:
    """The addresses of a name in the hosts file."""
    wanted = name.rstrip(".").lower()
    known: dict[int, list[str]] = {4: [], 6: []}
    for address, *names in _lines(hosts):
        if wanted in (each.lower() for each in names):
            try:
                parsed = ipaddress.ip_address(address)
            except ValueError:
                continue
            if "%" not in address:  # of one link only, which an upstream's address cannot name
                known[parsed.version].append(str(parsed))
    if not known[4] and not known[6] and (wanted == "localhost" or wanted.endswith(".localhost")):
        return (LOOPBACK,)
    return tuple(sorted(set(known[4] or known[6])))


def _resolv_conf(text: str) -> Servers:
    servers, search, dots = list[tuple[str, int]](), tuple[str, ...](), 1
    for word, *rest in _lines(text):
        if word == "nameserver":
            servers.append((rest[0], PORT))
        elif word in ("search", "domain"):
            search = tuple(each.rstrip(".") for each in rest)
        elif word == "options":
            for option in rest:
                if option.startswith("ndots:") and option[6:].isdigit():
                    dots = int(option[6:])
    return Servers(tuple(servers), search, dots)
