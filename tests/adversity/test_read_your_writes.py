"""Live on return: whatever was written, the next request on a new connection is answered by it, whichever worker takes it.

FASTGW_TEST_WRITES says how many random writes there are; the default is a sample.
"""

import contextlib
import os
import random
import threading
from pathlib import Path

import pytest

from tests.support import wire
from tests.support.gateway import Gateway
from tests.support.model import Model, Probe, Seen, Write
from tests.support.probing import Numbered, ask, send

WRITES = int(os.environ.get("FASTGW_TEST_WRITES", "400"))
SEED = int(os.environ.get("FASTGW_TEST_SEED", "20"))
WORKERS = 8
WRITERS = 4  # each with objects of its own, so that writes and their publication overlap
CONNECTIONS = 16


@pytest.mark.timeout(120 + WRITES // 10)
def test_no_answer_after_a_write_is_stale(directory: Path) -> None:
    with contextlib.ExitStack() as stack:
        addresses = [stack.enter_context(Numbered(index)).address for index in range(3)]
        gateway = stack.enter_context(Gateway(directory, {"workers": WORKERS}))
        writers = [Writer(gateway, Model(f"w{number}", random.Random(SEED + number), addresses)) for number in range(WRITERS)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert [stale for writer in writers for stale in writer.faults] == [], f"seed {SEED}"
        assert sum(writer.written for writer in writers) >= WRITES
        assert sum(writer.telling for writer in writers) > WRITES // 4, "most writes change what requests are answered"
        assert "killed" not in gateway.log(), "no worker was too slow"


class Writer(threading.Thread):
    """Writes and at once asks, again and again."""

    def __init__(self, gateway: Gateway, model: Model) -> None:
        super().__init__()
        self.faults: list[tuple[Write, Probe, Seen, Seen]] = []
        self.written = 0
        self.telling = 0
        """Writes after which some request is answered differently."""
        self._gateway = gateway
        self._model = model

    def run(self) -> None:
        with wire.Client(self._gateway.admin) as admin:
            for write in self._model.first_writes():
                self._send(admin, write)
            for _ in range(-(-WRITES // WRITERS)):
                self._one(admin, self._model.random_write())

    def _one(self, admin: wire.Client, write: Write) -> None:
        before = {probe: self._model.expected(probe) for probe in self._model.probes()}
        self._send(admin, write)
        self._model.apply(write)
        expected = {probe: self._model.expected(probe) for probe in {**before, **dict.fromkeys(self._model.probes())}}
        changed = [probe for probe in expected if before.get(probe) != expected[probe]]
        self.telling += bool(changed)
        asked = changed or list(expected)
        probes = [asked[number % len(asked)] for number in range(CONNECTIONS)]
        for probe, seen in zip(probes, ask(self._gateway.data, probes), strict=True):
            if seen != expected[probe]:
                self.faults.append((write, probe, expected[probe], seen))

    def _send(self, admin: wire.Client, write: Write) -> None:
        answered = send(admin, write)
        if answered.status not in (200, 201):
            raise AssertionError(f"{write}: {answered.status} {answered.body!r}")
        self.written += 1
