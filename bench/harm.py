"""What a plugin that misbehaves costs everybody else: `python -m bench.harm --rounds 5`.

Owns: the plugin, the kinds of harm, the table that is printed. Honest requests come at a constant rate to a route without
plugins, and a tenth as many beside them to one whose Python plugin is async and does harm; their p99 is told against that of the
same traffic with the plugin well-behaved, in turns. One that blocks is sent once a second, and named in the log and the metrics.
Must not know how a gateway keeps plugins apart.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import tempfile
import time
from pathlib import Path

from bench.process import BenchError
from tests.support.gateway import Gateway
from tests.support.servers import echo

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
SHARE = {"raises": 0.1, "nonsense": 0.1, "sleeps": 0.1, "leaks": 0.1, "blocks": 1 / HONEST}
BEST = "behaves"
CONNECTIONS = 32
SETTLE_S = 0.5  # till what was left under way is over


def request(path: str, how: str = BEST) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\nX-How: {how}\r\n\r\n".encode()


async def asked(port: int, how: str, ended: asyncio.Event) -> None:
    """One request of the plugin's, whatever becomes of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request("/headers", how))
    ends = asyncio.create_task(ended.wait())
    answer = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
    await asyncio.wait([ends, answer], return_when=asyncio.FIRST_COMPLETED)
    for each in (ends, answer):
        each.cancel()
    await asyncio.gather(ends, answer, return_exceptions=True)
    writer.close()


async def honest(port: int, seconds: float) -> list[float]:
    """Seconds that each request waited, in order of size; over connections that are there before. From when it is made, not from
    when it was due: event loops sleep for whole milliseconds."""
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        free.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    waits = []

    async def one() -> None:
        made = time.perf_counter()
        reader, writer = await free.get()
        writer.write(request("/get"))
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise BenchError(f"an honest request got {head[:40]!r}")
        await reader.readexactly(next(int(row[15:]) for row in head.lower().split(b"\r\n") if row.startswith(b"content-length")))
        waits.append(time.perf_counter() - made)
        free.put_nowait((reader, writer))

    began, tasks = time.perf_counter(), []
    for number in range(int(HONEST * seconds)):
        due = began + number / HONEST
        if (left := due - time.perf_counter()) > 0:
            await asyncio.sleep(left)
        tasks.append(asyncio.create_task(one()))
    await asyncio.gather(*tasks)
    while not free.empty():
        free.get_nowait()[1].close()
    return sorted(waits)


async def beside(port: int, how: str, seconds: float, share: float) -> tuple[float, float]:
    """p50 and p99 of the honest ones, while the plugin does this."""
    ended, requests = asyncio.Event(), set()
    watched = asyncio.create_task(honest(port, seconds))
    while not watched.done():
        requests.add(asyncio.create_task(asked(port, how, ended)))
        await asyncio.wait([watched], timeout=1 / (HONEST * share))
    ended.set()
    await asyncio.gather(*requests)
    waits = await watched
    await asyncio.sleep(SETTLE_S)
    return waits[len(waits) // 2], waits[int(len(waits) * 0.99)]


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.harm", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--only", choices=list(SHARE), nargs="+", default=list(SHARE))
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        directory.chmod(0o755)
        (directory / "echo").mkdir()
        (directory / "plugins").mkdir(mode=0o755)
        (directory / "plugins" / "harm.py").write_text(PLUGIN)
        upstream = {"type": "roundrobin", "nodes": {str(stack.enter_context(echo(directory / "echo"))): 1}}
        routes = [
            {"id": "plain", "uri": "/get", "upstream": upstream},
            {"id": "harm", "uri": "/headers", "upstream": upstream, "plugins": {"harm": {}}},
        ]
        gateway = stack.enter_context(Gateway(directory, {"plugins_dir": str(directory / "plugins"), "routes": routes}))
        asyncio.run(beside(gateway.data.port, BEST, 1.0, 0.1))
        for how in options.only:
            share = SHARE[how]
            pairs = [
                [asyncio.run(beside(gateway.data.port, each, options.seconds, share)) for each in (BEST, how)]
                for _ in range(options.rounds)
            ]
            p50, p99 = ([statistics.median(pair[side][at] for pair in pairs) * 1000 for side in (0, 1)] for at in (0, 1))
            print(
                f"{how:9} p50 {p50[0]:6.2f} -> {p50[1]:6.2f} ms   p99 {p99[0]:6.2f} -> {p99[1]:6.2f} ms   "
                f"ratio {p99[1] / p99[0]:5.2f}",
                flush=True,
            )
        print(json.loads(gateway.api("GET", "stats").body)["plugins"]["harm"])
        print(*[line for line in gateway.log().splitlines() if "was cut off" in line][:1], sep="\n")


if __name__ == "__main__":
    main()
