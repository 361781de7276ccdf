"""A well-formed token with a wrong signature: refused before the upstream is asked."""

from functools import partial

from bench.peers.base import Claim
from bench.scenarios.base import WITH_GATEWAYS, Scenario
from bench.tokens import ORDINARY, tampered

SCENARIO = Scenario(
    name="401",
    about="wrong signature, answered 401 (nginx-plain forwards it: the cost of a proxied request)",
    job=WITH_GATEWAYS,
    peers=("fastgw", "nginx-plain", "nginx-lua", "haproxy-jwt", "envoy-jwt", "aiohttp", "fastapi"),
    token=partial(tampered, ORDINARY),
    status=401,
    refuses=Claim.JWT,
    targets={"nginx-plain": 0.50},
)
