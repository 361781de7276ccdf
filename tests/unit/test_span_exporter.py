"""Exporters of spans whose settings are gone: neither they nor their threads stay."""

import threading
import time

import msgspec
import pytest

from fastgw.plugins import opentelemetry, span_exporter
from fastgw.plugins.span_exporter import Counts, Span, SpanExporter
from tests.support.gateway import free_addresses
from tests.support.waiting import until

pytest.importorskip("opentelemetry.proto")


def exporter() -> SpanExporter:
    """To where nobody listens."""
    (nobody,) = free_addresses(1)
    return SpanExporter(str(nobody), timeout=1, headers={}, resource={}, queue_size=10, batch_size=1, batch_s=0.01)


def span() -> Span:
    now = time.time_ns()
    return Span(b"t" * 16, b"s" * 8, b"", "", "GET", now, now, [], False)


def threads() -> int:
    return sum(each.name == "spans" for each in threading.enumerate())


def test_a_thread_that_has_no_spans_ends_and_the_next_span_has_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(span_exporter, "IDLE_S", 0.01)
    before, told = threads(), 0
    made = exporter()
    for n in (1, 2, 3):
        made.put(span())
        until(lambda: threads() == before, "the thread ends")
        told += made.take_counts().dropped
        assert told == n  # none lies where no thread looks
    assert made.take_counts() == Counts(0, 0)


def test_former_settings_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opentelemetry, "_exporters", {})
    for n in range(1, 20):
        batches = msgspec.convert({"batch_span_processor": {"max_queue_size": n}}, opentelemetry.Metadata)
        made = opentelemetry._exporter(batches)
        assert opentelemetry._exporter(batches) is made
    assert len(opentelemetry._exporters) == 5
