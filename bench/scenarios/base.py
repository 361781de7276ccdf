"""What a scenario is: who takes part and with what job, how they are driven, what is aimed at.

A scenario is data. A new one is a file beside this one and a line in __init__.py. Its rows are its entries;
if it drives them in several ways, each entry has a row for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.peers.base import GATEWAY, PROXY, Claim, Job, Peer
from bench.requests import Asking
from bench.results import COST, Target
from bench.tokens import ORDINARY, good

WITH_GATEWAYS = Job(claims=GATEWAY)
PLAIN = Job(claims=PROXY)
WITH_TOKEN = Asking(tokens=lambda: [good(ORDINARY)])
WITHOUT_TOKEN = Asking()


@dataclass(frozen=True)
class Entry:
    """A peer under a name of its own: two entries may be one peer with two jobs."""

    name: str
    peer: str
    job: Job
    asking: Asking


@dataclass(frozen=True)
class Closed:
    """Closed loop: each connection asks again when it has its answer, so the peer runs at saturation."""

    name: str = ""


@dataclass(frozen=True)
class Open:
    """Open loop: requests come at a rate that is a share of a capacity found just before, whatever the peer does."""

    name: str
    share: float
    capacity_of: str | None = None  # an entry; None: the driven one's own
    changes: int = 0  # of the configuration per second, meanwhile


Drive = Closed | Open


@dataclass(frozen=True)
class Scenario:
    name: str
    about: str
    entries: tuple[Entry, ...]
    drives: tuple[Drive, ...] = (Closed(),)
    status: int = 200  # what a peer that makes `refuses` good must answer
    refuses: Claim | None = None
    targets: Sequence[Target] = ()
    figure: str = COST
    reference: str = "nginx-plain"  # the entry, or row, that others are compared to
    connections: int | None = None  # None: as the run says
    workers: int | None = None

    def status_of(self, peer: Peer, job: Job) -> int:
        """A peer that does not authenticate or limit forwards everything: it answers 200."""
        return self.status if self.refuses in peer.claims_in(job) else 200


def entries(peers: str, job: Job, asking: Asking) -> tuple[Entry, ...]:
    """Peers with one job, each under its own name."""
    return tuple(Entry(name, name, job, asking) for name in peers.split())


def row_name(entry: str, drive: Drive) -> str:
    return f"{entry} {drive.name}".rstrip()


def at_most(to: str, bound: float | None, figure: str = COST, row: str = "fastgw") -> Target:
    """A target for the gateway under test, relative to another row."""
    return Target(row, to, bound, figure)
