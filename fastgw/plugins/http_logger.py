"""http-logger: tell a server of requests, in batches.

Owns the configuration, and what a batch looks like on the way. Must not know when one goes (batches), what an entry says
(log_entry), nor how a server is reached (http_client).
"""

import logging
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta

from fastgw import _core
from fastgw.errors import Fault, Path
from fastgw.http_client import Client, UnreachableError, split_url
from fastgw.plugins.batches import Batch, Dropped, Pace
from fastgw.plugins.contract import Env, Plugin
from fastgw.plugins.log_entry import LogConf, LogMetadata, Recorder, conditions_of
from fastgw.schema.base import Text, secret
from fastgw.schema.rules import broken

__all__ = ["Conf", "HttpLogger", "Metadata"]

Seconds = Annotated[int, Meta(ge=1, le=86400)]

log = logging.getLogger("fastgw.http-logger")


class Conf(LogConf, frozen=True, kw_only=True):
    """http-logger: where entries go, how, and what they say.

    uri: the server that is told, by POST
    auth_header: the value of Authorization
    timeout: seconds from connecting to the end of its answer
    ssl_verify: whether its certificate is checked
    concat_method: json sends a batch as an array, or the entry alone where `batch_max_size` is 1; new_line sends a line for each
    name: what the log calls it
    batch_max_size: entries of one batch; 1: each goes alone
    inactive_timeout: seconds without a new entry after which a batch goes
    buffer_duration: seconds after its first entry when it goes at the latest
    max_retry_count: how often one that failed is tried again; then it is dropped
    retry_delay: seconds between tries
    log_format: what an entry says, instead of what it does by default: names, and texts with $variables, also in objects
    log_format_extra: what it says beside that
    include_req_body: whether the body of the request is in it
    include_req_body_expr: under which condition
    include_resp_body: whether the body of the answer is in it
    include_resp_body_expr: under which condition
    max_req_body_bytes: bytes of a request's body that are in it
    max_resp_body_bytes: bytes of an answer's body that are in it
    """

    uri: Text
    auth_header: Annotated[str, Meta(min_length=1), secret] | None = None
    timeout: Annotated[int, Meta(ge=1, le=3600)] = 3
    ssl_verify: bool = False
    concat_method: Literal["json", "new_line"] = "json"
    name: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    batch_max_size: Annotated[int, Meta(ge=1, le=100_000)] = 1000
    inactive_timeout: Seconds = 5
    buffer_duration: Seconds = 60
    max_retry_count: Annotated[int, Meta(ge=0, le=1000)] = 0
    retry_delay: Annotated[int, Meta(ge=0, le=86400)] = 1

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """A URL that can be asked, a header that can be sent."""
        yield from super().rules(good, present)
        if "uri" in good:
            try:
                split_url(good["uri"])
            except ValueError as error:
                yield broken("uri", f"expected a URL that can be asked: {error}")
        header = good.get("auth_header", "")
        if not header.isascii() or not (header.isprintable() or not header):
            yield broken("auth_header", "expected printable ASCII")


class Metadata(LogMetadata, frozen=True, kw_only=True):
    """What all uses of http-logger share.

    log_format: the format of those that have none of their own
    log_format_extra: what their entries say beside that
    max_pending_entries: entries that may wait in one worker for one configuration; further ones are dropped
    """

    max_pending_entries: Annotated[int, Meta(ge=1, le=1_000_000)] = 8192


class HttpLogger(Plugin):
    """Logs requests to a server."""

    name = "http-logger"
    version = 0.1
    # Who is told of it. Last in `access`, so that nobody's body is kept who is refused; `log`.
    priority = 410
    phases = ("access", "header_filter", "body_filter", "log")
    conf = Conf
    metadata_conf = Metadata

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """Python steps, and a batch of its own."""
        metadata = env.metadata(self)
        sender = _Sender(conf)
        who = f"{env.owner}: {conf.name or self.name}: {sender.origin}"
        pace = Pace(conf.batch_max_size, conf.inactive_timeout, conf.buffer_duration, conf.max_retry_count, conf.retry_delay)
        batch = Batch(pace, sender.send, Dropped(log, who), metadata.max_pending_entries)
        return Recorder(self.name, conf, metadata, unrouted="no-matched").steps(batch.push)

    def conditions(self, conf: Mapping[str, Any]) -> Iterator[tuple[Path, list[Any]]]:
        """Those under which bodies are logged."""
        return conditions_of(conf)


class _Sender:
    """One configuration at work."""

    def __init__(self, conf: Conf) -> None:
        self._client = Client(conf.uri, timeout=conf.timeout, verify=conf.ssl_verify)
        self._alone = conf.batch_max_size == 1
        self._lines = conf.concat_method == "new_line"
        self._fields = [("Content-Type", "text/plain" if self._lines else "application/json")]
        if conf.auth_header is not None:
            self._fields.append(("Authorization", conf.auth_header))

    @property
    def origin(self) -> str:
        return self._client.origin

    async def send(self, entries: list[bytes]) -> None:
        """UnreachableError: they did not arrive, or were refused."""
        body = b"\n".join(entries) if self._lines or self._alone else b"[" + b",".join(entries) + b"]"
        answer = await self._client.ask("POST", self._fields, body)
        if answer.status >= 400:
            raise UnreachableError(f"an answer of status {answer.status}", answer.status)
