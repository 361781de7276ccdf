"""HAProxy as a bare reverse proxy."""

from collections.abc import Sequence
from pathlib import Path

from bench.machine import first_line, number_in
from bench.peers.base import Job, Peer, Place, render


class HaproxyPlain(Peer):
    name = "haproxy-plain"
    about = "HAProxy, reverse proxy only, no log"
    programs = ("haproxy",)

    def version(self) -> str:
        return number_in(first_line(["haproxy", "-v"]))

    def prepare(self, place: Place, job: Job) -> Sequence[str]:
        config = render(Path(__file__).with_name("haproxy.cfg"), place, {"connections": 4096 + job.idle})
        return ["haproxy", "-db", "-f", str(config)]
