"""What a scenario is: the job it gives the peers, the request it sends, who takes part, what is aimed at.

A scenario is data. A new one is a file beside this one and a line in __init__.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bench.peers.base import GATEWAY, PROXY, Claim, Job, Peer

WITH_GATEWAYS = Job(claims=GATEWAY)
PLAIN = Job(claims=PROXY)


@dataclass(frozen=True)
class Scenario:
    name: str
    about: str
    job: Job
    peers: tuple[str, ...]
    token: Callable[[], str] | None = None
    status: int = 200  # what a peer that makes `refuses` good must answer
    refuses: Claim | None = None
    targets: Mapping[str, float] = field(default_factory=dict)  # fastgw's ratio to a peer, at most

    def headers(self, peer: Peer) -> dict[str, str]:
        return {"Authorization": f"Bearer {peer.token(self.token(), self.job)}"} if self.token else {}

    def status_of(self, peer: Peer) -> int:
        """A peer that does not authenticate or limit forwards everything: it answers 200."""
        return self.status if self.refuses in peer.claims_in(self.job) else 200
