"""proxy-mirror: a copy of each request, or of a share of them, goes to another server, whose answers nobody waits for.

Owns the configuration, the queue of copies and their count. Must not know how a request is copied (native/copies) nor how the
other server is reached (http_client).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from random import random
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from fastgw import _core
from fastgw.errors import Fault
from fastgw.http_client import Client, UnreachableError, split_url
from fastgw.plugins.contract import Env, Plugin, PluginConf
from fastgw.schema.base import whole
from fastgw.schema.rules import broken

__all__ = ["Conf", "ProxyMirror"]

CONNECTIONS: Final = 16  # of one configuration and worker, and so many copies under way
MOST_WAITING: Final = 1024  # copies
MOST_BYTES: Final = 16 * 2**20  # that wait
TOLD_EVERY: Final = 60.0  # seconds between two lines of one kind in the log
_MOST_BODY: Final = 2**30
_BODY: Final = "proxy-mirror body"  # among what plugins know of a request

log = logging.getLogger("fastgw.proxy-mirror")


class Conf(PluginConf, frozen=True, kw_only=True):
    """proxy-mirror: where copies go, and of which requests.

    host: the other server, http:// or https://, a host and maybe a port
    path: the path of copies; the request's when left out
    path_concat_mode: whether path takes the place of the request's path, or stands in front of it
    sample_ratio: the share of requests that are copied
    max_req_body_size: bytes of the longest body that is copied; requests with longer ones are not mirrored
    timeout: milliseconds from connecting to the end of the answer
    ssl_verify: whether the server's certificate is checked
    """

    host: Annotated[
        str,
        Meta(
            pattern=whole(r"^(https?|grpcs?)://([\da-zA-Z.-]+|\[[\da-fA-F:]+\])(:\d+)?$"),
            title="http:// or https://, a host and maybe a port",
        ),
    ]
    path: Annotated[str, Meta(pattern=whole(r"^/[!-%'->@-~]+$"), title="a path of visible ASCII without '?' and '&'")] | None = (
        None
    )
    path_concat_mode: Literal["replace", "prefix"] = "replace"
    sample_ratio: Annotated[float, Meta(ge=0.00001, le=1)] = 1
    max_req_body_size: Annotated[int, Meta(ge=1, le=_MOST_BODY)] = 1048576
    timeout: Annotated[int, Meta(ge=1, le=60000)] = 60000
    ssl_verify: bool = True

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """A server that can be asked over HTTP/1.1; no fragment in the path."""
        if "host" in good:
            try:
                split_url(good["host"])
            except ValueError as error:
                yield broken("host", f"{error}")
        if "#" in good.get("path", ""):
            yield broken("path", "expected no fragment")


class ProxyMirror(Plugin):
    """Sends copies of requests elsewhere."""

    name = "proxy-mirror"
    version = 0.1
    # Who else is to see it, in `before_proxy`: what the upstream gets is known.
    priority = 1010
    phases = ("before_proxy",)
    conf = Conf

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """One Python step: the upstream's head is known, and nothing of it is sent yet."""
        return [_core.PythonStep(self.name, "before_proxy", Mirror(conf, env.owner).before_proxy, None)]


class _Body:
    """A request's body for all configurations that copy the request, a global rule's and the route's; the first one's bound holds
    for it."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.none = False
        self._here = False
        self._body: bytes | None = None
        self._waiting: list[Callable[[bytes | None], None]] = []

    def ask(self, done: Callable[[bytes | None], None]) -> None:
        """Calls done(body) once it has passed, maybe at once; with None where it is too long."""
        if self._here:
            done(self._body)
        else:
            self._waiting.append(done)

    def told(self, body: bytes | None) -> None:
        """It has passed."""
        self._here = True
        if not self._waiting:  # at once: who asked, and who will, is told then
            self._body = body
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            done(body)


class Mirror:
    """One configuration at work in one worker. A copy is sent, or has failed, or was dropped: for lack of room in the queue or in
    memory, or since its body is too long."""

    def __init__(self, conf: Conf, owner: str) -> None:
        self._client = Client(conf.host, timeout=conf.timeout / 1000, verify=conf.ssl_verify, keep=CONNECTIONS)
        self._conf = conf
        self._owner = owner
        self._authority = conf.host.partition("://")[2].encode()
        self._waiting: deque[tuple[bytes, bool]] = deque()
        self._bytes = 0
        self._busy: set[asyncio.Task[None]] = set()
        self._told = {"mirror_failed": 0.0, "mirror_dropped": 0.0}
        self._tally: _core.Tally | None = None

    def before_proxy(self, _: None, request: _core.Request) -> None:
        """Never answers, never waits."""
        conf = self._conf
        if conf.sample_ratio < 1 and random() >= conf.sample_ratio:  # noqa: S311 (no secret)
            return
        head = _core.copy_head(request, self._authority, self._target(request.uri).encode("latin-1"))
        if head is None:
            return
        if self._tally is None:
            self._tally = _core.Tally(request)
        bare = head.startswith(b"HEAD ")
        body = request.ctx.get(_BODY)
        if body is None:
            body = request.ctx[_BODY] = _Body(conf.max_req_body_size)
            if not _core.copy_body(request, body.most, body.told):
                body.none = True
        if body.none:
            self._put(head + b"\r\n", bare)
        else:
            body.ask(partial(self._with_body, head, bare))

    def _target(self, uri: str) -> str:
        path = self._conf.path
        if path is None:
            return uri
        if self._conf.path_concat_mode == "prefix":
            return path + uri
        _, mark, query = uri.partition("?")
        return path + mark + query

    def _with_body(self, head: bytes, bare: bool, body: bytes | None) -> None:
        if body is None or len(body) > self._conf.max_req_body_size:
            self._note("mirror_dropped", f"a body longer than {self._conf.max_req_body_size} bytes, or no memory for its copy")
        else:
            self._put(b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body), bare)

    def _put(self, request: bytes, bare: bool) -> None:
        if len(self._waiting) >= MOST_WAITING or self._bytes + len(request) > MOST_BYTES:
            self._note("mirror_dropped", "it takes fewer than come")
            return
        self._waiting.append((request, bare))
        self._bytes += len(request)
        if len(self._busy) < CONNECTIONS:
            task = asyncio.get_running_loop().create_task(self._send())
            self._busy.add(task)
            task.add_done_callback(self._busy.discard)

    async def _send(self) -> None:
        while self._waiting:
            request, bare = self._waiting.popleft()
            self._bytes -= len(request)
            try:
                await self._client.send(request, head_only=bare)
            except UnreachableError as error:
                if error.status == 0:
                    self._note("mirror_failed", str(error))
                    continue
            self._count("mirror_sent")  # an answer that broke off or is too long was one

    def _count(self, name: str) -> None:
        if self._tally is not None:
            self._tally.add(name)

    def _note(self, name: str, why: str) -> None:
        """Counts it, and tells the log once in a while, not of each."""
        self._count(name)
        now = asyncio.get_running_loop().time()
        if not self._told[name] or now >= self._told[name] + TOLD_EVERY:
            self._told[name] = now
            what = "dropped" if name == "mirror_dropped" else "not sent"
            log.warning("%s: proxy-mirror: %s: a copy was %s: %s", self._owner, self._client.origin, what, why)
