"""Asking DNS: hosts file, servers, search lists, services; with a real server on a free port."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from fastgw.dns_client import MOST_AT_ONCE, Answer, Client
from fastgw.pools import ServiceName
from fastgw.schema.upstream import Node
from tests.support.dns import DnsServer
from tests.support.gateway import free_addresses


@pytest.fixture
def server() -> Iterator[DnsServer]:
    with DnsServer() as running:
        yield running


@pytest.fixture
def nothing(tmp_path: Path) -> Path:
    return tmp_path / "nothing"


def look_up(client: Client, what: str | ServiceName) -> Answer:
    async def main() -> Answer:
        return await client.look_up(what)

    return uvloop.run(main())


def client(server: DnsServer, hosts: Path, **options: float) -> Client:
    return Client([str(server.address)], hosts=hosts, **options)


def test_all_addresses_of_a_name(server: DnsServer, nothing: Path) -> None:
    server.set("a.test", "A", "192.0.2.2", "192.0.2.1", ttl=17)
    server.set("a.test", "AAAA", "2001:db8::1")
    server.set("alias.test", "CNAME", "a.test", ttl=5)
    server.set("six.test", "AAAA", "2001:db8::2", ttl=9)
    assert look_up(client(server, nothing), "a.test") == Answer(("192.0.2.1", "192.0.2.2"), 17)
    assert look_up(client(server, nothing), "Alias.test.") == Answer(("192.0.2.1", "192.0.2.2"), 5)
    assert look_up(client(server, nothing), "six.test") == Answer(("2001:db8::2",), 9)
    for gone in ("gone.test", "é.test", "a" * 64):
        with pytest.raises((OSError, ValueError)):
            look_up(client(server, nothing), gone)


def test_the_hosts_file_goes_first_and_is_read_anew(server: DnsServer, tmp_path: Path) -> None:
    server.set("a.test", "A", "192.0.2.1")
    hosts = tmp_path / "hosts"
    asking = client(server, hosts)
    assert look_up(asking, "a.test").found == ("192.0.2.1",)
    hosts.write_text(
        "# a.test\n203.0.113.9 b A.test # c\n::1 a.test\n203.0.113.8\ta.test\nnonsense a.test\n::2 six\nfe80::2%lo six\n"
    )
    assert look_up(asking, "a.test").found == ("203.0.113.8", "203.0.113.9")
    assert look_up(asking, "six").found == ("::2",)
    assert server.asked["a.test", "A"] == 1
    assert look_up(asking, "x.localhost").found == ("127.0.0.1",)


def test_a_server_that_does_not_answer_or_cannot_is_followed_by_the_next(server: DnsServer, nothing: Path) -> None:
    server.set("a.test", "A", "192.0.2.1")
    (nobody,) = free_addresses(1)
    with DnsServer() as other:
        for broken in ("SERVFAIL", "REFUSED", "silent"):
            other.broken = broken
            asking = Client([str(nobody), str(other.address), str(server.address)], hosts=nothing, timeout=1)
            assert look_up(asking, "a.test").found == ("192.0.2.1",)
            assert other.asked
        with pytest.raises(OSError, match=r"a\.test: no DNS server answers"):
            look_up(Client([str(other.address)], hosts=nothing, timeout=0.1), "a.test")


def test_an_answer_that_does_not_fit_is_asked_for_by_tcp(server: DnsServer, nothing: Path) -> None:
    many = [f"192.0.2.{i}" for i in range(1, 200)]
    server.set("a.test", "A", *many)
    server.truncating = True
    assert set(look_up(client(server, nothing), "a.test").found) == set(many)
    assert server.by_tcp == 1


def test_forged_answers_are_passed_over(server: DnsServer, nothing: Path) -> None:
    server.set("a.test", "A", "192.0.2.66")
    server.twist = lambda answer: bytes([answer[0] ^ 1]) + answer[1:]
    with pytest.raises(OSError, match="no DNS server answers"):
        look_up(client(server, nothing, timeout=0.2), "a.test")


def test_the_systems_servers_and_search_list(tmp_path: Path) -> None:
    conf = tmp_path / "resolv.conf"
    asking = Client(hosts=tmp_path / "nothing", resolv_conf=conf)
    with pytest.raises(OSError, match="no DNS server is known"):
        look_up(asking, "a.test")
    conf.write_text(
        "# c\nnameserver 192.0.2.53 ; c\nnameserver 2001:db8::53\nsearch one.test two.test.\noptions rotate ndots:2\n"
    )
    servers = asking._servers()
    assert servers.addresses == (("192.0.2.53", 53), ("2001:db8::53", 53))
    assert list(servers.names("a.b")) == ["a.b.one.test", "a.b.two.test", "a.b"]
    assert list(servers.names("a.b.c")) == ["a.b.c", "a.b.c.one.test", "a.b.c.two.test"]
    assert list(servers.names("a.")) == ["a."]


def test_a_service_is_the_nodes_of_its_records(server: DnsServer, nothing: Path) -> None:
    server.set("_http._tcp.a.test", "SRV", "1 5 8080 b.test.", "1 0 0 c.test.", "9 1 8081 d.test.", ttl=12)
    asking = client(server, nothing)
    assert look_up(asking, ServiceName("_http._tcp.a.test")) == Answer(
        (Node("b.test", 8080, 5, -1), Node("c.test", None, 1, -1), Node("d.test", 8081, 1, -9)), 12
    )
    assert {node.port for node in look_up(asking, ServiceName("_http._tcp.a.test:99")).found if isinstance(node, Node)} == {99}
    server.set("plain.test", "A", "192.0.2.1", "192.0.2.2", ttl=3)
    assert look_up(asking, ServiceName("plain.test:81")) == Answer((Node("192.0.2.1", 81, 1, 0), Node("192.0.2.2", 81, 1, 0)), 3)
    server.set("none.test", "SRV", "0 0 0 .")
    with pytest.raises(OSError, match="no such service"):
        look_up(asking, ServiceName("none.test"))


def test_many_names_are_asked_about_a_few_at_a_time(server: DnsServer, nothing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asking, under_way, most = client(server, nothing), 0, 0
    answered = asking._answered

    async def counted(*question: Any) -> Any:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        try:
            return await answered(*question)
        finally:
            under_way -= 1

    async def main() -> None:
        found = await asyncio.gather(*(asking.look_up(f"n{i}.test") for i in range(300)))
        assert [answer.found for answer in found] == [(f"192.0.2.{i % 250}",) for i in range(300)]

    for i in range(300):
        server.set(f"n{i}.test", "A", f"192.0.2.{i % 250}")
    monkeypatch.setattr(asking, "_answered", counted)
    uvloop.run(main())
    assert most == MOST_AT_ONCE


def test_targets_that_no_configuration_could_name_are_no_nodes(server: DnsServer, nothing: Path) -> None:
    """A server somewhere must not make the gateway speak to a socket of its own machine."""
    bad = ("unix:/run/docker.sock.", "unix:/run/x.", "a\\032b.test.", "-a.test.", "a:80.", "1.2.3.")
    server.set("s.test", "SRV", *(f"0 1 80 {target}" for target in bad), "0 1 80 good.test.")
    assert look_up(client(server, nothing), ServiceName("s.test")).found == (Node("good.test", 80, 1, 0),)
    server.set("s.test", "SRV", *(f"0 1 80 {target}" for target in bad))
    with pytest.raises(OSError, match="no such service"):
        look_up(client(server, nothing), ServiceName("s.test"))


def test_one_target_with_a_port_and_without(server: DnsServer, nothing: Path) -> None:
    server.set("s.test", "SRV", "0 1 80 a.test.", "0 1 0 a.test.")
    assert look_up(client(server, nothing), ServiceName("s.test")).found == (Node("a.test", None, 1, 0), Node("a.test", 80, 1, 0))


def test_it_runs_on_the_other_loop_too(server: DnsServer, nothing: Path) -> None:
    server.set("a.test", "A", "192.0.2.1")
    server.truncating = True
    assert asyncio.run(client(server, nothing).look_up("a.test")).found == ("192.0.2.1",)
