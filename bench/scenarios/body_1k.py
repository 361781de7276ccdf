"""Answers of 1 KB."""

from dataclasses import replace

from bench.scenarios.base import WITH_GATEWAYS, WITH_TOKEN, Scenario, at_most, entries

SCENARIO = Scenario(
    name="body-1k",
    about="as jwt-limit, with a body of 1 KB in the answer",
    entries=entries(
        "fastgw nginx-plain nginx-lua haproxy-plain haproxy-jwt relay",
        replace(WITH_GATEWAYS, answer_bytes=1_000),
        WITH_TOKEN,
    ),
    targets=(at_most("haproxy-jwt", None), at_most("haproxy-plain", None)),
)
