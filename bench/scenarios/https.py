"""TLS towards clients on kept connections: what sealing costs."""

from bench.peers.base import PROXY, Job
from bench.scenarios.base import WITHOUT_TOKEN, Scenario, at_most, entries

SCENARIO = Scenario(
    name="https",
    about="as plain, over TLS 1.3 on kept connections",
    entries=entries("fastgw nginx-plain", Job(claims=PROXY, tls=True), WITHOUT_TOKEN),
    targets=(at_most("nginx-plain", 2.00),),
)
