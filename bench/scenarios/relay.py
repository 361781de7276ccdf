"""The limit: a relay that only copies bytes, asked as often as the gateway.

A closed loop does not saturate the relay where load and upstream share a core: it would be compared while it
waits, and waiting costs wake-ups. At one rate for all, each does the same work in the same time.
"""

from bench.scenarios.base import WITH_GATEWAYS, WITH_TOKEN, Open, Scenario, at_most, entries

SCENARIO = Scenario(
    name="relay",
    about="as jwt-limit, in an open loop at one rate for all, 80 % of nginx-plain's capacity",
    entries=entries("fastgw nginx-plain relay", WITH_GATEWAYS, WITH_TOKEN),
    drives=(Open("", 0.80, "nginx-plain"),),
    targets=(at_most("relay", 1.35),),
)
