"""A good token of a consumer whose limit is used up: refused before the upstream is asked."""

from functools import partial

from bench.peers.base import Claim
from bench.scenarios.base import WITH_GATEWAYS, Scenario
from bench.tokens import LIMITED, good

SCENARIO = Scenario(
    name="429",
    about="good token, limit used up, answered 429 (nginx-plain forwards it: the cost of a proxied request)",
    job=WITH_GATEWAYS,
    peers=("fastgw", "nginx-plain", "nginx-lua", "haproxy-jwt", "envoy-jwt", "aiohttp", "fastapi"),
    token=partial(good, LIMITED),
    status=429,
    refuses=Claim.LIMIT,
    targets={"nginx-plain": 0.50},
)
