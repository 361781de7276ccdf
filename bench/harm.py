"""What a plugin that misbehaves costs everybody else: `python -m bench.harm --rounds 5`.

Owns: the plugin, the kinds of harm, the table that is printed. Honest requests come at a constant rate to a route without
plugins, and a tenth as many beside them to one whose Python plugin is async and does harm; their p99 is told against that of the
same traffic with the plugin well-behaved, in turns: of all rounds together, and the median of the ratios within rounds, which one
bad second of the machine moves less. One that blocks is sent once a second, and named in the log and the metrics.
Must not know how a gateway keeps plugins apart.
"""

import argparse
import contextlib
import json
import os
import statistics
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench import machine, openloop
from bench.openloop import OpenLoad
from bench.origin import Origin
from bench.peers.base import Job
from bench.process import BenchError, tree
from tests.support.gateway import Gateway

PLUGIN = """
import asyncio
import time
from fastgw.plugin import Plugin, PluginConf

kept = []


class Conf(PluginConf, frozen=True, kw_only=True):
    pass


class Harm(Plugin):
    name = "harm"
    priority = 100
    phases = ("access",)
    conf = Conf

    async def access(self, conf, request):
        how = request.header("X-How")
        if how == "sleeps":
            await asyncio.sleep(5)
        elif how == "raises":
            raise RuntimeError("harm")
        elif how == "nonsense":
            return 5
        elif how == "leaks":
            kept.append((request, bytes(1000)))
        elif how == "blocks":
            time.sleep(5)
"""
HONEST = 400.0  # requests a second
BEST = "behaves"  # also how two runs differ that do not
SHARE = {BEST: 0.1, "raises": 0.1, "nonsense": 0.1, "sleeps": 0.1, "leaks": 0.1, "blocks": 1 / HONEST}
STATUS = {"raises": 500, "nonsense": 500, "blocks": 504}
CONNECTIONS = 32  # of the honest
HARMFUL = 400  # of the others, some of whose answers take seconds

Waits = Counter[float]


def request(path: str, how: str = BEST) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\nX-How: {how}\r\n\r\n".encode()


def beside(port: int, how: str, seconds: float, share: float, cores: list[int]) -> Waits:
    """What the honest ones wait, while the plugin does this."""

    def load(path: str, how: str, rate: float, connections: int, status: int, kind: str) -> OpenLoad:
        asked = [request(path, how)]
        found = openloop.run(
            port, asked, rate=rate, seconds=seconds, connections=connections, cores=cores, status=status, kind=kind
        )
        if found.errors or found.unexpected:
            raise BenchError(
                f"{path}, {how}: of {found.sent}, {found.errors} were lost, {found.unexpected} not answered {status}"
            )
        return found

    with ThreadPoolExecutor() as both:
        harm = both.submit(load, "/harm", how, HONEST * share, HARMFUL, STATUS.get(how, 200), "quiet")
        honest = both.submit(load, "/plain", BEST, HONEST, CONNECTIONS, 200, "all")
        harm.result()
        return Counter(dict(honest.result().waits))


def percentile(waits: Waits, share: float) -> float:
    """In us."""
    left = share * waits.total()
    for wait in sorted(waits):
        left -= waits[wait]
        if left <= 0:
            return wait
    raise BenchError("nothing was measured")


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.harm", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--only", choices=list(SHARE), nargs="+", default=list(SHARE))
    options = parser.parse_args()
    own, *others = machine.cores()
    if not others:
        raise BenchError("needs two cores: one is the gateway's")
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        directory.chmod(0o755)
        (directory / "plugins").mkdir(mode=0o755)
        (directory / "plugins" / "harm.py").write_text(PLUGIN)
        origin = stack.enter_context(Origin(directory / "origin", others, Job(frozenset())))
        upstream = {"type": "roundrobin", "nodes": {f"127.0.0.1:{origin.port}": 1}}
        routes = [
            {"id": "plain", "uri": "/plain", "upstream": upstream},
            {"id": "harm", "uri": "/harm", "upstream": upstream, "plugins": {"harm": {}}},
        ]
        gateway = stack.enter_context(Gateway(directory, {"plugins_dir": str(directory / "plugins"), "routes": routes}))
        for pid in tree(gateway.process.pid):
            os.sched_setaffinity(pid, {own})
        os.sched_setaffinity(0, others)
        beside(gateway.data.port, BEST, 1.0, 0.1, others)
        for how in options.only:
            rounds = [
                [beside(gateway.data.port, each, options.seconds, SHARE[how], others) for each in (BEST, how)]
                for _ in range(options.rounds)
            ]
            together = [sum(side, Counter()) for side in zip(*rounds, strict=True)]
            p50, p90, p99 = ([percentile(side, share) for side in together] for share in (0.5, 0.9, 0.99))
            within = statistics.median(percentile(bad, 0.99) / percentile(good, 0.99) for good, bad in rounds)
            print(
                f"{how:9} p50 {p50[0]:5.0f} -> {p50[1]:5.0f} us   p90 {p90[0]:5.0f} -> {p90[1]:5.0f} us   "
                f"p99 {p99[0]:6.0f} -> {p99[1]:6.0f} us, within rounds {within:5.2f}, ratio {p99[1] / p99[0]:5.2f}",
                flush=True,
            )
        print(json.loads(gateway.api("GET", "stats").body)["plugins"]["harm"])
        print(*[line for line in gateway.log().splitlines() if "was cut off" in line][:1], sep="\n")


if __name__ == "__main__":
    main()
