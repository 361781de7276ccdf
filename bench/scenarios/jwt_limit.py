"""The main figure: authenticate by JWT, count, forward."""

from functools import partial

from bench.scenarios.base import WITH_GATEWAYS, Scenario
from bench.tokens import ORDINARY, good

SCENARIO = Scenario(
    name="jwt-limit",
    about="HS256 token verified, request counted against a limit that is never reached, forwarded",
    job=WITH_GATEWAYS,
    peers=(
        "fastgw",
        "nginx-plain",
        "nginx-lua",
        "haproxy-plain",
        "haproxy-jwt",
        "envoy-jwt",
        "envoy-jwt-cached",
        "caddy-plain",
        "relay",
        "aiohttp",
        "fastapi",
    ),
    token=partial(good, ORDINARY),
    targets={"nginx-plain": 1.00, "nginx-lua": 0.90, "haproxy-jwt": 0.65, "envoy-jwt": 0.30, "relay": 1.35},
)
