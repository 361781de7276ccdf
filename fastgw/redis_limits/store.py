"""A Redis as the store of counts: what one worker asks it, and what becomes of that when it does not answer.

Owns: the way of a batch, the breaker of each server, who shares the counts, when leases go back. Must not know requests or limits
(native/remote), nor how Redis is reached (redis_client).

A server that fails is away at once: everything it was asked and would be asked is judged here, by this node's share, and nobody
waits. Meanwhile it is tried again and again. When it answers, it is first told what was taken meanwhile, for so long that every
other node has found it back and has done so too; only then it is asked again.
"""

import asyncio
import logging
import random
import weakref
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from fastgw import _core
from fastgw.plugins.redis_fields import RedisSettings
from fastgw.redis_client import Call, Client, RedisDownError, connect
from fastgw.redis_limits.scripts import BEAT, COUNTING, NODES, PROBE, PROBE_KEY

__all__ = ["store_of"]

BEAT_S: Final = 1.0
TICK_S: Final = 0.1  # the shortest sync_interval
TRY_FIRST_S: Final = 0.05
TRY_LAST_S: Final = 0.5
FEWER_S: Final = 3.0  # in which every node that is there has said so
CHUNK: Final = 500  # of what is told at once: more of it would keep requests from their turn
RETURN_S: Final = 1.0
"""From its first answer until it is asked again: longer than any other node may take to find that it answers."""

log = logging.getLogger("fastgw.limits")

_stores: "weakref.WeakValueDictionary[RedisSettings, Store]" = weakref.WeakValueDictionary()


def store_of(settings: RedisSettings) -> _core.RemoteStore:
    """The store behind these settings, the same for all steps of this process. It lives, with its connections, as long as one of
    them does, and so through changes of the configuration; it connects when it is first asked."""
    store = _stores.get(settings)
    if store is None:
        store = _stores[settings] = Store(settings)
    return store


