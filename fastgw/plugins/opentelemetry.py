"""opentelemetry: a request as one span of a trace, which goes on upstream.

Owns the configuration, whether a request is sampled, what its span says. Must not know how spans reach the collector
(span_exporter), nor how a client's trace context is judged (native/trace): what breaks its rules is gone when this runs.
"""

import os
import random
import re
import time
from collections.abc import Collection, Iterator, Mapping
from importlib.util import find_spec
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from fastgw import _core
from fastgw.errors import Fault, Path
from fastgw.plugins.concealed import is_concealed
from fastgw.plugins.contract import Env, Plugin, PluginConf
from fastgw.plugins.log_entry import Bodies, variable
from fastgw.plugins.span_exporter import Counts, Span, SpanExporter, is_address
from fastgw.schema.base import Nested, Text, secret
from fastgw.schema.rules import broken

__all__ = ["Conf", "Metadata", "OpenTelemetry", "close", "take_counts"]

MODULE: Final = "opentelemetry.proto"
SAMPLED: Final = 1
_TRACE_ID: Final = re.compile(r"(?!0{32})[0-9a-f]{32}")
Fraction = Annotated[float, Meta(ge=0, le=1)]
Whole = Annotated[int, Meta(ge=1, le=1_000_000)]
Seconds = Annotated[float, Meta(gt=0, le=3600)]


class RootOptions(Nested, frozen=True, kw_only=True):
    """What a root sampler goes by.

    fraction: how many of all traces, of trace_id_ratio
    """

    fraction: Fraction = 0


class Root(Nested, frozen=True, kw_only=True):
    """Who decides where a request comes without a trace.

    name: the sampler
    options: what it goes by
    """

    name: Literal["always_on", "always_off", "trace_id_ratio"] = "always_off"
    options: RootOptions = RootOptions()


class Options(Nested, frozen=True, kw_only=True):
    """What a sampler goes by.

    fraction: how many of all traces, of trace_id_ratio
    root: of parent_base, who decides where a request comes without a trace
    """

    fraction: Fraction = 0
    root: Root = Root()


class Sampler(Nested, frozen=True, kw_only=True):
    """Which requests are told.

    name: the sampler
    options: what it goes by
    """

    name: Literal["always_on", "always_off", "trace_id_ratio", "parent_base"] = "always_off"
    options: Options = Options()


class Conf(PluginConf, frozen=True, kw_only=True):
    """opentelemetry: which requests are told of, and what besides the usual.

    sampler: which requests are told of
    additional_attributes: variables that spans have as attributes
    additional_header_prefix_attributes: headers that spans have as attributes; a * at the end: all that begin so
    """

    sampler: Sampler = Sampler()
    additional_attributes: tuple[Text, ...] = ()
    additional_header_prefix_attributes: tuple[Text, ...] = ()

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """Its extra is installed, and what it tells bears no credentials."""
        if not _installed():
            yield Fault(Path(()), "opentelemetry needs the extra `otel`: pip install 'fastgw[otel]'", "rule")
        for index, name in enumerate(good.get("additional_attributes", ())):
            fault = _core.log_variable_fault(name)
            if fault and not fault.endswith("is unknown"):  # as in APISIX, what is unknown is left out
                yield Fault(Path(("additional_attributes", index)), fault, "rule")


class Collector(Nested, frozen=True, kw_only=True):
    """Where spans go.

    address: host:port, or the beginning of a URL
    request_timeout: how long a request to it may take, in seconds
    request_headers: headers of those requests
    """

    address: Text = "127.0.0.1:4318"
    request_timeout: Annotated[int, Meta(ge=1, le=300)] = 3
    request_headers: Annotated[dict[str, bool | int | float | str], secret] = msgspec.field(default_factory=dict)

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """An address that can be asked, without credentials, which the log would show; those are for request_headers."""
        if "address" in good and not is_address(good["address"]):
            yield broken("address", "expected host:port, or http:// or https:// with a host, without a user or a query")


class Batches(Nested, frozen=True, kw_only=True):
    """How spans are gathered.

    drop_on_queue_full: spans that find the queue full are always dropped; false is taken and means the same
    max_queue_size: how many spans wait at most, in each worker
    batch_timeout: how long a batch is gathered, in seconds
    inactive_timeout: taken; a batch goes out when its time is over
    max_export_batch_size: how many spans a batch has at most
    """

    drop_on_queue_full: bool = True
    max_queue_size: Whole = 2048
    batch_timeout: Seconds = 5
    inactive_timeout: Seconds = 2
    max_export_batch_size: Whole = 256


class Metadata(PluginConf, frozen=True, kw_only=True):
    """opentelemetry: where spans go, for all of its uses.

    trace_id_source: what a new trace is called: x-request-id, where that is 32 hexadecimal digits but for its hyphens, or random
    resource: what spans say of this gateway, beside its host name
    collector: where spans go
    batch_span_processor: how they are gathered
    set_ngx_var: taken; the variables trace_id and span_id of the access log are always there
    """

    trace_id_source: Literal["x-request-id", "random"] = "random"
    resource: dict[str, bool | int | float | str] = msgspec.field(default_factory=dict)
    collector: Collector = Collector()
    batch_span_processor: Batches = Batches()
    set_ngx_var: bool = False


