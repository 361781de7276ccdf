"""ip-restriction's step: which addresses are in a list of networks, by a model; what a refusal says."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw import _core
from tests.support.core import ask, snapshot

GET = b"GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 10.0.0.1\r\nX-Real-IP: 10.0.0.1\r\n\r\n"
BODY = b'{"message":"no"}\n'
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def passes(address: str, *, allow: list[str] | None = None, deny: list[str] | None = None) -> bool:
    step = _core.IpRestrictionStep(allow or deny or [], admits=allow is not None, body=BODY)
    sent, got = ask(snapshot(step), GET, address=address)
    assert bool(sent) is (got[9:12] == b"200")
    return bool(sent)


def model(address: str, networks: list[str]) -> bool:
    """As APISIX has it: an address is looked for among networks of its own kind; a mapped one is IPv4."""

    def kind(network: Network) -> Network:
        mapped = ipaddress.IPv6Network("::ffff:0:0/96")
        if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(mapped):
            base = ipaddress.IPv4Address(int(network.network_address) & 0xFFFFFFFF)
            return ipaddress.IPv4Network((base, network.prefixlen - 96))
        return network

    own = kind(ipaddress.ip_network(address))
    return any(own.version == n.version and own.subnet_of(n) for n in (kind(ipaddress.ip_network(t, False)) for t in networks))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [
        ("192.0.2.1", ["192.0.2.1"], ["192.0.2.0", "192.0.2.2", "2001:db8::1"]),
        ("192.0.2.77/24", ["192.0.2.0", "192.0.2.255"], ["192.0.1.255", "192.0.3.0"]),
        ("192.0.2.8/31", ["192.0.2.8", "192.0.2.9"], ["192.0.2.7", "192.0.2.10"]),
        ("0.0.0.0/0", ["0.0.0.0", "255.255.255.255"], ["::", "2001:db8::1", "::1"]),
        ("0.0.0.0/1", ["127.255.255.255"], ["128.0.0.0"]),
        ("::/0", ["::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::fffe:ffff:ffff", "::1:0:0:0"], ["192.0.2.1", "0.0.0.0"]),
        ("::/80", ["::1", "::fffe:ffff:ffff"], ["192.0.2.1", "0.0.0.0"]),
        ("::1", ["::1"], ["::", "::2", "127.0.0.1"]),
        ("2001:db8::/33", ["2001:db8:7fff:ffff::"], ["2001:db8:8000::", "2001:db7:ffff::"]),
        ("2001:db8::1:0/112", ["2001:db8::1:ffff"], ["2001:db8::2:0"]),
        ("::ffff:192.0.2.0/120", ["192.0.2.7", "::ffff:192.0.2.7"], ["192.0.3.0"]),
    ],
)
def test_ends_of_networks(network: str, inside: list[str], outside: list[str]) -> None:
    for address in inside + outside:
        assert model(address, [network]) is (address in inside), address  # the model itself
        assert passes(address, allow=[network]) is (address in inside), address
        assert passes(address, deny=[network]) is (address not in inside), address


V4 = st.integers(0, 2**32 - 1).map(lambda n: str(ipaddress.IPv4Address(n)))
V6 = st.integers(0, 2**128 - 1).map(lambda n: str(ipaddress.IPv6Address(n)))
NETWORKS = st.lists(
    st.one_of(
        st.builds(lambda a, bits: f"{a}/{bits}", V4, st.integers(0, 32)),
        st.builds(lambda a, bits: f"{a}/{bits}", V6, st.integers(0, 128)),
        st.builds(lambda bits: f"::/{bits}", st.integers(0, 96)),
    ),
    min_size=1,
    max_size=8,
)


@given(NETWORKS, st.data())
def test_a_list_of_networks_holds_what_the_model_says(networks: list[str], data: st.DataObject) -> None:
    edges = [n for text in networks for n in (ipaddress.ip_network(text, False),)]
    near = [str(n[0] + d) for n in edges for d in (-1, 0, 1) if 0 <= int(n[0]) + d < 2**n.max_prefixlen]
    address = data.draw(st.one_of(st.sampled_from(near), V4, V6))
    assert passes(address, allow=networks) is model(address, networks)


def test_many_networks_become_few_ranges() -> None:
    assert len(_core._ip_ranges([f"10.{i}.0.0/16" for i in range(256)])) == 1
    assert len(_core._ip_ranges([f"10.{i}.0.0/17" for i in range(256)])) == 256
    many = [f"10.{i}.{j}.0/25" for i in range(100) for j in range(100)]
    for address, inside in (("10.50.50.1", True), ("10.50.50.200", False), ("9.255.255.255", False), ("10.99.99.127", True)):
        assert passes(address, allow=many) is inside


def test_the_answer_is_ours_to_choose() -> None:
    step = _core.IpRestrictionStep(["192.0.2.1"], admits=False, body=b'{"message":"go \\"away\\""}\n', status=404)
    sent, got = ask(snapshot(step), GET)
    assert sent == b""
    assert got.startswith(b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\n")
    assert got.endswith(b'\r\n\r\n{"message":"go \\"away\\""}\n')
