"""Nodes that are names, from outside: a DNS server that the test decides over, and a gateway that asks it."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.proxying.nodes import asked, saying, to
from tests.support.dns import DnsServer
from tests.support.gateway import Gateway
from tests.support.upstreams import Answering
from tests.support.waiting import until


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    with DnsServer() as running:
        yield running


@pytest.fixture
def three() -> Iterator[int]:
    """The port on which 127.0.0.2, .3 and .4 say their address."""
    with Answering(saying("127.0.0.2"), host="127.0.0.2") as first:
        port = first.address.port
        with (
            Answering(saying("127.0.0.3"), host="127.0.0.3", port=port),
            Answering(saying("127.0.0.4"), host="127.0.0.4", port=port),
        ):
            yield port


def config(dns: DnsServer, nodes: Any, **fields: Any) -> dict[str, Any]:
    return {"dns_resolver": [str(dns.address)], **to(nodes, **fields)}


def test_all_addresses_of_a_name_share_its_requests_and_a_dead_one_fails_none(tmp_path: Path, dns: DnsServer, three: int) -> None:
    dns.set("app.test", "A", "127.0.0.2", "127.0.0.3", "127.0.0.9")  # nobody listens on the last
    with Gateway(tmp_path, config(dns, {f"app.test:{three}": 1})) as gateway:
        assert set(Counter(asked(gateway) for _ in range(30))) == {"127.0.0.2", "127.0.0.3"}
        until(lambda: f'"upstream":"127.0.0.2:{three}"' in gateway.log(), "the log has the address that answered")


def test_changes_are_followed_and_faults_are_borne(tmp_path: Path, dns: DnsServer, three: int) -> None:
    dns.set("app.test", "A", "127.0.0.2", ttl=1)
    with Gateway(tmp_path, config(dns, {f"app.test:{three}": 1})) as gateway:
        assert asked(gateway) == "127.0.0.2"
        dns.set("app.test", "A", "127.0.0.3", ttl=1)
        until(lambda: asked(gateway) == "127.0.0.3", "the new address serves")
        for fault in ("SERVFAIL", "NXDOMAIN", "silent"):
            dns.broken = fault
            seen = dns.asked.total()
            until(lambda seen=seen: dns.asked.total() > seen + 1, "it was asked while it cannot tell")  # type: ignore[misc]
            assert asked(gateway) == "127.0.0.3"
        dns.broken = None
        dns.set("app.test", "A", "127.0.0.4", ttl=1)
        until(lambda: asked(gateway) == "127.0.0.4", "it is followed again")


def test_the_time_to_live_is_kept(tmp_path: Path, dns: DnsServer, three: int) -> None:
    dns.set("short.test", "A", "127.0.0.2", ttl=0)
    dns.set("long.test", "A", "127.0.0.2", ttl=3600)
    with Gateway(tmp_path, config(dns, {f"short.test:{three}": 1, f"long.test:{three}": 1})) as gateway:
        until(lambda: dns.asked["short.test", "A"] > 3, "a name of no time to live is asked for again and again")
        assert dns.asked["long.test", "A"] == 1
        for _ in range(20):
            asked(gateway)
        assert dns.asked["long.test", "A"] == 1  # never on the way of a request


def test_a_name_that_never_resolved_is_503_until_it_does(tmp_path: Path, dns: DnsServer, three: int) -> None:
    with Gateway(tmp_path, config(dns, {f"late.test:{three}": 1})) as gateway:
        assert gateway.get("/").status == 503
        dns.set("late.test", "A", "127.0.0.2")
        until(lambda: gateway.get("/").status == 200, "the name resolves")


def test_a_service_of_dns(tmp_path: Path, dns: DnsServer, three: int) -> None:
    dns.set("_http._tcp.app.test", "SRV", f"1 2 {three} b.test.", f"1 1 {three} c.test.", f"2 9 {three} d.test.", ttl=1)
    for name, address in (("b.test", "127.0.0.2"), ("c.test", "127.0.0.3"), ("d.test", "127.0.0.4")):
        dns.set(name, "A", address)
    upstream = {"service_name": "_http._tcp.app.test", "discovery_type": "dns"}
    with Gateway(tmp_path, {"dns_resolver": [str(dns.address)]}) as gateway:
        gateway.put("routes/1", {"uri": "/*", "upstream": upstream})
        # At once: a write is answered when it serves.
        assert Counter(asked(gateway) for _ in range(9)) == {"127.0.0.2": 6, "127.0.0.3": 3}
        dns.set("_http._tcp.app.test", "SRV", f"2 9 {three} d.test.", ttl=1)
        until(lambda: asked(gateway) == "127.0.0.4", "the new record serves")
        dns.broken = "SERVFAIL"
        assert asked(gateway) == "127.0.0.4"


def test_a_service_without_srv_records_is_its_addresses(tmp_path: Path, dns: DnsServer, three: int) -> None:
    dns.set("plain.test", "A", "127.0.0.2", "127.0.0.3")
    config_ = {
        "dns_resolver": [str(dns.address)],
        "upstreams": [{"id": "u", "service_name": f"plain.test:{three}", "discovery_type": "dns"}],
        "routes": [{"id": "r", "uri": "/*", "upstream_id": "u"}],
    }
    with Gateway(tmp_path, config_) as gateway:
        assert Counter(asked(gateway) for _ in range(8)) == {"127.0.0.2": 4, "127.0.0.3": 4}
        gateway.put("upstreams/u", {"nodes": {f"127.0.0.4:{three}": 1}})
        assert asked(gateway) == "127.0.0.4"
        gateway.put("upstreams/u", {"service_name": f"plain.test:{three}", "discovery_type": "dns"})
        assert Counter(asked(gateway) for _ in range(8)) == {"127.0.0.2": 4, "127.0.0.3": 4}
