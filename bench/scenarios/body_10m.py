"""Answers of 10 MB."""

from dataclasses import replace

from bench.scenarios.base import WITH_GATEWAYS, WITH_TOKEN, Scenario, at_most, entries

SCENARIO = Scenario(
    name="body-10m",
    about="as jwt-limit, with a body of 10 MB in the answer",
    entries=entries(
        "fastgw nginx-plain nginx-lua haproxy-plain haproxy-jwt relay",
        replace(WITH_GATEWAYS, answer_bytes=10_000_000),
        WITH_TOKEN,
    ),
    connections=4,  # each holds a whole body on its way when the time is up: few, so that few are half done
    targets=(at_most("haproxy-jwt", 0.70), at_most("haproxy-plain", None)),
)
