"""The Redis members of limit plugins: what each policy needs, what a connection is told apart by, what stays secret."""

from dataclasses import fields, replace
from typing import Any, Literal

import pytest

from fastgw.admin.messages import reason
from fastgw.admin.redact import _info, _open
from fastgw.plugins.redis_fields import RedisConf, RedisCountConf, RedisSettings
from fastgw.schema.decode import faults_of


class Both(RedisConf, frozen=True, kw_only=True):
    """As limit-req and limit-conn have them."""

    policy: Literal["local", "redis", "redis-cluster"] = "local"


class All(RedisCountConf, frozen=True, kw_only=True):
    """As limit-count has them."""

    policy: Literal["local", "redis", "redis-cluster", "redis-sentinel"] = "local"
    time_window: int = 60


ONE = {"policy": "redis", "redis_host": "10.0.0.1"}
NODES = {"policy": "redis-cluster", "redis_cluster_nodes": ["10.0.0.1:7000", "[::1]:7001"], "redis_cluster_name": "c"}
WATCHED = {"policy": "redis-sentinel", "redis_sentinels": [{"host": "10.0.0.1", "port": 26379}], "redis_master_name": "m"}


def settings(**conf: Any) -> RedisSettings | None:
    decoded, faults = faults_of(conf, All)
    assert faults == []
    assert decoded is not None
    return decoded.redis_settings()


def test_the_policy_local_has_no_settings() -> None:
    assert settings() is None
    assert settings(redis_host="10.0.0.1") is None


def test_one_server() -> None:
    assert settings(**ONE) == RedisSettings("redis", (("10.0.0.1", 6379),))
    full = {"redis_port": 6380, "redis_username": "u", "redis_password": "p", "redis_database": 3, "redis_timeout": 250}
    kept = {"redis_ssl": True, "redis_ssl_verify": True, "redis_keepalive_timeout": 2000, "redis_keepalive_pool": 7}
    assert settings(**ONE, **full, **kept) == RedisSettings(
        "redis",
        (("10.0.0.1", 6380),),
        database=3,
        username="u",
        password="p",
        tls=True,
        verify=True,
        connect_timeout=0.25,
        read_timeout=0.25,
        idle=2.0,
        connections=7,
    )


def test_a_cluster() -> None:
    """A cluster has one database; `redis_ssl` is of one server."""
    given = settings(**NODES, redis_cluster_ssl=True, redis_cluster_ssl_verify=True, redis_password="p", redis_database=3)
    places = (("10.0.0.1", 7000), ("::1", 7001))
    assert given == RedisSettings("redis-cluster", places, name="c", password="p", tls=True, verify=True)


def test_sentinels() -> None:
    secret = {"redis_password": "p", "sentinel_username": "su", "sentinel_password": "sp"}
    times = {"redis_connect_timeout": 100, "redis_read_timeout": 200, "redis_timeout": 1}
    assert settings(**WATCHED, **secret, **times, redis_database=2) == RedisSettings(
        "redis-sentinel",
        (("10.0.0.1", 26379),),
        name="m",
        database=2,
        password="p",
        sentinel_username="su",
        sentinel_password="sp",
        connect_timeout=0.1,
        read_timeout=0.2,
        idle=60.0,
    )


@pytest.mark.parametrize("field", fields(RedisSettings), ids=lambda field: field.name)
def test_each_setting_tells_connections_apart(field: Any) -> None:
    """known-pains 2.6: a connection that another configuration made must not be taken for this one."""
    one = RedisSettings("redis", (("a", 1),), name="n")
    value = getattr(one, field.name)
    other = {"kind": "redis-cluster", "addresses": (("a", 2),)}.get(field.name)
    changed = other or (not value if isinstance(value, bool) else value + ("x" if isinstance(value, str) else 1))
    assert replace(one, **{field.name: changed}) != one
    assert hash(replace(one)) == hash(one)


