"""Twenty thousand clients that have asked once and stay connected, on one worker: do those who ask notice?

The rate leaves room on the core that generator and upstream share. At 60 % of capacity that one is 91 to 95 % busy: what is
waited for then is the load's own queue, which any disturbance makes a hundred times longer, and not the gateway. nginx stands
beside, with and without, as a measure of what the machine itself does with so many sockets.
"""

from dataclasses import replace

from bench.results import Target
from bench.scenarios.base import WITH_GATEWAYS, WITH_TOKEN, Entry, Open, Scenario, at_most

SCENARIO = Scenario(
    name="idle-20000",
    about=(
        "one worker in an open loop at 35 % of capacity, with 20,000 more client connections that have asked once and idle; "
        "calm: without them"
    ),
    entries=(
        Entry("fastgw", "fastgw", replace(WITH_GATEWAYS, idle=20_000), WITH_TOKEN),
        Entry("calm", "fastgw", WITH_GATEWAYS, WITH_TOKEN),
        Entry("nginx-plain", "nginx-plain", replace(WITH_GATEWAYS, idle=20_000), WITH_TOKEN),
        Entry("nginx-calm", "nginx-plain", WITH_GATEWAYS, WITH_TOKEN),
    ),
    drives=(Open("", 0.35, "calm"),),
    figure="p99_us",
    reference="calm",
    targets=(
        at_most("calm", 1.50, "p99_us"),
        Target("fastgw", None, 6.0, "idle_kib"),
    ),
    workers=1,
)
