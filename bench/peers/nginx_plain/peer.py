"""nginx as a bare reverse proxy: what every ratio is taken to."""

from collections.abc import Sequence
from pathlib import Path

from bench.peers import nginx
from bench.peers.base import Job, Peer, Place, render


class NginxPlain(Peer):
    name = "nginx-plain"
    about = "nginx, reverse proxy only, access log off"
    programs = ("nginx",)
    worker_title = nginx.WORKER_TITLE

    def version(self) -> str:
        return nginx.version()

    def prepare(self, place: Place, job: Job) -> Sequence[str]:
        return nginx.command(render(Path(__file__).with_name("nginx.conf"), place, {"connections": nginx.connections(job)}))
