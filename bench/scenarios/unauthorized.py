"""A well-formed token with a wrong signature: refused before the upstream is asked."""

from bench.peers.base import Claim
from bench.requests import Asking
from bench.scenarios.base import WITH_GATEWAYS, Scenario, at_most, entries
from bench.tokens import ORDINARY, tampered

SCENARIO = Scenario(
    name="401",
    about="wrong signature, answered 401 (nginx-plain forwards it: the cost of a proxied request)",
    entries=entries(
        "fastgw nginx-plain nginx-lua haproxy-jwt envoy-jwt aiohttp fastapi",
        WITH_GATEWAYS,
        Asking(tokens=lambda: [tampered(ORDINARY)]),
    ),
    status=401,
    refuses=Claim.JWT,
    targets=(at_most("nginx-plain", 0.50),),
)
