"""Many callers: each with a key, a secret and a limit of its own, taking turns."""

from dataclasses import replace

from bench.requests import Asking
from bench.scenarios.base import WITH_GATEWAYS, WITH_TOKEN, Entry, Scenario, at_most, entries
from bench.tokens import LIMITED, LIMITED_TOO, crowd, good

CROWD = crowd(1000)
JOB = replace(WITH_GATEWAYS, consumers=(*CROWD, LIMITED, LIMITED_TOO))
IN_TURN = Asking(tokens=lambda: [good(consumer) for consumer in CROWD])

SCENARIO = Scenario(
    name="consumers-1000",
    about="as jwt-limit with 1,000 consumers, each request from the next one; fastgw-1: the same gateway with one consumer",
    entries=(
        Entry("fastgw", "fastgw", JOB, IN_TURN),
        Entry("fastgw-1", "fastgw", WITH_GATEWAYS, WITH_TOKEN),
        *entries("nginx-plain nginx-lua haproxy-jwt", JOB, IN_TURN),
    ),
    targets=(at_most("fastgw-1", 1.10),),
)
