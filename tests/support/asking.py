"""Clients that believe nothing: each request has a number of its own, and its answer must be that number's, byte for byte.

`Telling` is the upstream whose answers can be judged so, `Asking` the clients, one thread for all of them. Must not know who is
between the two.

    GET|POST /<what>/<id>/<length>    what: l (Content-Length) or c (chunked)
"""

import asyncio
import contextlib
import hashlib
import random
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType

from tests.support.upstreams import Upstream
from tests.support.waiting import PATIENCE
from tests.support.wire import Address

LATE_S = 30.0 * PATIENCE
TARGET = re.compile(rb"(\w+) /([lc])/([\w-]+)/(\d+)[ ?]")


def content(id: bytes, length: int) -> bytes:
    """What the answer to that number is."""
    return (hashlib.sha256(id).digest() * (length // 32 + 1))[:length]


class Telling(Upstream):
    """Answers each number with its content; `asked` says how often it was asked which."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Counter[bytes] = Counter()
        self._lock = threading.Lock()

    def talk(self, sock: socket.socket, index: int) -> None:
        sock.settimeout(None)  # connections may idle for long, or be stopped in the middle of an answer
        while request := self.read_request(sock, index):
            del self.received[index][:]  # a long run would keep all that was ever sent
            found = TARGET.match(request)
            if found is None:
                return  # a request that was cut short
            method, what, id, length = found[1], found[2], found[3], int(found[4])
            with self._lock:
                self.asked[id] += 1
            body = content(id, length)
            head = b"HTTP/1.1 200 OK\r\nX-Id: " + id
            if method == b"HEAD" or what == b"l":
                sock.sendall(head + b"\r\nContent-Length: %d\r\n\r\n" % length + body)
            else:
                chunks = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in _cut(body, 5000)]
                sock.sendall(head + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(chunks) + b"0\r\n\r\n")


def _cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


class Asking:
    """A context manager: `clients` clients ask until it is left, or `total` requests were sent.

    `ways` gives the start of a request: method and header lines beyond Host; by default GET without any.
    """

    def __init__(
        self,
        address: Callable[[], Address],
        clients: int,
        total: int | None = None,
        *,
        name: str = "a",
        seed: int = 0,
        longest: int = 60_000,
        ways: Callable[[random.Random, int], tuple[str, str]] = lambda chance, client: ("GET", ""),
    ) -> None:
        """address: asked at each connection, since a gateway that was started anew has others."""
        self._address, self._clients, self._left = address, clients, total
        self._name, self._longest, self._ways = name, longest, ways
        self._chance = random.Random(f"{seed} {name}")
        self.statuses: Counter[int] = Counter()
        """Of whole answers; 200 only where they were right."""
        self.cut = 0
        """Requests without an answer, or without the whole of it."""
        self.refused = 0
        """Connections that could not be opened."""
        self.wrong: list[str] = []
        """What must never be."""
        self.doubtful: set[bytes] = set()
        """Numbers whose answer was cut."""
        self.posted: set[bytes] = set()
        self._stopped = False
        self._number = 0
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    @property
    def done(self) -> int:
        return sum(self.statuses.values())

    def __enter__(self) -> "Asking":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._left is None or kind is not None:
            self._stopped = True
        self._thread.join(LATE_S * 3)
        if kind is None:
            assert not self._thread.is_alive(), "the clients do not end: an answer never comes"

    async def _run(self) -> None:
        await asyncio.gather(*(self._client(client) for client in range(self._clients)))

    def _take(self) -> bool:
        if self._stopped or self._left == 0 or len(self.wrong) > 3:
            return False
        if self._left is not None:
            self._left -= 1
        return True

    async def _client(self, client: int) -> None:
        reader: asyncio.StreamReader
        writer: asyncio.StreamWriter | None = None
        try:
            while self._take():
                if writer is None:
                    try:
                        reader, writer = await asyncio.open_connection(*self._address())
                    except OSError:
                        self.refused += 1
                        await asyncio.sleep(0.01)
                        continue
                if not await self._ask(client, reader, writer):
                    writer.close()
                    with contextlib.suppress(OSError):
                        await writer.wait_closed()
                    writer = None
        finally:
            if writer is not None:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    async def _ask(self, client: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection can be used again."""
        self._number += 1
        id = f"{self._name}-{self._number}".encode()
        what = self._chance.choice((b"l", b"c"))
        length = self._chance.choice((0, 2, 2, 2, 2, self._chance.randrange(self._longest)))
        method, lines = self._ways(self._chance, client)
        if method == "POST":
            self.posted.add(id)
            lines += "Content-Length: 4\r\n"
        body = b"body" if method == "POST" else b""
        target = b"/%b/%b/%d" % (what, id, length)
        began = time.monotonic()
        try:
            writer.write(b"%b %b HTTP/1.1\r\nHost: test\r\n%b\r\n" % (method.encode(), target, lines.encode()) + body)
            status, said, answer, close = await asyncio.wait_for(_answer(reader), LATE_S)
        except asyncio.TimeoutError:
            self.wrong.append(f"{method} {target.decode()}: no answer within {time.monotonic() - began:.0f} s")
            return False
        except (OSError, EOFError):
            self.cut += 1
            self.doubtful.add(id)
            return False
        except ValueError as exc:
            self.wrong.append(f"{method} {target.decode()}: {exc}")
            return False
        if status == 200 and (said != id or answer != content(id, length)):
            self.wrong.append(f"{method} {target.decode()}: the answer of {said!r}, {len(answer)} of {length} bytes")
        self.statuses[status] += 1
        return not close


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bytes, bool]:
    """Status, whose it says it is, the body, whether the connection ends. ValueError: it is no answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    if not re.fullmatch(rb"HTTP/1\.1 \d{3} [ -~]*", lines[0]):
        raise ValueError(f"no status line: {head[:200]!r}")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:-2])}
    body = b""
    if b"content-length" in fields:
        body = await reader.readexactly(int(fields[b"content-length"]))
    elif fields.get(b"transfer-encoding") == b"chunked":
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += await reader.readexactly(size)
            if await reader.readexactly(2) != b"\r\n":
                raise ValueError("a chunk that does not end")
        await reader.readexactly(2)
    else:
        raise ValueError(f"an answer without an end: {head[:200]!r}")
    return int(lines[0][9:12]), fields.get(b"x-id", b""), body, fields.get(b"connection", b"").lower() == b"close"
