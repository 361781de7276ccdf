"""DNS messages: a question as bytes, and what an answer says.

Owns: the wire format as far as addresses and services need it (RFC 1035, RFC 2782, RFC 6891). Must not know: sockets, servers,
which names there are. Whoever can reach the worker's port can send it such bytes: each read is bounded, names follow pointers
backwards only and not for long, and what answers another question is no answer.
"""

import ipaddress
import struct
from typing import Final, NamedTuple

__all__ = ["AAAA", "MOST_BYTES", "SRV", "A", "NoSuchName", "Reply", "ServerFailure", "Srv", "found", "question", "reply"]

A: Final = 1
CNAME: Final = 5
AAAA: Final = 28
SRV: Final = 33
OPT: Final = 41
INTERNET: Final = 1
MOST_BYTES: Final = 1232  # of an answer by UDP: what passes every path unbroken (DNS flag day 2020)
MOST_POINTERS: Final = 128  # in one name, which has no more labels than that
MOST_ALIASES: Final = 16  # one after the other; resolvers follow about as many themselves

_HEADER: Final = struct.Struct("!6H")
_RECORD: Final = struct.Struct("!HHIH")
_IS_REPLY, _OPCODE, _TRUNCATED, _RECURSE, _CODE = 0x8000, 0x7800, 0x0200, 0x0100, 0x000F
_NO_ERROR, _NO_SUCH_NAME = 0, 3
_MOST_TTL: Final = 2**31 - 1


class NoSuchName(OSError):  # noqa: N818 (what a server says)
    """The name has no such records."""


class ServerFailure(OSError):  # noqa: N818 (what a server says)
    """This server cannot tell; another one might."""


class Srv(NamedTuple):
    """Where a service is to be had."""

    priority: int
    weight: int
    port: int
    target: str


class Record(NamedTuple):
    """One resource record of a kind that matters here. `data` is an IP address, a name, or where a service is."""

    name: str
    kind: int
    ttl: int
    data: str | Srv


class Reply(NamedTuple):
    """An answer to the question that was asked."""

    code: int
    truncated: bool
    records: tuple[Record, ...]


def question(number: int, name: str, kind: int) -> bytes:
    """Asks a recursive server for records of that kind. ValueError: it can be no name."""
    head = _HEADER.pack(number, _RECURSE, 1, 0, 0, 1)
    return head + _encoded(name) + struct.pack("!HH", kind, INTERNET) + b"\0" + struct.pack("!HHIH", OPT, MOST_BYTES, 0, 0)


def reply(message: bytes, number: int, name: str, kind: int) -> Reply:
    """What a message says to that question. ValueError: it is malformed, or answers another one."""
    try:
        return _read(message, number, name, kind)
    except (struct.error, IndexError):
        raise ValueError("a DNS message breaks off") from None


def found(answer: Reply, name: str, kind: int) -> tuple[list[str | Srv], int]:
    """The records that a name has, by way of the names that it is an alias of, and for how many seconds they hold.

    NoSuchName: there are none. ServerFailure: the server does not know.
    """
    if answer.code not in (_NO_ERROR, _NO_SUCH_NAME):
        raise ServerFailure(f"{name}: the DNS server answers with code {answer.code}")
    owner, ttl = _folded(name), _MOST_TTL
    for _ in range(MOST_ALIASES + 1):
        mine = [record for record in answer.records if record.name == owner]
        data = [record for record in mine if record.kind == kind]
        if data:
            return [record.data for record in data], min(ttl, *(record.ttl for record in data))
        alias = next((record for record in mine if record.kind == CNAME), None)
        if alias is None:
            break
        owner, ttl = str(alias.data), min(ttl, alias.ttl)
    raise NoSuchName(f"{name}: no such name or no record of this kind")


def _folded(name: str) -> str:
    return name.rstrip(".").lower()


def _encoded(name: str) -> bytes:
    labels = [label.encode("ascii") for label in name.rstrip(".").split(".")]
    if any(not 1 <= len(label) <= 63 for label in labels) or sum(len(label) + 1 for label in labels) > 254:
        raise ValueError(f"{name}: a DNS name has labels of 1 to 63 bytes, and 253 bytes in all")
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def _read(message: bytes, number: int, name: str, kind: int) -> Reply:
    found_number, flags, questions, answers, _, _ = _HEADER.unpack_from(message)
    if found_number != number or not flags & _IS_REPLY or flags & _OPCODE or questions != 1:
        raise ValueError("a DNS message that answers another question")
    asked, at = _name(message, _HEADER.size)
    if (asked, *struct.unpack_from("!HH", message, at)) != (_folded(name), kind, INTERNET):
        raise ValueError("a DNS message that answers another question")
    at += 4
    records = []
    truncated = bool(flags & _TRUNCATED)
    for _ in range(0 if truncated else answers):  # of a truncated one nothing counts: it is asked for anew by TCP
        owner, at = _name(message, at)
        found_kind, class_, ttl, length = _RECORD.unpack_from(message, at)
        at += _RECORD.size
        if at + length > len(message):
            raise ValueError("a DNS message breaks off")
        if class_ == INTERNET and (data := _data(message, at, length, found_kind)) is not None:
            records.append(Record(owner, found_kind, ttl if ttl <= _MOST_TTL else 0, data))  # RFC 2181 section 8
        at += length
    return Reply(flags & _CODE, truncated, tuple(records))


def _data(message: bytes, at: int, length: int, kind: int) -> str | Srv | None:
    if kind in (A, AAAA):
        if length != (4 if kind == A else 16):
            raise ValueError("a DNS record with an address of a wrong length")
        return str(ipaddress.ip_address(message[at : at + length]))
    if kind == CNAME:
        return _ending(message, at, at + length)
    if kind == SRV:
        priority, weight, port = struct.unpack_from("!3H", message, at)
        return Srv(priority, weight, port, _ending(message, at + 6, at + length))
    return None


def _ending(message: bytes, at: int, end: int) -> str:
    name, after = _name(message, at)
    if after != end:
        raise ValueError("a DNS record with a name of a wrong length")
    return name


def _name(message: bytes, at: int) -> tuple[str, int]:
    """A name in lower case without its last dot, and what comes after it. Bytes that no host name has become "?"."""
    labels, after, size, pointers = list[str](), 0, 0, 0
    while (length := message[at]) != 0:
        if length >= 0xC0:
            target = (length & 0x3F) << 8 | message[at + 1]
            after = after or at + 2
            if target >= at or (pointers := pointers + 1) > MOST_POINTERS:
                raise ValueError("a DNS name that points forwards, or too often")
            at = target
            continue
        if length > 63 or (size := size + length + 1) > 254:
            raise ValueError("a DNS name that is too long")
        label = message[at + 1 : at + 1 + length]
        if len(label) != length:
            raise ValueError("a DNS message breaks off")
        labels.append("".join(chr(byte) if 33 <= byte < 127 and byte != 46 else "?" for byte in label))
        at += 1 + length
    return ".".join(labels).lower(), after or at + 1
