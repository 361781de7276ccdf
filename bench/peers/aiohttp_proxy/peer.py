"""A gateway in plain Python: aiohttp on uvloop with PyJWT. One process, whatever `workers` says."""

import json
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from bench.peers import wheels
from bench.peers.base import GATEWAY, Job, Peer, Place


class AiohttpProxy(Peer):
    name = "aiohttp"
    about = "aiohttp on uvloop, PyJWT, count in memory, no access log"
    claims = GATEWAY

    def missing(self) -> list[str]:
        return wheels.missing({"aiohttp": "aiohttp", "jwt": "pyjwt", "uvloop": "uvloop"})

    def version(self) -> str:
        return metadata.version("aiohttp")

    def prepare(self, place: Place, job: Job) -> Sequence[str]:
        consumers = place.folder / "consumers.json"
        rows = {one.key: {"name": one.name, "secret": one.secret, "limit": one.limit} for one in job.consumers}
        consumers.write_text(json.dumps(rows))
        server = Path(__file__).with_name("server.py")
        return [sys.executable, str(server), str(place.port), str(place.upstream_port), str(consumers)]
