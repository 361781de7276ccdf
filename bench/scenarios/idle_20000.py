"""Twenty thousand clients that have asked once and stay connected, on one worker: do those who ask notice?

Asked at two rates. At 60 % of capacity the core that generator and upstream share is 91 to 95 % busy: what is waited for there
may be the load's own queue; 35 % leaves room. Both have the same bound. nginx stands beside, with and without, as a measure of
what the machine itself does with so many sockets.
"""

from dataclasses import replace

from bench.results import Target
from bench.scenarios.base import WITH_GATEWAYS, WITH_TOKEN, Entry, Open, Scenario, at_most

SCENARIO = Scenario(
    name="idle-20000",
    about=(
        "one worker in an open loop at 60 and 35 % of capacity, with 20,000 more client connections that have asked once and "
        "idle; calm: without them"
    ),
    entries=(
        Entry("fastgw", "fastgw", replace(WITH_GATEWAYS, idle=20_000), WITH_TOKEN),
        Entry("calm", "fastgw", WITH_GATEWAYS, WITH_TOKEN),
        Entry("nginx-plain", "nginx-plain", replace(WITH_GATEWAYS, idle=20_000), WITH_TOKEN),
        Entry("nginx-calm", "nginx-plain", WITH_GATEWAYS, WITH_TOKEN),
    ),
    drives=(Open("60%", 0.60, "calm"), Open("35%", 0.35, "calm")),
    figure="p99_us",
    reference="calm",
    targets=(
        *(at_most(f"calm {rate}", 1.50, "p99_us", f"fastgw {rate}") for rate in ("60%", "35%")),
        Target("fastgw 60%", None, 6.0, "idle_kib"),
    ),
    workers=1,
)