class Store(_core.RemoteStore):
    """One Redis, asked by one worker."""

    def __init__(self, settings: RedisSettings) -> None:
        self._client: Client = connect(settings)
        self._fewer_since: float | None = None
        self.name = settings.label.encode()
        self._lost_places: set[str] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._first: asyncio.Task[Any] | None = None
        self._minding = False
        self.away = False
        weakref.finalize(self, _close, self._client).atexit = False

    def _start(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # -- questions ---------------------------------------------------------------------------------

    def send(self, batch: _core.RemoteBatch) -> "asyncio.Task[None]":
        return asyncio.get_running_loop().create_task(self._ask(batch))

    async def _ask(self, batch: _core.RemoteBatch) -> None:
        if self._first is None:
            self.recall()
            self._first = self._start(self._beat())
            self._start(_beats(weakref.ref(self)))
        if not self._first.done():
            await asyncio.shield(self._first)  # a share cannot be told before
        node = self.node
        parts: dict[str, tuple[list[int], list[Call]]] = {}
        for index, (algorithm, key, numbers) in enumerate(batch.questions()):
            indices, calls = parts.setdefault(self._client.place(key), ([], []))
            indices.append(index)
            calls.append(Call(COUNTING[algorithm], key, (node, numbers)))
        asked = [self._ask_place(batch, place, *part) for place, part in parts.items()]
        if len(asked) == 1:
            await asked[0]
        else:
            await asyncio.gather(*asked)
        if self.minded() and not self._minding:
            self._minding = True
            self._start(_mind(weakref.ref(self)))

    async def _ask_place(self, batch: _core.RemoteBatch, place: str, indices: list[int], calls: list[Call]) -> None:
        answers: Sequence[Any] = [None] * len(indices)
        if place not in self._lost_places:
            try:
                answers = await self._client.run(calls)
                failed = [each for each in answers if isinstance(each, RedisDownError)]
                if failed and len(failed) == len(answers):
                    raise failed[0]
            except RedisDownError as error:
                self._lost(place, calls[0].key, error)
        batch.tell(indices, answers)

    # -- who shares the counts ---------------------------------------------------------------------

    async def _beat(self, learns: bool = True) -> bool:
        """Says that this node is there, and learns who else is. False: it was not heard."""
        node = self.node
        try:
            (found,) = await self._client.run([Call(BEAT, NODES, (node,))])
            if isinstance(found, RedisDownError):
                raise found
        except RedisDownError as error:
            self._lost(self._client.place(NODES), NODES, error)
            return False
        names = sorted(found)
        if learns and node in names and self._believes(len(names)):
            self.share(names.index(node), len(names))
        return True

    def _believes(self, nodes: int) -> bool:
        """Fewer only after a while: of a Redis that lost who is there, or just came back, the first one would be alone."""
        now = asyncio.get_running_loop().time()
        if nodes >= self.nodes:
            self._fewer_since = None
        elif self._fewer_since is None:
            self._fewer_since = now
        return self._fewer_since is None or now >= self._fewer_since + FEWER_S

    # -- away and back -----------------------------------------------------------------------------

    def _lost(self, place: str, key: bytes, error: RedisDownError) -> None:
        if "WRONGTYPE" in str(error):  # one key is not ours; that is no fault of the server
            return
        if place in self._lost_places:
            return
        log.warning("%s; limits go on by this gateway's share", error)
        self._lost_places.add(place)
        self.away = "" in self._lost_places
        self._start(_return(weakref.ref(self), place, key))

    async def try_again(self, key: bytes) -> bool:
        """Whether counts can be written where the key is."""
        try:
            (answer,) = await self._client.run([Call(PROBE, PROBE_KEY % key)])
        except RedisDownError:
            return False
        return not isinstance(answer, RedisDownError)

    async def tell_all(self) -> None:
        """Tells that this node is there, and what was taken of the counts that this worker minds."""
        await self._beat(learns=False)  # as long as others have not said so too, shares would grow
        batch = self.mind(everything=True)
        if batch is None:
            return
        calls = [Call(COUNTING[algorithm], key, (self.node, numbers)) for algorithm, key, numbers in batch.questions()]
        answers: list[Any] = []
        try:
            while len(answers) < len(calls):
                answers += await self._client.run(calls[len(answers) : len(answers) + CHUNK])
        except RedisDownError:
            answers += [None] * (len(calls) - len(answers))
        batch.tell(range(len(calls)), answers)

    async def back(self, place: str) -> bool:
        """It is asked again, unless it has gone again."""
        if not await self._beat() and self._client.place(NODES) == place:
            return False
        self._lost_places.discard(place)
        self.away = "" in self._lost_places
        await self.tell_all()
        log.warning("%s answers again", self._client.label)
        return True

    # -- what is minded ----------------------------------------------------------------------------

    async def see_to(self) -> bool:
        """Sees to the counts that are due. False: there are none any more."""
        if not self.away and (batch := self.mind()) is not None:
            await self._ask(batch)
        self._minding = self.minded() > 0
        return self._minding


# What goes on in the background refers to its store weakly, and ends with it.


async def _beats(ref: "weakref.ref[Store]") -> None:
    while True:
        await asyncio.sleep(BEAT_S)
        store = ref()
        if store is None:
            return
        if not store.away:
            await store._beat()
        del store


async def _mind(ref: "weakref.ref[Store]") -> None:
    while True:
        await asyncio.sleep(TICK_S)
        store = ref()
        if store is None or not await store.see_to():
            return
        del store


async def _return(ref: "weakref.ref[Store]", place: str, key: bytes) -> None:
    loop = asyncio.get_running_loop()
    wait = 0.0
    answered = None
    while (store := ref()) is not None:
        if not await store.try_again(key):
            answered = None
            wait = min(max(2 * wait, TRY_FIRST_S), TRY_LAST_S)
        else:
            answered = answered or loop.time()
            wait = TICK_S
            if loop.time() < answered + RETURN_S:
                await store.tell_all()
            elif await store.back(place):
                return
        del store
        await asyncio.sleep(wait * random.uniform(0.5, 1))  # noqa: S311 (no secret)


def _close(client: Client) -> None:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    loop.create_task(client.close())  # noqa: RUF006 (nobody waits for it)
