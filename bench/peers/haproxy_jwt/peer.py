"""HAProxy doing jwt-auth by jwt_verify and limit-count by a stick table."""

from collections.abc import Sequence
from pathlib import Path

from bench.machine import first_line, number_in
from bench.peers.base import GATEWAY, Job, Peer, Place, render
from bench.tokens import Consumer


class HaproxyJwt(Peer):
    name = "haproxy-jwt"
    about = "HAProxy: jwt_verify, stick-table rate, no log"
    claims = GATEWAY
    programs = ("haproxy",)

    def version(self) -> str:
        return number_in(first_line(["haproxy", "-v"]))

    def prepare(self, place: Place, job: Job) -> Sequence[str]:
        secrets = [one.secret if one.shares_secret else self._key_file(place, one) for one in job.consumers]
        maps = {
            "secrets": [f"{one.key} {secret}" for one, secret in zip(job.consumers, secrets, strict=True)],
            "limits": [f"{one.key} {one.limit}" for one in job.consumers],
            "names": [f"{one.key} {one.name}" for one in job.consumers],
        }
        for name, lines in maps.items():
            (place.folder / f"{name}.map").write_text("\n".join(lines) + "\n")
        algorithm = job.consumers[0].algorithm
        # Public keys are files that it reads at its start: those that are written out in a rule, though none asks for it.
        files = [] if job.consumers[0].shares_secret else secrets
        known = "".join(f'    acl known_key var(txn.token),jwt_verify("{algorithm}","{file}") -m int 1\n' for file in files)
        values = {"connections": 4096 + job.idle, "algorithm": algorithm, "known_keys": known}
        config = render(Path(__file__).with_name("haproxy.cfg"), place, values)
        return ["haproxy", "-db", "-f", str(config)]

    @staticmethod
    def _key_file(place: Place, one: Consumer) -> str:
        path = place.folder / f"{one.key}.pem"
        path.write_text(one.public_pem())
        return str(path)
