"""The scenarios, in the order reports show them."""

from bench.scenarios import jwt_limit, limited, plain, unauthorized
from bench.scenarios.base import Scenario

SCENARIOS: dict[str, Scenario] = {room.SCENARIO.name: room.SCENARIO for room in (jwt_limit, plain, unauthorized, limited)}

__all__ = ["SCENARIOS", "Scenario"]
