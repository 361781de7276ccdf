"""What a user waits: an open loop, latency from the moment a request was due."""

from bench.scenarios.base import WITH_GATEWAYS, WITH_TOKEN, Open, Scenario, at_most, entries

SCENARIO = Scenario(
    name="latency",
    about=(
        "as jwt-limit, in an open loop: at 50, 70 and 90 % of each peer's own capacity, "
        "and at one rate for all (common), 70 % of nginx-plain's capacity"
    ),
    entries=entries("fastgw nginx-plain nginx-lua haproxy-plain haproxy-jwt envoy-jwt", WITH_GATEWAYS, WITH_TOKEN),
    drives=(Open("common", 0.70, "nginx-plain"), Open("50%", 0.50), Open("70%", 0.70), Open("90%", 0.90)),
    figure="p99_us",
    targets=tuple(at_most("nginx-plain common", 1.00, figure, "fastgw common") for figure in ("p50_us", "p99_us")),
)
