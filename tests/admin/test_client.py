"""A client library written for APISIX, `apisix-client` from PyPI, unchanged and against a running gateway."""

from collections.abc import Iterator
from typing import Any

import pytest
from apisix_client import ApisixClient
from apisix_client.consumer.models import Consumer
from apisix_client.plugin.models.authentication.key_auth import KeyAuth, KeyAuthSettings
from apisix_client.route.models import Route
from apisix_client.service.models import Service
from apisix_client.upstream.models import Node, Upstream

from tests.support.gateway import ADMIN_KEY, Gateway
from tests.support.wire import Address


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("client")) as running:
        yield running


@pytest.fixture
def client(gateway: Gateway) -> Iterator[ApisixClient]:
    made = ApisixClient(f"{gateway.admin.url}/", ADMIN_KEY)
    yield made
    made._httpx_client.close()


@pytest.mark.parametrize(
    ("kind", "first", "second", "member"),
    [
        ("route", Route(uri="/one", plugins=[]), Route(uri="/two", plugins=[]), "uri"),
        ("service", Service(desc="one"), Service(desc="two"), "desc"),
        ("upstream", Upstream(desc="one", nodes=[Node("a", 1, 80)]), Upstream(desc="two", nodes=[Node("a", 1, 80)]), "desc"),
    ],
    ids=["route", "service", "upstream"],
)
def test_objects_with_ids(client: ApisixClient, kind: str, first: Any, second: Any, member: str) -> None:
    of_kind = getattr(client, kind)
    assert of_kind.count() == 0
    assert of_kind.get_all() == ()
    made = of_kind.create_with_id_generation(first)
    assert made is not None
    assert of_kind.create_or_update(first, "mine") == "mine"
    assert of_kind.create_or_update(second, "mine") == "mine"
    assert getattr(of_kind.get("mine").value, member) == getattr(second, member)
    assert of_kind.get("mine").value.create_time.year > 2000
    assert of_kind.get("mine").modified_index > of_kind.get("mine").created_index > 0
    listed = of_kind.get_all()
    assert [each.value.id for each in listed] == [made, "mine"]
    assert of_kind.get_all((1, 10)) == listed
    assert of_kind.count() == 2
    assert of_kind.delete(made)
    assert of_kind.delete("mine")
    assert not of_kind.delete("mine")
    assert of_kind.get("mine") is None
    assert of_kind.count() == 0


def test_consumers(client: ApisixClient) -> None:
    assert client.consumer.create_or_update(Consumer("john", desc="one"))
    assert client.consumer.create_or_update(Consumer("john", desc="two"))
    assert not client.consumer.create_or_update(Consumer("no such name"))
    assert client.consumer.get("john").value.desc == "two"
    assert [each.value.username for each in client.consumer.get_all()] == ["john"]
    assert client.consumer.count() == 1
    assert client.consumer.delete("john")
    assert client.consumer.get("john") is None
    assert not client.consumer.delete("john")


def test_what_it_makes_serves(gateway: Gateway, client: ApisixClient, echo: Address) -> None:
    client.upstream.create_or_update(Upstream(nodes=[Node(echo.host, 1, echo.port)]), "u")
    client.service.create_or_update(Service(upstream_id="u"), "s")
    client.route.create_or_update(Route(uri="/anything", service_id="s", plugins=[KeyAuthSettings()]), "r")
    client.consumer.create_or_update(Consumer("john", plugins=[KeyAuth("john-key")]))
    assert gateway.get("/anything").status == 401
    assert gateway.get("/anything", headers={"apikey": "john-key"}).json()["headers"]["X-Consumer-Username"] == "john"
    client.consumer.delete("john")
    assert gateway.get("/anything", headers={"apikey": "john-key"}).status == 401
    client.route.delete("r")
    assert gateway.get("/anything").status == 404
