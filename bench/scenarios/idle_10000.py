"""Ten thousand clients that have asked once and stay connected, while 64 others ask."""

from dataclasses import replace

from bench.results import Target
from bench.scenarios.base import WITH_GATEWAYS, WITH_TOKEN, Entry, Scenario, at_most, entries

JOB = replace(WITH_GATEWAYS, idle=10_000)

SCENARIO = Scenario(
    name="idle-10000",
    about="as jwt-limit, with 10,000 more client connections that have asked once and idle; fastgw-64: without them",
    entries=(
        Entry("fastgw", "fastgw", JOB, WITH_TOKEN),
        Entry("fastgw-64", "fastgw", WITH_GATEWAYS, WITH_TOKEN),
        *entries("nginx-plain haproxy-jwt", JOB, WITH_TOKEN),
    ),
    targets=(
        Target("fastgw", None, 6.0, "idle_kib"),
        Target("fastgw-64", None, 45.0, "worker_rss_mib"),
        at_most("fastgw-64", None),
    ),
)