class OpenTelemetry(Plugin):
    """Traces."""

    name = "opentelemetry"
    version = 0.1
    # What everything later may name. Before all that may answer, so that a refusal has it too.
    priority = 12009
    phases = ("rewrite", "log")
    conf = Conf
    metadata_conf = Metadata

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """Two steps of one tracer."""
        metadata: Metadata = env.metadata(self)
        tracer = _Tracer(conf, metadata, _exporter(metadata))
        return [_core.PythonStep(self.name, phase, getattr(tracer, phase), None) for phase in self.phases]


class _Tracer:
    """One configuration at work."""

    def __init__(self, conf: Conf, metadata: Metadata, exporter: SpanExporter) -> None:
        self._sampler = conf.sampler
        self._by_request_id = metadata.trace_id_source == "x-request-id"
        self._exporter = exporter
        self._key = f"opentelemetry {id(self)}"  # in `request.ctx`: that of a global rule and the route's have a span each
        wanted = {"net.host.name": "host", "http.scheme": "scheme", "http.target": "uri", "http.user_agent": "http_user_agent"}
        wanted |= {"apisix.route_name": "route_name", "apisix.service_id": "service_id", "apisix.service_name": "service_name"}
        self._wanted = [(name, _core.Template(each)) for name, each in wanted.items()]
        told = (name for name in conf.additional_attributes if not _core.log_variable_fault(name))
        self._additional = [(name, variable(name)) for name in told]
        headers = [name.lower() for name in conf.additional_header_prefix_attributes]
        self._headers = frozenset(name for name in headers if not name.endswith("*"))
        self._prefixes = tuple(name[:-1] for name in headers if name.endswith("*"))

    def rewrite(self, _: None, request: _core.Request) -> None:
        """A span of this gateway stands in the place of the client's, in the same trace."""
        parent = request.header("traceparent")
        trace_id = parent[3:35] if parent else self._new_trace_id(request)
        sampled = self._sampled(trace_id, None if parent is None else bool(int(parent[53:55], 16) & SAMPLED))
        span_id = f"{random.getrandbits(64) or 1:016x}"
        request.set_header("traceparent", f"00-{trace_id}-{span_id}-{sampled:02x}")
        if sampled:
            request.ctx[self._key] = (trace_id, span_id, parent[36:52] if parent else "", time.time_ns())

    def log(self, _: None, request: _core.Request) -> None:
        begun = request.ctx.get(self._key)
        if begun is None:
            return
        trace_id, span_id, parent, start_ns = begun
        route = request.route_id
        span = Span(
            bytes.fromhex(trace_id),
            bytes.fromhex(span_id),
            bytes.fromhex(parent),
            request.header("tracestate") or "",
            f"{request.method} {route}" if route else request.method,
            start_ns,
            time.time_ns(),
            list(self._attributes(request, route)),
            request.status >= 500,
        )
        self._exporter.put(span)

    def _sampled(self, trace_id: str, parent: bool | None) -> bool:
        """parent: whether the client's span is; None: there is none."""
        name, fraction = self._sampler.name, self._sampler.options.fraction
        if name == "parent_base":
            if parent is not None:
                return parent
            root = self._sampler.options.root
            name, fraction = root.name, root.options.fraction
        if name == "trace_id_ratio":
            return int(trace_id[16:], 16) < round(fraction * 2**64)
        return name == "always_on"

    def _new_trace_id(self, request: _core.Request) -> str:
        if self._by_request_id:
            said = (request.header("x-request-id") or "").replace("-", "").lower()
            if _TRACE_ID.fullmatch(said):
                return said
        return os.urandom(16).hex()

    def _attributes(self, request: _core.Request, route: str | None) -> Iterator[tuple[str, str | int]]:
        yield "http.method", request.method
        yield "http.status_code", request.status
        if route:
            yield "apisix.route_id", route
        for name, template in self._wanted:
            if value := request.text(template):
                yield name, value
        if self._additional:
            account = _core.ledger_account(request)
            for name, tell in self._additional:
                if (found := tell(request, account, _NO_BODIES)) is not None:
                    yield name, str(found)
        if self._headers or self._prefixes:
            for name, value in request.headers:
                wanted = name.lower() in self._headers or name.lower().startswith(self._prefixes)
                if wanted and not is_concealed(name):
                    yield name.lower(), _core.ledger_url(value)


_NO_BODIES: Final = Bodies(None, None)
_exporters: dict[bytes, SpanExporter] = {}
"""By the metadata that they are made of: a process has one as long as nobody changes that, and for a while the ones before."""
_FORMER: Final = 4  # that are asked for counts still


def take_counts() -> Counts:
    """Of all exporters."""
    taken = [each.take_counts() for each in tuple(_exporters.values())]
    return Counts(sum(each.exported for each in taken), sum(each.dropped for each in taken))


def close() -> None:
    """The process ends."""
    for each in _exporters.values():
        each.close()


def _exporter(metadata: Metadata) -> SpanExporter:
    key = msgspec.json.encode(metadata)
    found = _exporters.get(key)
    if found is None:
        batches, collector = metadata.batch_span_processor, metadata.collector
        found = _exporters[key] = SpanExporter(
            collector.address,
            timeout=collector.request_timeout,
            headers={name: str(value) for name, value in collector.request_headers.items()},
            resource=metadata.resource,
            queue_size=batches.max_queue_size,
            batch_size=batches.max_export_batch_size,
            batch_s=batches.batch_timeout,
        )
        for old in list(_exporters)[: -1 - _FORMER]:
            del _exporters[old]
    return found


def _installed() -> bool:
    try:
        return find_spec(MODULE) is not None
    except ModuleNotFoundError:
        return False
