"""HAProxy doing jwt-auth by jwt_verify and limit-count by a stick table."""

from collections.abc import Sequence
from pathlib import Path

from bench.machine import first_line, number_in
from bench.peers.base import GATEWAY, Job, Peer, Place, render


class HaproxyJwt(Peer):
    name = "haproxy-jwt"
    about = "HAProxy: jwt_verify HS256, stick-table rate, no log"
    claims = GATEWAY
    programs = ("haproxy",)

    def version(self) -> str:
        return number_in(first_line(["haproxy", "-v"]))

    def prepare(self, place: Place, job: Job) -> Sequence[str]:
        maps = {
            "secrets": [f"{one.key} {one.secret}" for one in job.consumers],
            "limits": [f"{one.key} {one.limit}" for one in job.consumers],
            "names": [f"{one.key} {one.name}" for one in job.consumers],
        }
        for name, lines in maps.items():
            (place.folder / f"{name}.map").write_text("\n".join(lines) + "\n")
        config = render(Path(__file__).with_name("haproxy.cfg"), place, {"connections": 4096 + job.idle})
        return ["haproxy", "-db", "-f", str(config)]
