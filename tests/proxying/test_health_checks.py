"""Active checks from outside: who is probed and how, who is passed over, what the Control API tells, what state outlives."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.proxying.nodes import asked, to
from tests.support.certificates import Authority
from tests.support.checked import NEUTRAL, PATH, SILENT, Checking, Node, checks
from tests.support.dns import DnsServer
from tests.support.gateway import free_addresses
from tests.support.tls import server_context
from tests.support.waiting import until
from tests.support.wire import Address

CA = Authority()


@contextlib.contextmanager
def two(**where: Any) -> Iterator[tuple[Node, Node]]:
    with Node("a", **where) as one, Node("b", **where) as other:
        yield one, other


def nodes(*each: Node) -> dict[str, int]:
    return {str(node.address): 1 for node in each}


def serving(gateway: Checking, count: int = 8) -> set[str]:
    return {asked(gateway) for _ in range(count)}


# -- by HTTP and TCP ---------------------------------------------------------------------------------


def test_a_node_that_fails_its_check_is_out_and_comes_back(directory: Path) -> None:
    with two() as (a, b), Checking(directory, to(nodes(a, b), checks=checks())) as gateway:
        assert serving(gateway) == {"a", "b"}
        b.status = 503
        gateway.wait_for("routes/r", b.address, "unhealthy")
        assert serving(gateway) == {"a"}
        b.probed()
        assert gateway.counters("routes/r", b.address)["http_failure"] == 1  # beyond doubt: nothing more is counted
        b.status = 200
        gateway.wait_for("routes/r", b.address, "healthy")
        assert serving(gateway) == {"a", "b"}
        until(lambda: f"routes/r: node {b.address} is healthy" in gateway.log(), "the log tells of it")
        assert gateway.log().count(f"routes/r: node {b.address} is unhealthy") == 1
        assert f"node {a.address} is" not in gateway.log()


def test_where_all_are_out_all_serve(directory: Path) -> None:
    with two() as (a, b), Checking(directory, to(nodes(a, b), checks=checks())) as gateway:
        a.status = b.status = 500
        for node in (a, b):
            gateway.wait_for("routes/r", node.address, "unhealthy")
        assert serving(gateway) == {"a", "b"}
        b.status = 200
        gateway.wait_for("routes/r", b.address, "healthy")
        assert serving(gateway) == {"b"}


def test_a_single_node_is_checked_and_serves_all_the_same(directory: Path) -> None:
    with Node("a") as a, Checking(directory, to(nodes(a), checks=checks())) as gateway:
        a.status = 500
        gateway.wait_for("routes/r", a.address, "unhealthy")
        assert serving(gateway) == {"a"}


def test_exactly_the_threshold_decides_and_each_kind_is_counted_for_itself(directory: Path) -> None:
    conf = checks(unhealthy={"http_failures": 2, "timeouts": 2}, healthy={"successes": 2})
    with two() as (a, b), Checking(directory, to(nodes(a, b), checks=conf)) as gateway:

        def count(result: int, counter: str, expected: int, state: str) -> None:
            b.next.append(result)  # to one probe; those before and after it say nothing
            until(lambda: gateway.counters("routes/r", b.address)[counter] == expected, f"{counter} is {expected}")
            assert gateway.states("routes/r")[str(b.address)] == state

        b.status = NEUTRAL
        b.probed()
        count(500, "http_failure", 1, "mostly_healthy")
        assert serving(gateway) == {"a", "b"}
        count(SILENT, "timeout_failure", 1, "mostly_healthy")  # another kind: not the second
        count(500, "http_failure", 2, "unhealthy")
        assert serving(gateway) == {"a"}
        count(200, "success", 1, "mostly_unhealthy")
        assert gateway.counters("routes/r", b.address)["http_failure"] == 0
        assert serving(gateway) == {"a"}
        count(200, "success", 2, "healthy")
        assert serving(gateway) == {"a", "b"}


def test_a_node_that_does_not_answer_in_time(directory: Path) -> None:
    with two() as (a, b), Checking(directory, to(nodes(a, b), checks=checks())) as gateway:
        b.status = SILENT
        gateway.wait_for("routes/r", b.address, "unhealthy")
        assert gateway.counters("routes/r", b.address)["timeout_failure"] == 1
        assert serving(gateway) == {"a"}


def test_by_tcp_it_is_enough_to_connect(directory: Path) -> None:
    (free,) = free_addresses(1)
    with Node("a") as a, contextlib.ExitStack() as stack:
        b = stack.enter_context(Node("b", port=free.port))
        with Checking(directory, to(nodes(a, b), checks=checks(type="tcp"))) as gateway:
            b.status = 500  # nobody asks
            assert serving(gateway) == {"a", "b"}
            stack.close()
            gateway.wait_for("routes/r", free, "unhealthy")
            assert gateway.counters("routes/r", free)["tcp_failure"] == 1
            assert serving(gateway) == {"a"}
            with Node("b", port=free.port):
                gateway.wait_for("routes/r", free, "healthy")
                assert serving(gateway) == {"a", "b"}
            assert a.probes == []


def test_a_probe_is_what_was_asked_for(directory: Path) -> None:
    """Method, path, headers, body, who is asked for; and the port, which may be another one than that of requests."""
    fields = ["User-Agent: curl/8", "X-Probe:  yes ", "Connection: keep-alive"]
    conf = checks(host="health.example", req_headers=fields, http_method="POST", http_path=f"{PATH}?deep=1", http_req_body="ping")
    with Node("a") as a, Node("p") as probed, Checking(directory, to(nodes(a))) as gateway:
        probed.answers = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        conf["active"]["port"] = probed.address.port
        gateway.put("upstreams/1", {"nodes": nodes(a), "checks": conf})
        until(lambda: probed.received and b"ping" in probed.received[0], "it is probed")
        head = b"POST /healthz?deep=1 HTTP/1.1\r\nHost: health.example\r\nUser-Agent: curl/8\r\nX-Probe: yes\r\n"
        assert bytes(probed.received[0]) == head + b"Content-Length: 4\r\nConnection: close\r\n\r\nping"
        assert list(gateway.states("upstreams/1")) == [str(probed.address)]
        assert gateway.control("/upstreams/1")[1]["nodes"][0]["hostname"] == "health.example"
        gateway.put("upstreams/1", {"nodes": nodes(a), "checks": checks(), "pass_host": "rewrite", "upstream_host": "u.example"})
        a.probed()
        assert a.probes[0] == b"GET /healthz HTTP/1.1\r\nHost: u.example\r\nUser-Agent: fastgw\r\nConnection: close\r\n\r\n"


def test_unix_sockets_are_checked(directory: Path) -> None:
    path = directory / "node.sock"
    with Node("u", path=path) as node, Node("a") as a, Checking(directory, to(nodes(a))) as gateway:
        upstream = {"nodes": {f"unix:{path}": 1, **nodes(a)}, "checks": checks()}
        gateway.put("routes/r", {"uri": "/*", "upstream": upstream})
        node.probed()
        assert b"Host: localhost\r\n" in node.probes[0]
        node.status = 500
        until(lambda: gateway.states("routes/r")[f"unix:{path}:0"] == "unhealthy", "it is out")
        assert serving(gateway) == {"a"}


# -- by TLS ------------------------------------------------------------------------------------------


class Secure(Node):
    """A node that speaks TLS with a certificate for `names`; `asked_for` are the server names it was asked for."""

    def __init__(self, name: str, *names: str) -> None:
        super().__init__(name)
        self.context = server_context(*CA.issue(*names))
        self.asked_for: set[str | None] = set()
        self.context.sni_callback = lambda sock, name, _: self.asked_for.add(name)

    def talk(self, sock: socket.socket, index: int) -> None:
        try:
            shaken = self.context.wrap_socket(sock, server_side=True)
        except (ssl.SSLError, ConnectionError):
            return
        with contextlib.closing(shaken), contextlib.suppress(ssl.SSLError):
            super().talk(shaken, index)


def test_by_https_the_certificate_is_verified_for_who_is_asked_for(directory: Path) -> None:
    (directory / "trusted.pem").write_text(CA.pem)
    with Secure("a", "a.example") as a, Secure("b", "127.0.0.1") as b, Node("p") as plain:
        config: dict[str, Any] = to(nodes(a)) | {"tls": {"trusted_certificate": str(directory / "trusted.pem")}}
        with Checking(directory, config) as gateway:
            for id, more in (("named", {"host": "a.example"}), ("address", {}), ("blind", {"https_verify_certificate": False})):
                conf = checks(type="https", **more)
                gateway.put(f"upstreams/{id}", {"scheme": "https", "nodes": nodes(a, b, plain), "checks": conf})
            states = {
                "named": ("healthy", "unhealthy", "unhealthy"),
                "address": ("unhealthy", "healthy", "unhealthy"),
                "blind": ("healthy", "healthy", "unhealthy"),
            }
            for id, expected in states.items():
                for node, state in zip((a, b, plain), expected, strict=True):
                    if state == "unhealthy":
                        gateway.wait_for(f"upstreams/{id}", node.address, state)
            a.probed(4)  # by both that reach it, more than once
            for id, expected in states.items():
                assert tuple(gateway.states(f"upstreams/{id}").values()) == expected
            assert gateway.counters("upstreams/named", b.address)["tcp_failure"] == 1
            assert a.asked_for == {"a.example", None}


def test_whom_a_reload_trusts_is_trusted_by_checks_as_well(directory: Path) -> None:
    before, now = directory / "before.pem", directory / "now.pem"
    before.write_text(Authority("before").pem)
    now.write_text(CA.pem)
    with Secure("a", "a.example") as a:
        config: dict[str, Any] = to(nodes(a))
        with Checking(directory, config | {"tls": {"trusted_certificate": str(before)}}) as gateway:
            conf = checks(type="https", host="a.example")
            gateway.put("upstreams/a", {"scheme": "https", "nodes": nodes(a), "checks": conf})
            gateway.wait_for("upstreams/a", a.address, "unhealthy")
            control = gateway.config["control"]
            gateway.reload(config | {"control": control, "tls": {"trusted_certificate": str(now)}})
            gateway.wait_for("upstreams/a", a.address, "healthy")


# -- what state outlives -----------------------------------------------------------------------------


def test_state_outlives_edits_reloads_and_the_death_of_any_process(directory: Path) -> None:
    """While probes say nothing, nothing but what is remembered takes the node out."""
    conf = checks()
    with two() as (a, b), Node("c") as c:
        config = to(nodes(a, b), checks=conf) | {"workers": 2}
        with Checking(directory, config) as gateway:
            b.status = 500
            gateway.wait_for("routes/r", b.address, "unhealthy")
            b.status = NEUTRAL

            def is_out(*others: str) -> None:
                assert serving(gateway, 12) == {"a", *others}
                assert gateway.states("routes/r")[str(b.address)] == "unhealthy"

            is_out()
            gateway.kill_worker(gateway.workers()[0])
            is_out()
            (admin,) = gateway.pids("admin")
            os.kill(admin, signal.SIGKILL)
            assert serving(gateway, 12) == {"a"}
            gateway.wait_for("routes/r", b.address, "unhealthy")
            gateway.reload(config | {"server_tokens": False})
            gateway.wait_for("routes/r", b.address, "unhealthy")
            is_out()
            gateway.put("routes/r", {"uri": "/*", "upstream": {"nodes": nodes(a, b, c), "checks": conf}})
            is_out("c")
            gateway.put("routes/r", {"uri": "/*", "upstream": {"nodes": nodes(b, c) | {str(a.address): 5}, "checks": conf}})
            is_out("c")
            conf = checks(healthy={"http_statuses": [200, NEUTRAL]})
            gateway.put("routes/r", {"uri": "/*", "upstream": {"nodes": nodes(a, b, c), "checks": conf}})
            gateway.wait_for("routes/r", b.address, "healthy")
            assert serving(gateway, 12) == {"a", "b", "c"}


def test_probes_end_with_what_asked_for_them(directory: Path) -> None:
    with Node("a") as a, contextlib.ExitStack() as stack, Checking(directory, to(nodes(a), checks=checks())) as gateway:
        others = [stack.enter_context(Node(name)) for name in "bcd"]
        for id, node in enumerate(others):
            gateway.put(f"upstreams/{id}", {"nodes": nodes(node), "checks": checks()})
        for node in others:
            node.probed()
        gateway.put("upstreams/0", {"nodes": nodes(others[0])})
        gateway.put("upstreams/1", {"nodes": nodes(a), "checks": checks()})
        gateway.api("DELETE", "upstreams/2")
        a.probed(2)  # what was under way has come
        seen = [len(node.probes) for node in others]
        a.probed(4)
        assert [len(node.probes) for node in others] == seen


# -- names -------------------------------------------------------------------------------------------


def test_each_address_of_a_name_is_checked_for_itself(directory: Path) -> None:
    with DnsServer() as dns, Node("2", host="127.0.0.2") as one:
        port = one.address.port
        with Node("3", host="127.0.0.3", port=port) as other, Node("4", host="127.0.0.4", port=port):
            dns.set("app.test", "A", "127.0.0.2", "127.0.0.3", ttl=1)
            config = {"dns_resolver": [str(dns.address)], **to({f"app.test:{port}": 1}, checks=checks())}
            with Checking(directory, config) as gateway:
                one.probed()
                assert b"Host: app.test\r\n" in one.probes[0]
                assert serving(gateway) == {"2", "3"}
                other.status = 500
                gateway.wait_for("routes/r", other.address, "unhealthy")
                assert serving(gateway) == {"2"}
                dns.set("app.test", "A", "127.0.0.3", "127.0.0.4", ttl=1)
                until(lambda: list(gateway.states("routes/r")) == [f"127.0.0.{i}:{port}" for i in (3, 4)], "the new addresses")
                until(lambda: serving(gateway) == {"4"}, "the new address serves, and no other")
                other.status = 200
                gateway.wait_for("routes/r", other.address, "healthy")
                assert serving(gateway) == {"3", "4"}


# -- the Control API ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Checking, Address, Address]]:
    """A gateway with checks in a route, a service and an upstream: one node is well, one is not."""
    (dead,) = free_addresses(1)
    with Node("a") as a, Checking(tmp_path_factory.mktemp("told"), to(nodes(a), checks=checks())) as gateway:
        both = {**nodes(a), str(dead): 1}
        gateway.put("services/s", {"upstream": {"nodes": both, "checks": checks(type="tcp")}})
        gateway.put("upstreams/1", {"nodes": both, "checks": checks(host="h.example")})
        gateway.put("upstreams/2", {"nodes": both})
        gateway.put("routes/off", {"uri": "/off", "status": 0, "upstream": {"nodes": both, "checks": checks()}})
        for owner in ("services/s", "upstreams/1"):
            gateway.wait_for(owner, dead, "unhealthy")
        yield gateway, a.address, dead


def entry(owner: str, type_: str, *each: dict[str, Any]) -> dict[str, Any]:
    return {"name": f"/apisix/{owner}", "type": type_, "nodes": list(each)}


def node(address: Address, status: str, hostname: str | None = None, **counted: int) -> dict[str, Any]:
    counter = {"success": 0, "http_failure": 0, "tcp_failure": 0, "timeout_failure": 0, **counted}
    return {"ip": address.host, "port": address.port, "hostname": hostname or address.host, "status": status, "counter": counter}


def test_all_checkers_are_told(told: tuple[Checking, Address, Address]) -> None:
    gateway, well, dead = told
    status, body = gateway.control("")
    assert status == 200
    assert body == [
        entry("routes/r", "http", node(well, "healthy")),
        entry("routes/off", "http"),  # it serves nobody, so nobody is asked
        entry("services/s", "tcp", node(well, "healthy"), node(dead, "unhealthy", tcp_failure=1)),
        entry("upstreams/1", "http", node(well, "healthy", "h.example"), node(dead, "unhealthy", "h.example", tcp_failure=1)),
    ]


def test_one_checker_is_told(told: tuple[Checking, Address, Address]) -> None:
    gateway, well, dead = told
    expected = entry("services/s", "tcp", node(well, "healthy"), node(dead, "unhealthy", tcp_failure=1))
    assert gateway.control("/services/s") == (200, expected)
    assert gateway.control("/upstreams/2") == (404, {"error_msg": "no checker for upstreams[2]"})
    assert gateway.control("/upstreams/3") == (404, {"error_msg": "upstreams[3] not found"})


def test_people_get_a_page(told: tuple[Checking, Address, Address]) -> None:
    gateway, well, dead = told
    for target in ("", "/upstreams/1"):
        status, page = gateway.control(target, Accept="text/html,*/*")
        assert (status, page.count("<th>")) == (200, 9)
        assert f"<td>/apisix/upstreams/1</td><td>http</td><td>{well}</td><td>healthy</td>" in page
        assert re.search(rf'<tr bgcolor="#FF0000"><td>\d</td><td>/apisix/upstreams/1</td><td>http</td><td>{dead}</td>', page)
