"""The scenarios, in the order reports show them."""

from bench.scenarios import (
    body_1k,
    body_10m,
    body_100k,
    changes,
    churn,
    consumers_1000,
    idle_10000,
    jwt_limit,
    jwt_limit_cached,
    jwt_limit_miss,
    latency,
    limited,
    plain,
    relay,
    routes_10000,
    unauthorized,
    upload_100k,
    workers_2,
)
from bench.scenarios.base import Scenario

ROOMS = (
    jwt_limit,
    jwt_limit_cached,
    jwt_limit_miss,
    relay,
    plain,
    unauthorized,
    limited,
    consumers_1000,
    routes_10000,
    body_1k,
    body_100k,
    body_10m,
    upload_100k,
    churn,
    idle_10000,
    workers_2,
    latency,
    changes,
)
SCENARIOS: dict[str, Scenario] = {room.SCENARIO.name: room.SCENARIO for room in ROOMS}

__all__ = ["SCENARIOS", "Scenario"]
