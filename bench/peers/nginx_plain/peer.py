"""nginx as a bare reverse proxy: what every ratio is taken to."""

from collections.abc import Sequence
from pathlib import Path

from bench import tls
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
        values = {"connections": nginx.connections(job), "tls": "", "certificate": ""}
        if job.tls:
            cert, key = tls.write(place.folder)
            # As a site would have it that gives out no sessions, which fastgw does not: each handshake is a whole one.
            more = "ssl_session_tickets off; ssl_session_cache off; ssl_protocols TLSv1.2 TLSv1.3;"
            values |= {"tls": "ssl", "certificate": f"ssl_certificate {cert}; ssl_certificate_key {key}; {more}"}
        return nginx.command(render(Path(__file__).with_name("nginx.conf"), place, values))
