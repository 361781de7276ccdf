"""A good token of a consumer whose limit is used up: refused before the upstream is asked."""

from bench.peers.base import Claim
from bench.requests import Asking
from bench.scenarios.base import WITH_GATEWAYS, Scenario, at_most, entries
from bench.tokens import LIMITED, good

SCENARIO = Scenario(
    name="429",
    about="good token, limit used up, answered 429 (nginx-plain forwards it: the cost of a proxied request)",
    entries=entries(
        "fastgw nginx-plain nginx-lua haproxy-jwt envoy-jwt aiohttp fastapi",
        WITH_GATEWAYS,
        Asking(tokens=lambda: [good(LIMITED)]),
    ),
    status=429,
    refuses=Claim.LIMIT,
    targets=(at_most("nginx-plain", 0.50),),
)
