"""Spans to a collector, by OTLP over HTTP, from a thread of its own: nobody who serves requests waits for it.

Owns: the bounded queue, batches, the encoding, what is said of a collector that does not answer. Must not know: requests, when
there is a span. Spans that find the queue full, or that the collector does not take, are dropped and counted.
"""

import http.client
import logging
import queue
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

__all__ = ["Counts", "Span", "SpanExporter", "is_address"]

PATH: Final = "/v1/traces"
LIBRARY: Final = "fastgw"
SERVER: Final = 2  # SpanKind of opentelemetry.proto.trace.v1
ERROR: Final = 2  # and its StatusCode
END_S: Final = 1.0  # that the last batch may take when the process ends
IDLE_S: Final = 60.0  # without a span, after which the thread ends: one for whom nobody has spans any more must not stay for ever

log = logging.getLogger("fastgw.plugin")
Value = bool | int | float | str


class Span(NamedTuple):
    """One request, as it is told."""

    trace_id: bytes
    span_id: bytes
    parent: bytes
    state: str
    name: str
    start_ns: int
    """Of the wall clock, as `end_ns`."""
    end_ns: int
    attributes: Sequence[tuple[str, Value]]
    failed: bool


class Counts(NamedTuple):
    """Spans since these were taken last."""

    exported: int
    dropped: int


class SpanExporter:
    """To one collector. The thread begins with the first span, so whoever only compiles a configuration has none."""

    def __init__(
        self,
        address: str,
        *,
        timeout: float,
        headers: Mapping[str, str],
        resource: Mapping[str, Value],
        queue_size: int,
        batch_size: int,
        batch_s: float,
    ) -> None:
        """address: host:port, or the beginning of a URL."""
        parts = _split(address)
        self._secure, self._place = parts.scheme == "https", parts.netloc
        self._path = parts.path.rstrip("/") + PATH
        self._timeout = timeout
        self._headers = {**headers, "Content-Type": "application/x-protobuf"}
        self._resource = {"service.name": "APISIX", "hostname": socket.gethostname(), **resource}
        self._queue: queue.Queue[Span | None] = queue.Queue(queue_size)
        self._batch_size = batch_size
        self._batch_s = batch_s
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._exported = self._dropped = 0
        self._failing = False

    def put(self, span: Span) -> None:
        """Never waits."""
        try:
            self._queue.put_nowait(span)
        except queue.Full:
            self._count(0, 1)
            return
        with self._lock:  # behind the span, which a thread that is about to end finds or leaves to the next
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
                self._thread.start()

    def take_counts(self) -> Counts:
        with self._lock:
            counts = Counts(self._exported, self._dropped)
            self._exported = self._dropped = 0
        return counts

    def close(self) -> None:
        """Lets the last batch go out, for a moment."""
        thread = self._thread
        if thread is None:
            return
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            return
        thread.join(END_S)

    # -- in the thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        ending = False
        while not ending:
            batch, ending = self._batch()
            if not batch:
                with self._lock:
                    if self._queue.empty():
                        self._thread = None
                        return
                continue
            try:
                self._send(_encoded(self._resource, batch))
            except (OSError, http.client.HTTPException, ValueError) as error:
                self._count(0, len(batch))
                self._note(f"{type(error).__name__}: {error}")
            else:
                self._count(len(batch), 0)
                self._note(None)

    def _batch(self) -> tuple[list[Span], bool]:
        """What came within a batch's time from its first span on, and whether it is the last; nothing where none comes."""
        try:
            first = self._queue.get(timeout=IDLE_S)
        except queue.Empty:
            return [], False
        if first is None:
            return [], True
        batch, until = [first], time.monotonic() + self._batch_s
        while len(batch) < self._batch_size:
            try:
                span = self._queue.get(timeout=max(until - time.monotonic(), 0))
            except queue.Empty:
                break
            if span is None:
                return batch, True
            batch.append(span)
        return batch, False

    def _send(self, body: bytes) -> None:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = kind(self._place, timeout=self._timeout)
        try:
            connection.request("POST", self._path, body, self._headers)
            status = connection.getresponse().status
        finally:
            connection.close()
        if status >= 300:
            raise ValueError(f"answered {status}")

    def _count(self, exported: int, dropped: int) -> None:
        with self._lock:
            self._exported += exported
            self._dropped += dropped

    def _note(self, failure: str | None) -> None:
        """Once when the collector stops taking spans, and once when it does again."""
        if failure is not None and not self._failing:
            log.warning("opentelemetry: collector %s takes no spans: %s", self._place, failure)
        elif failure is None and self._failing:
            log.info("opentelemetry: collector %s takes spans again", self._place)
        self._failing = failure is not None


def is_address(text: str) -> bool:
    """Whether a collector can be there; credentials have no place in it."""
    try:
        parts = _split(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return good and text.isascii() and text.isprintable() and not set("@?# ") & set(text)


def _split(address: str) -> SplitResult:
    return urlsplit(address if "://" in address else f"http://{address}")


def _encoded(resource: Mapping[str, Value], spans: Sequence[Span]) -> bytes:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    _put(group.resource.attributes, resource.items())
    scope = group.scope_spans.add()
    scope.scope.name = LIBRARY
    for span in spans:
        told = scope.spans.add(
            trace_id=span.trace_id,
            span_id=span.span_id,
            parent_span_id=span.parent,
            trace_state=span.state,
            name=span.name,
            kind=SERVER,
            start_time_unix_nano=span.start_ns,
            end_time_unix_nano=span.end_ns,
        )
        _put(told.attributes, span.attributes)
        if span.failed:
            told.status.code = ERROR
    return bytes(request.SerializeToString())


def _put(attributes: Any, values: Any) -> None:
    for name, value in values:
        one = attributes.add(key=name)
        if isinstance(value, bool):
            one.value.bool_value = value
        elif isinstance(value, int):
            one.value.int_value = value
        elif isinstance(value, float):
            one.value.double_value = value
        else:
            one.value.string_value = value
