"""The gateway itself: jwt-auth, limit-count on the consumer, proxying, access log to a file, metrics on."""

import importlib.util
import json
import secrets
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench import tls
from bench.machine import first_line, number_in
from bench.peers.base import GATEWAY, Changes, Claim, Job, Peer, Place, render
from bench.tokens import Consumer

NATIVE = "fastgw._core"


def credential_of(one: Consumer) -> dict[str, object]:
    """A consumer's jwt-auth."""
    if one.shares_secret:
        return {"key": one.key, "secret": one.secret}
    return {"key": one.key, "algorithm": one.algorithm, "public_key": one.public_pem()}


def consumer_objects(consumers: Iterable[Consumer]) -> list[dict[str, object]]:
    """The consumers as the config file has them."""
    return [
        {
            "username": one.name,
            "plugins": {
                "limit-count": {
                    "count": one.limit,
                    "time_window": 3600,
                    "key": "consumer_name",
                    "key_type": "var",
                    "rejected_code": 429,
                }
            },
            "credentials": [{"id": f"{one.name}-jwt", "plugins": {"jwt-auth": credential_of(one)}}],
        }
        for one in consumers
    ]


def route_objects(job: Job) -> list[dict[str, object]]:
    """The routes of a job on one upstream, each with the job's plugins. A table of many has exact paths and prefixes by turns."""
    plugins: dict[str, object] = {**({"jwt-auth": {}} if Claim.JWT in job.claims else {}), **job.plugins}
    uris = [path if n % 2 == 0 else f"{path.rpartition('/')[0]}/*" for n, path in enumerate(job.paths())]
    return [{"id": f"bench-{n}", "uri": uri, "plugins": plugins, "upstream_id": "origin"} for n, uri in enumerate(uris)]


def settings_of(job: Job) -> dict[str, object]:
    """Settings that a job has beside those of the file. The one place that names the cache of verified tokens."""
    return {"token_cache": job.token_cache} if job.token_cache else {}


def listening(place: Place, job: Job) -> dict[str, object]:
    """Where a job comes in. Load by address names the address (wrk, against RFC 6066) or nothing."""
    if not job.tls:
        return {}
    cert, key = tls.pair()
    return {
        "listen": [f"unix:{place.folder}/plain.sock"],
        "tls": {"listen": [f"127.0.0.1:{place.port}"], "fallback_sni": tls.NAME},
        "ssls": [{"id": "bench", "snis": [tls.NAME, "127.0.0.1"], "cert": cert, "key": key}],
    }


class Fastgw(Peer):
    name = "fastgw"
    about = "fastgw: jwt-auth, limit-count, access log to a file, metrics"
    claims = GATEWAY
    optional_claims = True
    worker_title = "fastgw: worker"

    def __init__(self) -> None:
        self._admin_key = secrets.token_hex(16)

    def missing(self) -> list[str]:
        try:
            found = importlib.util.find_spec(NATIVE) and importlib.util.find_spec("fastgw.__main__")
        except ImportError:
            found = None
        return [] if found else ["fastgw's built extension (python setup.py build_ext --inplace)"]

    def version(self) -> str:
        return number_in(first_line([sys.executable, "-m", "fastgw", "--version"]))

    def prepare(self, place: Place, job: Job) -> Sequence[str]:
        guarded = Claim.JWT in job.claims
        values = {
            "spare_port": place.spare_port,
            "admin_key": self._admin_key,
            "consumers": json.dumps(consumer_objects(job.consumers) if guarded else []),
            "routes": json.dumps(route_objects(job)),
        }
        config = render(Path(__file__).with_name("config.json"), place, values)
        config.write_text(json.dumps(json.loads(config.read_text()) | settings_of(job) | listening(place, job), indent=1))
        return [sys.executable, "-m", "fastgw", "--workers", str(place.workers), str(config)]

    def changes(self, place: Place, job: Job) -> Changes:
        """Each change is one PUT of one route, the same but for its description."""
        routes = route_objects(job)

        def request(turn: int) -> tuple[str, bytes]:
            route = routes[turn % len(routes)]
            return f"/apisix/admin/routes/{route['id']}", json.dumps({**route, "desc": f"change {turn}"}).encode()

        return Changes(place.spare_port, {"X-API-KEY": self._admin_key}, request)

    def growing_files(self, place: Place) -> Sequence[Path]:
        return (place.folder / "access.log",)
