"""Forwarding alone: no authentication, no limit."""

from bench.scenarios.base import PLAIN, WITHOUT_TOKEN, Scenario, at_most, entries

SCENARIO = Scenario(
    name="plain",
    about="no plugin; forwarded",
    entries=entries("fastgw nginx-plain haproxy-plain caddy-plain relay", PLAIN, WITHOUT_TOKEN),
    targets=(at_most("nginx-plain", 1.00),),
)
