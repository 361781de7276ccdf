"""No keep-alive: every request comes on a connection of its own."""

from bench.requests import Asking
from bench.scenarios.base import WITH_GATEWAYS, Scenario, entries
from bench.tokens import ORDINARY, good

SCENARIO = Scenario(
    name="churn",
    about="as jwt-limit, with Connection: close, so that every request pays for a new connection to the gateway",
    entries=entries(
        "fastgw nginx-plain nginx-lua haproxy-plain haproxy-jwt envoy-jwt",
        WITH_GATEWAYS,
        Asking(tokens=lambda: [good(ORDINARY)], keep_alive=False),
    ),
)
