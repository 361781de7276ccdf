"""The scenarios, in the order reports show them."""

from bench.scenarios import (
    body_1k,
    body_10m,
    body_100k,
    changes,
    churn,
    consumers_1000,
    everyday,
    handshakes,
    https,
    idle_10000,
    idle_20000,
    jwt_limit,
    jwt_limit_cached,
    jwt_limit_miss,
    jwt_public_keys,
    latency,
    limited,
    plain,
    relay,
    routes_10000,
    slowloris,
    unauthorized,
    upload_100k,
    workers_2,
)
from bench.scenarios.base import Scenario

FIRST = (jwt_limit, jwt_limit_cached, jwt_limit_miss)
LATER = (
    relay,
    plain,
    unauthorized,
    limited,
    everyday,
    consumers_1000,
    routes_10000,
    body_1k,
    body_100k,
    body_10m,
    upload_100k,
    churn,
    https,
    handshakes,
    idle_10000,
    idle_20000,
    slowloris,
    workers_2,
    latency,
    changes,
)
IN_ORDER = (*(room.SCENARIO for room in FIRST), *jwt_public_keys.SCENARIOS, *(room.SCENARIO for room in LATER))
SCENARIOS: dict[str, Scenario] = {one.name: one for one in IN_ORDER}

__all__ = ["SCENARIOS", "Scenario"]
