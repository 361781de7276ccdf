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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from bench.tokens import LIMITED, ORDINARY, Consumer


class Claim(enum.Enum):
    """What a peer does to a request besides passing it on."""

    JWT = "jwt"
    LIMIT = "limit"


PROXY: frozenset[Claim] = frozenset()
GATEWAY = frozenset(Claim)


@dataclass(frozen=True)
class Job:
    """What a scenario asks of the peers that can: the claims to make good, and for whom."""

    claims: frozenset[Claim]
    consumers: tuple[Consumer, ...] = (ORDINARY, LIMITED)
    path: str = "/bench"


@dataclass(frozen=True)
class Place:
    """What a run gives a peer: a folder for its files, ports, the upstream's port, worker processes."""

    folder: Path
    port: int
    spare_port: int
    upstream_port: int
    workers: int


class Peer(ABC):
    name: ClassVar[str]
    about: ClassVar[str]
    claims: ClassVar[frozenset[Claim]] = PROXY
    optional_claims: ClassVar[bool] = False  # can also run as a plain proxy
    programs: ClassVar[tuple[str, ...]] = ()

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
