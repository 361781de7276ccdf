"""The cache of verified tokens where it cannot help: each request brings a token that it has forgotten."""

from bench.requests import Asking
from bench.scenarios.base import WITH_GATEWAYS, Entry, Scenario, at_most, entries
from bench.scenarios.jwt_limit_cached import REMEMBERING
from bench.tokens import ORDINARY, good

TOKENS = 16 * REMEMBERING.token_cache  # in rotation: far more than are remembered
ANOTHER_EACH_TIME = Asking(tokens=lambda: [good(ORDINARY, jti=f"{n:06}") for n in range(TOKENS)])

SCENARIO = Scenario(
    name="jwt-limit-miss",
    about=f"as jwt-limit, {TOKENS:,} tokens of one consumer in rotation: fastgw's cache of {REMEMBERING.token_cache:,} misses",
    entries=(
        Entry("fastgw", "fastgw", REMEMBERING, ANOTHER_EACH_TIME),
        Entry("fastgw-uncached", "fastgw", WITH_GATEWAYS, ANOTHER_EACH_TIME),
        *entries("nginx-plain nginx-lua haproxy-jwt", WITH_GATEWAYS, ANOTHER_EACH_TIME),
    ),
    targets=(
        at_most("nginx-plain", 1.00),
        at_most("nginx-lua", 0.90),
        at_most("haproxy-jwt", 0.65),
        at_most("fastgw-uncached", None),
    ),
)
