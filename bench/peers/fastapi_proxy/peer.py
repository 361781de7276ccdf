"""A gateway as a Python team would write it: FastAPI on uvicorn, httpx, PyJWT. One process, whatever `workers` says."""

import json
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from bench.peers import wheels
from bench.peers.base import GATEWAY, Job, Peer, Place

PACKAGES = ("fastapi", "httpx", "uvicorn", "uvloop", "httptools")


class FastapiProxy(Peer):
    name = "fastapi"
    about = "FastAPI on uvicorn (uvloop, httptools), httpx, PyJWT, count in memory, no access log"
    claims = GATEWAY

    def missing(self) -> list[str]:
        return wheels.missing({"jwt": "pyjwt", **{name: name for name in PACKAGES}})

    def version(self) -> str:
        return metadata.version("fastapi")

    def prepare(self, place: Place, job: Job) -> Sequence[str]:
        consumers = place.folder / "consumers.json"
        rows = {one.key: {"name": one.name, "secret": one.secret, "limit": one.limit} for one in job.consumers}
        consumers.write_text(json.dumps(rows))
        server = Path(__file__).with_name("server.py")
        return [sys.executable, str(server), str(place.port), str(place.upstream_port), str(consumers)]
