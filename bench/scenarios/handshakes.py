"""TLS towards clients without keep-alive: every request pays for a whole handshake. The bar is 0.6 of nginx's rate."""

from bench.peers.base import PROXY, Job
from bench.requests import Asking
from bench.scenarios.base import Scenario, at_most, entries

SCENARIO = Scenario(
    name="handshakes",
    about="as https, with Connection: close, so that every request comes with a handshake of its own (ECDSA P-256)",
    entries=entries("fastgw nginx-plain", Job(claims=PROXY, tls=True), Asking(keep_alive=False)),
    targets=(at_most("nginx-plain", 1.66),),
)
