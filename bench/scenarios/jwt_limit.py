"""The main figure: authenticate by JWT, count, forward."""

from bench.scenarios.base import WITH_GATEWAYS, WITH_TOKEN, Scenario, at_most, entries

SCENARIO = Scenario(
    name="jwt-limit",
    about="HS256 token verified each time, request counted against a limit that is never reached, forwarded",
    entries=entries(
        "fastgw nginx-plain nginx-lua haproxy-plain haproxy-jwt envoy-jwt caddy-plain relay aiohttp fastapi",
        WITH_GATEWAYS,
        WITH_TOKEN,
    ),
    targets=(
        at_most("nginx-plain", 1.00),
        at_most("nginx-lua", 0.90),
        at_most("haproxy-jwt", 0.65),
        at_most("envoy-jwt", 0.30),
        at_most("relay", None),  # judged at an equal rate: scenario relay
    ),
)
