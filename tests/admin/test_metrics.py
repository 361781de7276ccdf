"""Metrics as Prometheus reads them: APISIX's names and labels, ours, and that a scrape asks no worker."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fastgw import _core
from fastgw.metrics import apisix
from fastgw.metrics.text import Exposition
from tests.support import wire
from tests.support.core import TOKEN
from tests.support.gateway import ADMIN_KEY, Gateway, free_addresses
from tests.support.waiting import until
from tests.support.wire import Address

PATH = "/apisix/prometheus/metrics"
SECRET = "john-hs256-secret-of-enough-bytes"
JWT = {"key": "john-key", "secret": SECRET, "algorithm": "HS256"}

Samples = dict[str, dict[frozenset[tuple[str, str]], float]]


def config(echo: Address, listen: Address) -> dict[str, object]:
    node = {"type": "roundrobin", "nodes": {str(echo): 1}}
    checked = {**node, "checks": {"active": {"http_path": "/", "healthy": {"interval": 60}, "unhealthy": {"interval": 60}}}}
    routes = [
        {"id": "r", "uris": ["/get", "/anything/*"], "hosts": ["a.test", "*.b.test"], "upstream": node},
        {"id": "auth", "uri": "/auth/*", "plugins": {"jwt-auth": {}, "prometheus": {}}, "service_id": "s"},
        {"id": "n", "name": "by-name", "uri": "/named", "service_id": "s", "plugins": {"prometheus": {"prefer_name": True}}},
    ]
    return {
        "workers": 2,
        "prometheus": {"listen": str(listen)},
        "routes": routes,
        "services": [{"id": "s", "name": "service-by-name", "upstream": checked}],
        "consumers": [{"username": "john", "credentials": [{"id": "c", "plugins": {"jwt-auth": JWT}}]}],
    }


@pytest.fixture(scope="module")
def listen() -> Address:
    return free_addresses(1)[0]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, echo: Address, listen: Address) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("metrics"), config(echo, listen)) as started:
        for _ in range(3):
            started.get("/get", headers={"Host": "a.test"})
        started.get("/anything/x", headers={"Host": "www.b.test"})
        started.get("/auth/x", TOKEN.decode())
        started.get("/auth/x")
        started.get("/named")
        started.get("/nowhere")
        yield started


def scrape(at: Address, path: str = PATH, key: str | None = None) -> Samples:
    answer = wire.get(at, path, {} if key is None else {"X-API-KEY": key})
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found: Samples = {}
    for family in text_string_to_metric_families(answer.body.decode()):
        assert family.documentation
        assert family.type in ("counter", "gauge", "histogram")
        for sample in family.samples:
            of_name = found.setdefault(sample.name, {})
            labels = frozenset(sample.labels.items())
            assert labels not in of_name, f"{sample.name} {sample.labels} twice"
            of_name[labels] = sample.value
    return found


def of(samples: Samples, metric: str, /, **labels: str) -> list[float]:
    """Values of the samples that have at least these labels."""
    return [value for each, value in samples[metric].items() if labels.items() <= dict(each).items()]


def test_statuses_by_route_consumer_and_node(gateway: Gateway, listen: Address, echo: Address) -> None:
    samples = until(
        lambda: (found := scrape(listen))["apisix_http_requests_total"][frozenset()] >= 8 and found, "all are counted"
    )
    told = {tuple(sorted(dict(labels).items())): value for labels, value in samples["apisix_http_status_total"].items()}

    def status(code: str, route: str, uri: str, host: str, service: str, consumer: str, node: str) -> float:
        names = ("code", "consumer", "matched_host", "matched_uri", "node", "route", "service")
        return told[tuple(zip(names, (code, consumer, host, uri, node, route, service), strict=True))]

    assert status("200", "r", "/get", "a.test", "", "", echo.host) == 3
    assert status("200", "r", "/anything/*", "*.b.test", "", "", echo.host) == 1
    assert status("401", "auth", "/auth/*", "", "s", "", "") == 1
    assert of(samples, "apisix_http_status_total", route="auth", consumer="john", node=echo.host) == [1]
    assert of(samples, "apisix_http_status_total", route="by-name", service="service-by-name") == [1]
    assert status("404", "", "", "", "", "", "") == 1


def test_latencies_are_histograms_in_milliseconds(gateway: Gateway, listen: Address) -> None:
    samples = scrape(listen)
    for type_ in ("request", "upstream", "apisix"):
        assert of(samples, "apisix_http_latency_count", route="r", type=type_) == [4]
        assert of(samples, "apisix_http_latency_bucket", route="r", type=type_, le="+Inf") == [4]
        buckets = {dict(each)["le"]: n for each, n in samples["apisix_http_latency_bucket"].items() if ("type", type_) in each}
        assert {"1", "2", "5", "60000", "+Inf"} <= set(buckets)
        assert len(buckets) == 16
    whole, theirs, own = (of(samples, "apisix_http_latency_sum", route="r", type=t)[0] for t in ("request", "upstream", "apisix"))
    assert whole == pytest.approx(theirs + own)
    assert of(samples, "apisix_bandwidth_total", route="r", type="egress")[0] > 0
    # Nobody was asked for a request that was refused.
    assert sum(of(samples, "apisix_http_latency_count", type="upstream")) == 6


def test_the_rest_of_the_names(gateway: Gateway, listen: Address) -> None:
    samples = scrape(listen)
    assert samples["apisix_etcd_reachable"] == {frozenset(): 1}
    keys = {dict(each)["key"] for each in samples["apisix_etcd_modify_indexes"]}
    assert {"routes", "services", "upstreams", "consumers", "max_modify_index", "x_etcd_index"} <= keys
    assert of(samples, "apisix_node_info", hostname=socket.gethostname()) == [1]
    states = {dict(each)["state"] for each in samples["apisix_nginx_http_current_connections"]}
    assert states == {"accepted", "active", "handled", "reading", "waiting", "writing"}
    assert of(samples, "apisix_upstream_status", name="/apisix/services/s") == [1]
    names = {dict(each)["name"] for each in samples["apisix_shared_dict_capacity_bytes"]}
    assert names == {dict(each)["name"] for each in samples["apisix_shared_dict_free_space_bytes"]}


def test_an_address_of_several_names_is_told_once() -> None:
    """A scrape with two samples of one name is refused, or one of them is taken by chance. It is well where all say so."""
    stands = [("/u", "192.0.2.1", 80, True), ("/u", "192.0.2.1", 80, False), ("/u", "192.0.2.2", 80, True)]
    out = Exposition()
    facts = apisix.Facts("h", "v", True, {}, {}, [apisix.NodeStatus(*each) for each in [*stands, *reversed(stands)]])
    apisix._store(out, "", facts)
    lines = [line for line in out.bytes().decode().splitlines() if line.startswith("upstream_status{")]
    assert lines == [f'upstream_status{{name="/u",ip="192.0.2.{n}",port="80"}} {n - 1}' for n in (1, 2)]


def test_ours(gateway: Gateway, listen: Address) -> None:
    samples = scrape(listen)
    for name in _core.METRIC_NAMES:
        assert list(samples[f"fastgw_{name}_total"]) == [frozenset()]
    assert of(samples, "fastgw_refused_total", reason="jwt.no_token") == [1]
    assert sum(samples["fastgw_process_requests_total"].values()) == samples["fastgw_requests_total"][frozenset()] == 8
    assert samples["fastgw_request_duration_seconds_count"][frozenset()] == 8
    assert len(of(samples, "fastgw_process_state", role="worker")) == 2
    assert of(samples, "fastgw_process_state", role="admin") == [2]
    assert all(value > 1 << 20 for value in of(samples, "fastgw_process_resident_memory_bytes"))
    assert all(value > 3 for value in of(samples, "fastgw_process_open_fds"))
    assert set(samples["fastgw_process_revision"].values()) == set(samples["fastgw_revision"].values())


def test_the_admin_listener_has_them_with_a_key(gateway: Gateway, listen: Address) -> None:
    assert scrape(gateway.admin, key=ADMIN_KEY).keys() == scrape(listen).keys()
    assert wire.get(gateway.admin, PATH).status == 401
    assert wire.request(gateway.admin, "POST", PATH, "{}", {"X-API-KEY": ADMIN_KEY}).status == 404


def test_other_paths_and_methods_are_not_found(gateway: Gateway, listen: Address) -> None:
    assert wire.get(listen, "/metrics").status == 404
    assert wire.request(listen, "POST", PATH).status == 404
    assert wire.request(listen, "HEAD", PATH).status == 200


def test_no_worker_is_asked_and_none_that_died_is_forgotten(gateway: Gateway, listen: Address) -> None:
    workers = gateway.workers()
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    try:
        before = scrape(listen)
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
    gateway.kill_worker(workers[0])
    after = scrape(listen)
    for name in ("apisix_http_status_total", "fastgw_process_requests_total", "fastgw_refused_total"):
        assert before[name].items() <= after[name].items()


def test_the_default_address_gives_way_and_another_does_not(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = str(Address(*taken.getsockname()))
        with pytest.raises(AssertionError, match="ended with exit code 2"):
            Gateway(tmp_path, {"prometheus": {"listen": address}}).start()
    with socket.socket() as holder:
        try:
            holder.bind(("127.0.0.1", 9091))
            holder.listen()
        except OSError:
            pass  # another program has it already, which does as well
        with Gateway(tmp_path, {"prometheus": {}}) as gateway:
            assert "127.0.0.1:9091 is in use: metrics are on the Admin listener only" in gateway.log()
            assert scrape(gateway.admin, key=ADMIN_KEY)


def test_another_path_and_prefix(tmp_path: Path) -> None:
    (listen,) = free_addresses(1)
    settings = {"listen": str(listen), "path": "/m", "prefix": "gw_"}
    with Gateway(tmp_path, {"prometheus": settings}) as gateway:
        assert "gw_http_requests_total" in scrape(listen, "/m")
        settings["path"] = "/n"
        gateway.reload({**gateway.config, "prometheus": settings})
        until(lambda: wire.get(listen, "/n").status == 200, "the reload is in force")
