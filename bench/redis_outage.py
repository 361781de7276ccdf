"""What clients of three gateways feel while the Redis that they share dies and comes back: `python -m bench.redis_outage`.

Owns: the load, the phases, the table that is printed. Clients send at a pace of their own, whatever the answers do, and a wait is
counted from when a request was due. Must not know how limits are counted.
"""

import asyncio
import contextlib
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.support.gateway import Gateway, one_route
from tests.support.redis import Server
from tests.support.servers import echo
from tests.support.wire import Address

GATEWAYS = 3
CLIENTS = 8  # of each gateway
PACE_S = 0.04  # of each client: 600 requests a second in all
PHASE_S = 4.0
COUNT = 6000
REQUEST = b"GET /get HTTP/1.1\r\nHost: bench\r\n\r\n"


class Run:
    """The clients of all gateways, and what they saw in each phase."""

    def __init__(self, gateways: list[Gateway]) -> None:
        self.gateways = gateways
        self.phase = "with Redis"
        self.ends = False
        self.waits: dict[str, list[float]] = {}
        self.statuses: Counter[int] = Counter()

    async def client(self, address: Address, number: int) -> None:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        due = time.perf_counter() + PACE_S * number / CLIENTS
        while not self.ends:
            await asyncio.sleep(max(due - time.perf_counter(), 0))
            phase = self.phase
            writer.write(REQUEST)
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(length)
            self.waits.setdefault(phase, []).append(time.perf_counter() - due)
            self.statuses[int(head.split()[1])] += 1
            due += PACE_S
        writer.close()

    async def phases(self, redis: Server) -> None:
        await asyncio.sleep(PHASE_S)
        self.phase = "Redis is killed"
        await asyncio.to_thread(redis.kill)
        await asyncio.sleep(PHASE_S)
        self.phase = "Redis comes back, empty"
        await asyncio.to_thread(redis.start)
        await asyncio.sleep(PHASE_S)
        self.ends = True

    async def run(self, redis: Server) -> None:
        clients = [self.client(gateway.data, number) for gateway in self.gateways for number in range(CLIENTS)]
        await asyncio.gather(self.phases(redis), *clients)


def main() -> None:
    """Prints a table."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis = stack.enter_context(Server(directory))
        (directory / "echo").mkdir()
        upstream = stack.enter_context(echo(directory / "echo"))
        limit = {"count": COUNT, "time_window": 3600, "key_type": "constant", "key": "all", "rejected_code": 429}
        place = {"policy": "redis", "redis_host": str(redis.address.host), "redis_port": redis.address.port}
        config = one_route(upstream, plugins={"limit-count": {**limit, **place}})
        gateways = []
        for number in range(GATEWAYS):
            (directory / str(number)).mkdir()
            gateways.append(stack.enter_context(Gateway(directory / str(number), config)))
        run = Run(gateways)
        asyncio.run(run.run(redis))
        for phase, waits in run.waits.items():
            waits.sort()
            at = [waits[min(int(len(waits) * part), len(waits) - 1)] * 1000 for part in (0.5, 0.99, 1)]
            print(f"{phase:24} {len(waits):6} requests   p50 {at[0]:7.2f} ms   p99 {at[1]:7.2f} ms   most {at[2]:7.2f} ms")
        print(f"admitted {run.statuses[200]} of {COUNT}, statuses {dict(run.statuses)}")


if __name__ == "__main__":
    main()
