"""A tool that compares what it sent with what it gets finds nothing to do: values come back as they were, for every kind."""

from typing import Any

import pytest

from fastgw.admin.kinds import RESOURCES
from tests.support.certificates import certificate

from .conftest import Admin

NODES = {"127.0.0.1:80": 1}
PLUGINS = {"limit-count": {"count": 1, "time_window": 1}}
PATHS: dict[str, tuple[str, dict[str, Any]]] = {
    "routes": ("/routes/1", {"uri": "/", "upstream": {"nodes": NODES}, "plugins": {"jwt-auth": {}}}),
    "services": (
        "/services/1",
        {
            "upstream": {"nodes": [{"host": "a", "weight": 1}]},
            "plugins": {"limit-req": {"rate": 1, "burst": 0, "key": "remote_addr"}},
        },
    ),
    "upstreams": ("/upstreams/1", {"nodes": NODES, "timeout": {"connect": 1, "send": 1.5, "read": 1}, "keepalive_pool": {}}),
    "consumers": ("/consumers/john", {"username": "john", "plugins": {"key-auth": {"key": "k"}}}),
    "credentials": ("/consumers/owner/credentials/1", {"plugins": {"jwt-auth": {"key": "j", "secret": "s"}}}),
    "consumer_groups": ("/consumer_groups/1", {"plugins": PLUGINS}),
    "plugin_configs": ("/plugin_configs/1", {"plugins": {"ip-restriction": {"whitelist": ["::1"]}}}),
    "global_rules": ("/global_rules/1", {"plugins": {"request-id": {}}}),
    "plugin_metadata": ("/plugin_metadata/limit-count", {"limit_header": "X-Limit"}),
    "ssls": ("/ssls/1", {}),
    "secrets": ("/secrets/gcp/1", {"auth_config": {"client_email": "e", "private_key": "k", "project_id": "p"}}),
    "protos": ("/protos/1", {"content": "message A {}"}),
    "revocations": ("/revocations/1", {"jti": "j", "issued_before": 1, "expires": 2**40, "desc": "d"}),
}
GAINED = {"id", "create_time", "update_time"}
DIFFERENT = {"consumers": GAINED - {"id"}, "plugin_metadata": set()}  # what these gain
HIDDEN = {"ssls": {"key"}}  # private keys come back to nobody


@pytest.fixture(scope="module", autouse=True)
def owner(admin: Admin) -> None:
    admin.call("PUT", "/consumers", {"username": "owner"})


def test_every_kind_is_here() -> None:
    assert PATHS.keys() == RESOURCES.keys()


@pytest.mark.parametrize("kind", PATHS)
def test_what_comes_back_is_what_was_sent(admin: Admin, kind: str) -> None:
    path, sent = PATHS[kind]
    if kind == "ssls":
        cert, key = certificate("a.test")
        sent = {"sni": "a.test", "cert": cert, "key": key}
    expected = {name: value for name, value in sent.items() if name not in HIDDEN.get(kind, ())}
    for status in (201, 200):
        assert admin.call("PUT", path, sent).status == status
        answer = admin.call("GET", path)
        assert answer.status == 200
        value = answer.body["value"]
        assert value.keys() - sent.keys() == DIFFERENT.get(kind, GAINED)
        assert {name: member for name, member in value.items() if name in sent} == expected
        (listed,) = [row for row in admin.call("GET", path.rpartition("/")[0]).body["list"] if row["key"] == answer.body["key"]]
        assert listed == answer.body


def test_it_may_be_sent_back_without_its_times(admin: Admin) -> None:
    for kind, (path, _) in PATHS.items():
        if kind not in HIDDEN:
            value = admin.call("GET", path).body["value"]
            again = admin.call("PUT", path, {name: member for name, member in value.items() if not name.endswith("_time")})
            assert again.status == 200, (kind, again.body)
            assert {**again.body["value"], "update_time": 0} == {**value, "update_time": 0} or kind == "plugin_metadata"
