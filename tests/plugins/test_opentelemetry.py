"""opentelemetry from outside: what the upstream is told of a trace, what the collector is told of a request, what is dropped."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from fastgw.admin.redact import without_secrets
from tests.plugins.mirror import ask, mirror
from tests.support import wire
from tests.support.gateway import ADMIN_KEY, Gateway
from tests.support.upstreams import Answering
from tests.support.waiting import until
from tests.support.wire import Address

service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2", reason="needs the extra otel")

ID, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ROUTES: dict[str, dict[str, Any]] = {
    "on": {"sampler": {"name": "always_on"}, "additional_attributes": ["arg_x", "unknown"]},
    "off": {},
    "none": {"sampler": {"name": "trace_id_ratio", "options": {"fraction": 0}}},
    "all": {"sampler": {"name": "trace_id_ratio", "options": {"fraction": 1}}},
    "parent": {"sampler": {"name": "parent_base", "options": {"root": {"name": "always_on"}}}},
    "keys": {
        "sampler": {"name": "always_on"},
        "additional_attributes": [
            "request_uri",
            "args",
            "query_string",
            "request",
            "arg_own",
            "http_x_own_key",
            "arg_b",
            "http_x_b",
            "http_referer",
        ],
        "additional_header_prefix_attributes": ["x-*", "referer"],
    },
    "headers": {"sampler": {"name": "always_on"}, "additional_header_prefix_attributes": ["x-a-*", "X-B", "authorization"]},
}


class Collector(Answering):
    """Keeps the spans that it is sent."""

    def __init__(self) -> None:
        super().__init__(self._take)
        self.spans: list[Any] = []
        self.resource: dict[str, str] = {}
        self.heads: list[bytes] = []

    def _take(self, request: bytes) -> bytes:
        head, _, body = request.partition(b"\r\n\r\n")
        self.heads.append(head)
        said = service.ExportTraceServiceRequest.FromString(body)
        for group in said.resource_spans:
            self.resource = {each.key: each.value.string_value for each in group.resource.attributes}
            for scope in group.scope_spans:
                self.spans += scope.spans
        return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

    def span(self, id: str) -> Any:
        """The one whose id is this."""
        return next((each for each in self.spans if each.span_id.hex() == id), None)


def config(upstream: Address, collector: Address, **batches: Any) -> dict[str, Any]:
    node = {"type": "roundrobin", "nodes": {str(upstream): 1}}
    routes = [
        {"id": name, "name": f"name-{name}", "uri": f"/{name}", "upstream": node, "plugins": {"opentelemetry": conf}}
        for name, conf in ROUTES.items()
    ]
    by_id = {"opentelemetry": {"sampler": {"name": "always_on"}}, "request-id": {"algorithm": "uuid"}}
    metadata = {
        "id": "opentelemetry",
        "collector": {"address": str(collector), "request_timeout": 1, "request_headers": {"X-Tenant": "t"}},
        "resource": {"service.name": "edge"},
        "trace_id_source": "x-request-id",
        "batch_span_processor": {"batch_timeout": 0.05, **batches},
    }
    routes[[each["id"] for each in routes].index("keys")]["plugins"]["key-auth"] = {"header": "X-Own-Key", "query": "own"}
    consumers = [{"username": "jane", "plugins": {"key-auth": {"key": "s3cret-of-jane"}}}]
    routes.append({"id": "id", "uri": "/id", "upstream": node, "plugins": by_id})
    return {"routes": routes, "plugin_metadata": [metadata], "consumers": consumers}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as started:
        yield started


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Gateway]:
    with mirror() as upstream, Gateway(tmp_path_factory.mktemp("otel"), config(upstream.address, collector.address)) as started:
        yield started


def context(sent: str) -> tuple[str, str, int]:
    """Trace, span and flags that the upstream was told."""
    (parent,) = re.findall(r"(?im)^traceparent: (.*)\r$", sent)
    match = re.fullmatch(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})", parent)
    assert match
    return match[1], match[2], int(match[3], 16)


def test_a_span_is_told_and_the_upstream_is_below_it(gateway: Gateway, collector: Collector) -> None:
    answer = ask(gateway, "/on?x=1", f"traceparent: 00-{ID}-{PARENT}-00", "tracestate: a=1", "User-Agent: u")
    trace, span_id, flags = context(answer.sent)
    assert (trace, flags) == (ID, 1)
    assert span_id != PARENT
    assert "tracestate: a=1" in answer.sent
    span = until(lambda: collector.span(span_id), "the collector has the span")
    assert (span.trace_id.hex(), span.parent_span_id.hex(), span.trace_state) == (ID, PARENT, "a=1")
    assert (span.name, span.kind, span.status.code) == ("GET on", 2, 0)
    assert 0 <= span.end_time_unix_nano - span.start_time_unix_nano < 60 * 10**9
    told = {each.key: each.value.string_value or each.value.int_value for each in span.attributes}
    assert told["http.method"] == "GET"
    assert told["http.status_code"] == 200
    assert (told["http.target"], told["http.user_agent"], told["http.scheme"]) == ("/on", "u", "http")
    assert (told["apisix.route_id"], told["apisix.route_name"]) == ("on", "name-on")
    assert told["arg_x"] == "1"
    assert "unknown" not in told
    assert collector.resource["service.name"] == "edge"
    assert collector.resource["hostname"]
    assert re.search(rb"(?im)^x-tenant: t\r?$", collector.heads[-1])
    assert re.search(rb"(?im)^POST /v1/traces HTTP", collector.heads[-1])


@pytest.mark.parametrize(
    ("route", "parent", "sampled"),
    [
        ("on", None, True),
        ("off", None, False),
        ("off", 1, False),
        ("none", None, False),
        ("all", None, True),
        ("parent", None, True),
        ("parent", 0, False),
        ("parent", 1, True),
    ],
)
def test_who_is_sampled(gateway: Gateway, collector: Collector, route: str, parent: int | None, sampled: bool) -> None:
    lines = [] if parent is None else [f"traceparent: 00-{ID}-{PARENT}-{parent:02x}"]
    trace, span_id, flags = context(ask(gateway, f"/{route}", *lines).sent)
    assert (trace == ID) is (parent is not None)
    assert bool(flags) is sampled
    if sampled:
        until(lambda: collector.span(span_id), "the collector has the span")


def test_a_context_that_is_none_begins_anew(gateway: Gateway) -> None:
    for line in ("traceparent: 00-1-2-3", f"traceparent: 00-{'0' * 32}-{PARENT}-01"):
        answer = ask(gateway, "/on", line, "tracestate: a=1")
        assert context(answer.sent)[0] not in (ID, "0" * 32)
        assert "tracestate" not in answer.sent.lower()


def test_a_trace_is_called_as_its_request(gateway: Gateway) -> None:
    answer = ask(gateway, "/id")
    (said,) = answer.header("X-Request-Id")
    assert context(answer.sent)[0] == said.replace("-", "")
    assert context(ask(gateway, "/id", "X-Request-Id: other").sent)[0] != "other"


def test_headers_as_attributes_and_none_that_bears_credentials(gateway: Gateway, collector: Collector) -> None:
    lines = ("X-A-1: one", "X-A-2: two", "X-B: b", "X-C: c", "Authorization: Bearer s3cret")
    _, span_id, _ = context(ask(gateway, "/headers", *lines).sent)
    span = until(lambda: collector.span(span_id), "the collector has the span")
    told = {each.key: each.value.string_value for each in span.attributes}
    assert {name: value for name, value in told.items() if name.startswith(("x-", "auth"))} == {
        "x-a-1": "one",
        "x-a-2": "two",
        "x-b": "b",
    }


def test_no_attribute_has_what_plugins_take_credentials_from(gateway: Gateway, collector: Collector) -> None:
    page = "Referer: http://test/keys?own=s3cret-of-jane&c=1"
    lines = ("X-B: b", page, "X-Auth-Token: s3cret", "X-Own-Key: s3cret-of-jane")
    for target, more in (("/keys?own=s3cret-of-jane&b=1", lines[:3]), ("/keys?b=1", lines)):
        _, span_id, _ = context(ask(gateway, target, *more).sent)
        span = until(lambda id=span_id: collector.span(id), "the collector has the span")  # type: ignore[misc]
        told = {each.key: each.value.string_value for each in span.attributes}
        assert "s3cret" not in str(told)
        assert (told["x-b"], told["http_x_b"], told["arg_b"]) == ("b", "b", "1")
        assert told["referer"] == told["http_referer"] == "http://test/keys?own=***&c=1"


def test_a_global_rules_span_and_the_routes(gateway: Gateway, collector: Collector) -> None:
    """One below the other, and the upstream is told of one."""
    gateway.put("global_rules/traces", {"plugins": {"opentelemetry": {"sampler": {"name": "always_on"}}}})
    try:
        answer = ask(gateway, "/on", f"traceparent: 00-{ID}-{PARENT}-00")
    finally:
        gateway.api("DELETE", "global_rules/traces")
    trace, inner, _ = context(answer.sent)
    span = until(lambda: collector.span(inner), "the collector has the span")
    outer = until(lambda: collector.span(span.parent_span_id.hex()), "the collector has the span above")
    assert (trace, outer.trace_id.hex(), outer.parent_span_id.hex()) == (ID, ID, PARENT)


def spans(gateway: Gateway) -> tuple[float, float]:
    """Exported and dropped, as the metrics have them."""
    text = wire.get(gateway.admin, "/apisix/prometheus/metrics", {"X-API-KEY": ADMIN_KEY}).body.decode()
    found = {name: re.search(rf"(?m)^fastgw_spans_{name}_total (\d+)$", text) for name in ("exported", "dropped")}
    assert all(found.values())
    return tuple(float(each[1]) for each in found.values() if each)  # type: ignore[return-value]


def test_spans_are_counted(gateway: Gateway, collector: Collector) -> None:
    ask(gateway, "/on")
    until(lambda: spans(gateway)[0] == len(collector.spans), "what the collector has is counted")
    assert spans(gateway)[1] == 0


def test_a_collector_that_takes_none_holds_up_nobody(tmp_path_factory: pytest.TempPathFactory) -> None:
    closed = Answering(lambda request: b"")
    with closed:
        address = closed.address
    directory = tmp_path_factory.mktemp("none")
    with mirror() as upstream, Gateway(directory, config(upstream.address, address, max_queue_size=1)) as gateway:
        for _ in range(20):
            assert ask(gateway, "/on").status == 200
        until(lambda: spans(gateway) == (0, 20), "all are dropped and counted")
        assert gateway.log().count("takes no spans") == 1


def test_what_is_refused(gateway: Gateway) -> None:
    node = {"type": "roundrobin", "nodes": {"127.0.0.1:1": 1}}
    for conf, said in (
        ({"sampler": {"name": "sometimes"}}, "sampler"),
        ({"sampler": {"name": "trace_id_ratio", "options": {"fraction": 2}}}, "fraction"),
        ({"additional_attributes": ["http_authorization"]}, "bears credentials"),
        ({"additional_attributes": [""]}, "additional_attributes"),
    ):
        answer = gateway.api("PUT", "routes/x", {"uri": "/x", "upstream": node, "plugins": {"opentelemetry": conf}})
        assert answer.status == 400, answer.body
        assert said in answer.body.decode()
    for address in ("", "http://", "ftp://a", "http://user:s3cret@127.0.0.1:4318", "a:b", "a b", "127.0.0.1:4318?x"):
        answer = gateway.api("PUT", "plugin_metadata/opentelemetry", {"collector": {"address": address}})
        assert answer.status == 400, address
        assert b"s3cret" not in answer.body


def test_headers_for_the_collector_are_a_secret() -> None:
    collector = {"address": "https://traces.test/v1", "request_headers": {"Authorization": "s3cret"}}
    shown = without_secrets("plugin_metadata", {"id": "opentelemetry", "collector": collector})
    assert shown == {"id": "opentelemetry", "collector": {"address": "https://traces.test/v1"}}
