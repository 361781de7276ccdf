"""Five thousand clients that never finish their heads, dripping: what do honest ones wait?"""

from dataclasses import replace

from bench.scenarios.base import WITH_GATEWAYS, WITH_TOKEN, Entry, Open, Scenario, at_most

SCENARIO = Scenario(
    name="slowloris",
    about=(
        "one worker in an open loop at 60 % of capacity, with 5,000 half heads that are dripped on and opened anew when cut; "
        "calm: without them"
    ),
    entries=(
        Entry("fastgw", "fastgw", replace(WITH_GATEWAYS, half_heads=5000), WITH_TOKEN),
        Entry("calm", "fastgw", WITH_GATEWAYS, WITH_TOKEN),
    ),
    drives=(Open("", 0.60, "calm"),),
    figure="p99_us",
    reference="calm",
    targets=(at_most("calm", 1.50, "p99_us"),),
    workers=1,
)
