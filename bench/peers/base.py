"""What a peer is: a program that can be configured for a job, started, proved and timed.

Rules for peers:
1. A peer's configuration is a file beside its Python; `@name@` marks what a run fills in.
2. `claims` says what the peer does beyond proxying. bench.proof tests every claim before timing.
3. A peer does the job as its own users would set it up, in the cheapest way it offers.
4. The program stays in the foreground and ends on TERM.
"""

from __future__ import annotations

import enum
import os
import pwd
import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from bench.tokens import LIMITED, ORDINARY, Consumer


class Claim(enum.Enum):
    """What a peer does to a request besides passing it on."""

    JWT = "jwt"
    LIMIT = "limit"


PROXY: frozenset[Claim] = frozenset()
GATEWAY = frozenset(Claim)


ANSWER_BYTES = 100


@dataclass(frozen=True)
class Job:
    """What a scenario asks of the peers that can: the claims to make good, for whom, and how large all is.

    Only fastgw knows tables of routes and a cache of tokens: others are not asked to take part where those matter.
    """

    claims: frozenset[Claim]
    consumers: tuple[Consumer, ...] = (ORDINARY, LIMITED)
    path: str = "/bench"
    routes: int = 1
    token_cache: int = 0  # verified tokens a worker may remember
    idle: int = 0  # client connections held open besides those that ask
    half_heads: int = 0  # and those that never finish asking
    upload_bytes: int = 0
    answer_bytes: int = ANSWER_BYTES
    tls: bool = False  # towards the clients
    plugins: Mapping[str, object] = field(default_factory=dict, hash=False)  # of every route, beside those the claims need

    def paths(self) -> list[str]:
        """What is asked for: one path of every route."""
        return [self.path] if self.routes == 1 else [f"{self.path}/{n}/item" for n in range(self.routes)]


@dataclass(frozen=True)
class Place:
    """What a run gives a peer: a folder for its files, ports, the upstream's port, worker processes."""

    folder: Path
    port: int
    spare_port: int
    upstream_port: int
    workers: int


@dataclass(frozen=True)
class Changes:
    """How a peer's configuration is changed while it runs: PUTs to its API; `request` gives path and body of the nth."""

    port: int
    headers: Mapping[str, str]
    request: Callable[[int], tuple[str, bytes]]


class Peer(ABC):
    name: ClassVar[str]
    about: ClassVar[str]
    claims: ClassVar[frozenset[Claim]] = PROXY
    optional_claims: ClassVar[bool] = False  # can also run as a plain proxy
    programs: ClassVar[tuple[str, ...]] = ()
    worker_title: ClassVar[str] = ""  # how the command line of its serving processes begins; "": all serve

    def missing(self) -> list[str]:
        """What this machine lacks to run the peer, in words; empty when it can run."""
        return [program for program in self.programs if not shutil.which(program)]

    @abstractmethod
    def version(self) -> str: ...

    @abstractmethod
    def prepare(self, place: Place, job: Job) -> Sequence[str]:
        """Write the configuration into `place.folder` and return the command that starts the peer."""

    def token(self, token: str, job: Job) -> str:
        """A token as this peer is given it: the same claims, with what it needs beside them to find the secret."""
        return token

    def growing_files(self, place: Place) -> Sequence[Path]:
        """Files the peer appends to for each request; emptied between rounds."""
        return ()

    def changes(self, place: Place, job: Job) -> Changes | None:
        """None: its configuration cannot be changed piece by piece while it runs."""
        return None

    def claims_in(self, job: Job) -> frozenset[Claim]:
        """What this peer must do in `job`: a plain proxy takes part as the reference and claims nothing."""
        return self.claims & job.claims


def fill(template: Path, values: Mapping[str, object]) -> str:
    """The template with every `@name@` replaced; a name without a value is an error."""

    def value(match: re.Match[str]) -> str:
        return str(values[match.group(1)])

    return re.sub(r"@([a-z_]+)@", value, template.read_text())


def render(template: Path, place: Place, values: Mapping[str, object] | None = None) -> Path:
    """Fill a template with the place and `values` into the place's folder; returns the file."""
    known: dict[str, object] = {
        "folder": place.folder,
        "port": place.port,
        "upstream_port": place.upstream_port,
        "workers": place.workers,
        "user": pwd.getpwuid(os.geteuid()).pw_name,
        **(values or {}),
    }
    target = place.folder / template.name
    target.write_text(fill(template, known))
    return target
