"""Two workers: what a second one costs and brings."""

from bench.scenarios.base import WITH_GATEWAYS, WITH_TOKEN, Scenario, at_most, entries

SCENARIO = Scenario(
    name="workers-2",
    about="as jwt-limit, two workers",
    entries=entries("fastgw nginx-plain nginx-lua haproxy-jwt envoy-jwt", WITH_GATEWAYS, WITH_TOKEN),
    workers=2,
    targets=(at_most("nginx-plain", 1.00),),
)
