"""Chaos: the header of a file of shared memory is damaged, as by a disk, a bad copy or a careless program.

Held: whoever attaches it says so in one line, or works with it as if nothing were; nobody ends by a signal, or hangs. The same of
what is behind the header, where every value must be lawful. Sequences follow from a seed: tests/support/chaos.py.
"""

import os
import random
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from fastgw import _core
from tests.support.chaos import LIMIT_S, Turn, turns
from tests.support.gateway import ADMIN_KEY, Gateway, one_route
from tests.support.processes import ROOT
from tests.support.waiting import PATIENCE
from tests.support.wire import Address

HEADER = 4096
USED = 1400  # bytes of it that mean something
EXTREMES = (0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
SECONDS = int(20 * PATIENCE)


def _damaged(header: bytes, chance: random.Random) -> bytes:
    spoiled = bytearray(header)
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(USED - 8)
        way = chance.randrange(4)
        if way == 0:
            spoiled[at] ^= 1 << chance.randrange(8)
        elif way == 1:
            spoiled[at : at + 8] = chance.randbytes(8)
        elif way == 2:
            struct.pack_into("<Q", spoiled, at - at % 8, chance.choice(EXTREMES))
        else:
            source = chance.randrange(USED - 24)
            spoiled[at : at + 24] = header[source : source + 24]
    return bytes(spoiled[:HEADER])


def _use(path: Path) -> int:
    """All that a process does with it. 0: done; 3: refused in words; anything else is a fault."""
    signal.alarm(SECONDS)
    try:
        region = _core.Region.attach(path)
    except _core.RegionError as exc:
        return 3 if str(path) in str(exc) and "\n" not in str(exc) else 4
    limiter = _core.Limiter(_core.Table.attach(path), "chaos", count=2, window=60)
    for number in range(200):
        limiter.hit(f"key {number % 50}")
    held = _core.Limiter(_core.Table.attach(path), "bucket", count=2, window=60, algorithm="token-bucket")
    held.hit("key")
    region.metrics()
    region.lagging(1)
    region.samples()
    for slot in range(region.slot_count):
        region.slot(slot)
        region.counters(slot)
        region.set_slot(slot, 0, 0, 0)
    region.publish(1)
    return 0


@pytest.mark.timeout(LIMIT_S)
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_what_attaches_it_says_so_or_works(directory: Path) -> None:
    path = directory / "shared"
    _core.Region.create(1024, path, 16, 64)
    whole = path.read_bytes()
    outcomes = {0: 0, 3: 0}

    def play(turn: Turn) -> None:
        spoiled = _damaged(whole[:HEADER], turn.chance) + whole[HEADER:]
        if turn.number % 4 == 3:  # behind a header that is whole, anything
            at = turn.chance.randrange(HEADER, len(whole) - 4096)
            spoiled = whole[:at] + turn.chance.randbytes(4096) + whole[at + 4096 :]
        path.write_bytes(spoiled)
        pid = os.fork()
        if pid == 0:
            code = 5
            try:
                code = _use(path)
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert code in outcomes, f"{turn.where}: {code}"
        outcomes[code] += 1

    for turn in turns("damaged header", least=100):
        play(turn)
    assert min(outcomes.values()) > 0, outcomes


@pytest.mark.timeout(LIMIT_S)
def test_a_gateway_says_so_or_serves(directory: Path, echo: Address) -> None:
    shared = directory / "shared"
    conf = {"count": 1000, "time_window": 86_400, "key": "all", "key_type": "constant"}
    memory = {"path": str(shared), "counters": 1024, "revocations": 64}
    gateway = Gateway(directory, {"shared_memory": memory, **one_route(echo, plugins={"limit-count": conf})})
    with gateway:
        pass
    whole = shared.read_bytes()[:HEADER]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "FASTGW_ADMIN_KEY": ADMIN_KEY}

    def play(turn: Turn) -> None:
        with shared.open("r+b") as file:
            file.write(_damaged(whole, turn.chance))
        try:
            _core.Region.attach(shared)
        except _core.RegionError:
            command = [sys.executable, "-m", "fastgw", "run", str(gateway.config_path)]
            done = subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True, timeout=SECONDS)
            assert (done.returncode, done.stderr.count("\n")) == (2, 1), f"{turn.where}\n{done.stderr}"
            return
        with gateway:
            assert gateway.get("/anything").status == 200, turn.where
            gateway.put("routes/two", {"uri": "/two", "desc": turn.where, "upstream": {"nodes": {str(echo): 1}}})
            assert gateway.get("/two").status == 404, turn.where

    for turn in turns("gateway with a damaged header", least=2):
        play(turn)
