"""The gateway itself: jwt-auth, limit-count on the consumer, proxying, access log to a file, metrics on."""

import importlib.util
import json
import secrets
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.machine import first_line, number_in
from bench.peers.base import GATEWAY, Claim, Job, Peer, Place, render
from bench.tokens import Consumer

NATIVE = "fastgw._core"


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
            "credentials": [{"id": f"{one.name}-jwt", "plugins": {"jwt-auth": {"key": one.key, "secret": one.secret}}}],
        }
        for one in consumers
    ]


class Fastgw(Peer):
    name = "fastgw"
    about = "fastgw: jwt-auth, limit-count, access log to a file, metrics"
    claims = GATEWAY
    optional_claims = True

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
            "admin_key": secrets.token_hex(16),
            "path": job.path,
            "consumers": json.dumps(consumer_objects(job.consumers) if guarded else []),
            "plugins": json.dumps({"jwt-auth": {}} if guarded else {}),
        }
        config = render(Path(__file__).with_name("config.json"), place, values)
        return [sys.executable, "-m", "fastgw", "--workers", str(place.workers), str(config)]

    def growing_files(self, place: Place) -> Sequence[Path]:
        return (place.folder / "access.log",)
