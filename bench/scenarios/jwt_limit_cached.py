"""The main figure with verified tokens remembered, beside the same without."""

from dataclasses import replace

from bench.scenarios.base import WITH_GATEWAYS, WITH_TOKEN, Entry, Scenario, at_most, entries

REMEMBERING = replace(WITH_GATEWAYS, token_cache=1024)

SCENARIO = Scenario(
    name="jwt-limit-cached",
    about="as jwt-limit, with fastgw's cache of verified tokens on: every request but the first finds its token there",
    entries=(
        Entry("fastgw", "fastgw", REMEMBERING, WITH_TOKEN),
        Entry("fastgw-uncached", "fastgw", WITH_GATEWAYS, WITH_TOKEN),
        *entries("nginx-plain envoy-jwt-cached", WITH_GATEWAYS, WITH_TOKEN),
    ),
    targets=(at_most("nginx-plain", 1.00), at_most("fastgw-uncached", None)),
)
