"""A proxy between a gateway and its upstream whose wire can be cut: what a network, a firewall or a dying host does to it.

Owns: both halves of each connection, and what becomes of them by `mood`. Must not know HTTP. One thread, whatever the number of
connections.
"""

import asyncio
import contextlib
import random
import socket
import struct
import threading
from types import TracebackType

from tests.support.wire import Address

PIECE = 16_384
MOODS = ("pass", "refuse", "reset", "stall", "drip", "half")
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST


class Cuttable:
    """A context manager; `address` is where the gateway finds it.

    `mood` holds for what crosses from now on:

    pass    everything crosses
    refuse  nobody listens: new connections are refused by the system; those that are open go on
    reset   all connections are reset, and new ones at once
    stall   nothing crosses, nothing is read; connections stay open
    drip    answers cross in single bytes for a while
    half    of each piece of an answer a part crosses, then its connection is reset
    """

    def __init__(self, upstream: Address, seed: int = 0) -> None:
        self._upstream = upstream
        self._chance = random.Random(seed)
        self._mood = "pass"
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._place = self._bound(("127.0.0.1", 0))  # never listens: the port stays ours while nobody does
        self.address = Address(*self._place.getsockname())
        self._listener: socket.socket | None = None
        self._lines: set[asyncio.Task[None]] = set()
        self._dying: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @staticmethod
    def _bound(address: tuple[str, int]) -> socket.socket:
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        return bound

    @property
    def mood(self) -> str:
        return self._mood

    @mood.setter
    def mood(self, mood: str) -> None:
        assert mood in MOODS
        asyncio.run_coroutine_threadsafe(self._change(mood), self._loop).result(20)

    def quiet(self) -> bool:
        """Whether all that was reset has gone, on both sides."""
        return not self._dying

    def __enter__(self) -> "Cuttable":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        self._moved = asyncio.Condition()
        self._listen(self._mood != "refuse")
        await self._stop.wait()
        self._listen(False)
        self._place.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)

    def _listen(self, wanted: bool) -> None:
        """By hand: a server of asyncio's that closes while it accepts leaves connections behind."""
        if wanted and self._listener is None:
            self._listener = self._bound((self.address.host, self.address.port))
            self._listener.setblocking(False)
            self._listener.listen(256)
            self._loop.add_reader(self._listener, self._accept, self._listener)
        elif not wanted and self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                accepted, _ = listener.accept()
                task = self._loop.create_task(self._open(accepted))
                self._lines.add(task)
                task.add_done_callback(self._lines.discard)

    async def _open(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        await self._take(*await asyncio.open_connection(sock=accepted, limit=PIECE))

    async def _change(self, mood: str) -> None:
        self._listen(mood != "refuse")
        async with self._moved:
            self._mood = mood
            self._moved.notify_all()
        if mood == "reset":
            for pair in list(self._pairs):
                self._reset(*pair)

    def _reset(self, *writers: asyncio.StreamWriter) -> None:
        for writer in writers:
            sock = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()
            self._dying.add(writer)
            self._loop.call_soon(lambda writer=writer: self._loop.call_soon(self._dying.discard, writer))

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._mood == "reset":
            self._reset(writer)
            return
        try:
            up_reader, up_writer = await asyncio.open_connection(*self._upstream, limit=PIECE)
        except OSError:
            self._reset(writer)
            return
        pair = writer, up_writer
        self._pairs.add(pair)
        try:
            await asyncio.gather(self._carry(reader, up_writer, pair, False), self._carry(up_reader, writer, pair, True))
        except OSError:
            self._reset(*pair)
        finally:
            self._pairs.discard(pair)
            for each in pair:
                each.close()

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        pair: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
        answers: bool,
    ) -> None:
        while True:
            await self._until_it_flows()
            piece = await reader.read(PIECE)
            await self._until_it_flows()
            if not piece:
                writer.write_eof()
                return
            if answers and self._mood == "half":
                writer.write(piece[: self._chance.randrange(len(piece))])
                with contextlib.suppress(OSError):
                    await writer.drain()
                self._reset(*pair)
                return
            if answers and self._mood == "drip":
                for at in range(min(len(piece), 64)):
                    writer.write(piece[at : at + 1])
                    await writer.drain()
                    await asyncio.sleep(0)
                piece = piece[64:]
            writer.write(piece)
            await writer.drain()

    async def _until_it_flows(self) -> None:
        async with self._moved:
            await self._moved.wait_for(lambda: self._mood != "stall")
