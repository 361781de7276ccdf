"""Forwarding alone: no authentication, no limit."""

from bench.scenarios.base import PLAIN, Scenario

SCENARIO = Scenario(
    name="plain",
    about="no plugin; forwarded",
    job=PLAIN,
    peers=("fastgw", "nginx-plain", "haproxy-plain", "caddy-plain", "relay"),
)
