"""The configuration changes while requests come: does the tail show it?"""

from dataclasses import replace

from bench.results import Target
from bench.scenarios.base import WITH_GATEWAYS, WITH_TOKEN, Entry, Open, Scenario, at_most

PER_SECOND = 10
WRITE_MS = 50  # what a client waits at most, in the median, until every worker serves its write

SCENARIO = Scenario(
    name="changes",
    about=(
        "10,000 routes, in an open loop at 60 % of capacity: with 10 routes a second put by the Admin API (changing), "
        "and without (calm)"
    ),
    entries=(Entry("fastgw", "fastgw", replace(WITH_GATEWAYS, routes=10_000), WITH_TOKEN),),
    drives=(Open("calm", 0.60), Open("changing", 0.60, changes=PER_SECOND)),
    figure="p99_us",
    reference="fastgw calm",
    targets=(
        at_most("fastgw calm", 1.20, "p99_us", "fastgw changing"),
        Target("fastgw changing", None, 0.95 * PER_SECOND, "changes_per_second", at_least=True),
        Target("fastgw changing", None, WRITE_MS, "change_p50_ms"),
    ),
)