def test_secrets_are_not_shown() -> None:
    secret = RedisSettings("redis", (("a", 1),), username="USER", password="PASS", sentinel_username="SU", sentinel_password="SP")
    for text in (repr(secret), str(secret), secret.label):
        assert not any(word in text for word in ("USER", "PASS", "SU", "SP"))
    conf = {**ONE, **WATCHED, "redis_password": "PASS", "sentinel_password": "SP", "redis_username": "u"}
    assert _open(_info(All), conf) == {**ONE, **WATCHED, "redis_username": "u"}
    assert "PASS" not in str(faults_of({**ONE, "redis_password": ["PASS"]}, All)[1])


def test_labels() -> None:
    assert settings(**ONE, redis_database=1).label == "redis 10.0.0.1:6379/1"  # type: ignore[union-attr]
    assert settings(**NODES).label == "redis-cluster c (10.0.0.1:7000, [::1]:7001)"  # type: ignore[union-attr]
    assert settings(**WATCHED).label == "redis-sentinel m (10.0.0.1:26379)"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("conf", "fault", "apisix"),
    [
        ({"policy": "redis"}, 'redis_host: missing; policy "redis" needs it', 'property "redis_host" is required'),
        (
            {"policy": "redis-cluster", "redis_cluster_name": "c"},
            'redis_cluster_nodes: missing; policy "redis-cluster" needs it',
            'property "redis_cluster_nodes" is required',
        ),
        (
            {"policy": "redis-cluster", "redis_cluster_nodes": ["a:1"]},
            'redis_cluster_name: missing; policy "redis-cluster" needs it',
            'property "redis_cluster_name" is required',
        ),
        (
            {"policy": "redis-sentinel", "redis_master_name": "m"},
            'redis_sentinels: missing; policy "redis-sentinel" needs it',
            'property "redis_sentinels" is required',
        ),
        (
            {"policy": "redis-sentinel", "redis_sentinels": [{"host": "a", "port": 1}]},
            'redis_master_name: missing; policy "redis-sentinel" needs it',
            'property "redis_master_name" is required',
        ),
        (
            {**NODES, "redis_cluster_nodes": ["a:1", "b"]},
            "redis_cluster_nodes[1]: expected 'host:port' with a port from 1 to 65535",
            None,
        ),
        (
            {**NODES, "redis_cluster_nodes": []},
            "redis_cluster_nodes: expected at least 1 item, found 0",
            'property "redis_cluster_nodes" validation failed: expect array to have at least 1 items',
        ),
        (
            {**ONE, "sync_interval": 0.05},
            "sync_interval: expected -1, or at least 0.1 seconds",
            "sync_interval should not be smaller than 0.1",
        ),
        (
            {**ONE, "sync_interval": 60},
            "sync_interval: expected less than time_window, which is 60",
            "sync_interval should be smaller than time_window",
        ),
        ({**ONE, "redis_host": "unix:/run/redis.sock"}, "redis_host: expected a host name or an IP address", None),
        (
            {**WATCHED, "redis_sentinels": [{"host": "unix:/run/redis.sock", "port": 1}]},
            "redis_sentinels[0].host: expected a host name or an IP address",
            None,
        ),
        ({**WATCHED, "redis_role": "slave"}, 'redis_role: expected "master", found "slave"', None),
        ({**ONE, "redis_timeout": 0}, "redis_timeout: expected at least 1, found 0", None),
        ({**ONE, "redis_keepalive_timeout": 999}, "redis_keepalive_timeout: expected at least 1000, found 999", None),
    ],
)
def test_a_fault_is_named(conf: dict[str, Any], fault: str, apisix: str | None) -> None:
    faults = faults_of({"time_window": 60, **conf}, All)[1]
    assert [str(each) for each in faults] == [fault]
    if apisix is not None:
        assert (faults[0].apisix or reason(faults[0])) == apisix


def test_an_interval_that_is_lawful() -> None:
    for interval in (-1, 0.1, 59.9):
        assert faults_of({**ONE, "time_window": 60, "sync_interval": interval}, All)[1] == []


def test_two_policies_for_the_others() -> None:
    assert [str(each) for each in faults_of(WATCHED, Both)[1]] == [
        'policy: expected one of "local", "redis", "redis-cluster", found "redis-sentinel"'
    ]
    assert faults_of(ONE, Both)[1] == faults_of(NODES, Both)[1] == []
