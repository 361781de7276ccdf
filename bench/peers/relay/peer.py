"""A bare layer-4 relay in C, compiled at run: the limit, what copying bytes between two sockets costs."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.machine import first_line
from bench.peers.base import Job, Peer, Place
from bench.process import BenchError

SOURCE = Path(__file__).with_name("relay.c")


class Relay(Peer):
    name = "relay"
    about = "bare epoll relay in C, no parsing (the limit)"
    programs = ("cc",)

    def version(self) -> str:
        return first_line(["cc", "--version"])

    def prepare(self, place: Place, job: Job) -> Sequence[str]:
        program = place.folder / "relay"
        compiler = ["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(program), str(SOURCE)]
        done = subprocess.run(compiler, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchError(f"relay: does not compile: {done.stderr.strip()}")
        return [str(program), str(place.port), str(place.upstream_port), str(place.workers)]
