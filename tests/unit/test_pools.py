"""Pools by address, the names and services that somebody has to look up, and what these stand for."""

import gc

from fastgw.pools import Pools, ServiceName
from fastgw.schema.upstream import Node

WEB = ServiceName("web.test:80")
NODE = Node("192.0.2.1", 80, 1, 0)


def test_a_pool_is_shared_while_somebody_has_it() -> None:
    pools = Pools()
    first = pools.at("192.0.2.1", 80)
    assert pools.at("192.0.2.1", 80) is first
    assert pools.at("192.0.2.1", 81) is not first
    socket = pools.unix("/run/a.sock")
    assert (pools.unix("/run/a.sock") is socket, socket.address) == (True, "unix:/run/a.sock")
    assert pools.names() == frozenset()


def test_names_are_followed_while_somebody_has_their_pool() -> None:
    pools = Pools()
    held = [pools.at("a.test", 80), pools.at("a.test", 81), pools.at("b.test", 80)]
    names = pools.names()
    assert names == {"a.test", "b.test"}
    assert pools.names() is names
    del held[1:]
    gc.collect()
    assert pools.names() == {"a.test"}
    held.clear()
    assert pools.names() == frozenset()


def test_the_addresses_of_a_name_are_pools_that_others_share() -> None:
    pools = Pools()
    name, literal = pools.at("a.test", 80), pools.at("192.0.2.1", 80)
    pools.set_addresses("a.test", ("192.0.2.1", "192.0.2.2"))
    second = pools.at("192.0.2.2", 80)
    assert pools.at("192.0.2.1", 80) is literal
    del literal, name
    gc.collect()
    assert pools.at("192.0.2.2", 80) is second
    later = pools.at("a.test", 80)  # what is known of the name is known still
    assert later.address == "a.test:80"


def test_services_are_followed_while_somebody_uses_them() -> None:
    pools = Pools()
    use, nodes = pools.service(WEB)
    assert (nodes, pools.names()) == ((), {WEB})
    pools.set_nodes(WEB, [NODE])
    assert pools.service(WEB) == (use, (NODE,))
    del use
    gc.collect()
    assert pools.names() == frozenset()
    again, nodes = pools.service(WEB)
    # Whoever looks it up may not have noticed that it was gone, and tells only what changes.
    assert (nodes, pools.names()) == ((NODE,), {WEB})
    assert again is not None


def test_what_is_followed_no_more_is_forgotten() -> None:
    """Services whose nodes are others every minute must not fill the memory."""
    pools, service = Pools(), ServiceName("s.test")
    pools.set_addresses("a.test", ("192.0.2.1",))
    pools.set_addresses("b.test", ("192.0.2.2",))
    pools.set_nodes(service, (Node("a.test", 80, 1, 0),))
    pools.keep({"a.test", service})
    assert pools._addresses == {"a.test": ("192.0.2.1",)}
    assert pools.service(service)[1] == (Node("a.test", 80, 1, 0),)
    pools.keep(())
    assert pools._addresses == {}
    assert pools.service(service)[1] == ()
