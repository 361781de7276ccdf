"""A bare layer-4 relay in C, compiled at run: the limit, what copying bytes between two sockets costs."""

from collections.abc import Sequence
from pathlib import Path

from bench.compiled import compile_program
from bench.machine import first_line
from bench.peers.base import Job, Peer, Place

SOURCE = Path(__file__).with_name("relay.c")


class Relay(Peer):
    name = "relay"
    about = "bare epoll relay in C, no parsing (the limit)"
    programs = ("cc",)

    def version(self) -> str:
        return first_line(["cc", "--version"])

    def prepare(self, place: Place, job: Job) -> Sequence[str]:
        program = compile_program(SOURCE, place.folder / "relay")
        return [str(program), str(place.port), str(place.upstream_port), str(place.workers)]
