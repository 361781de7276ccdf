"""What a build that looks for faults knows of the heap: every block that a core on memory took comes back; reads are exact."""

import subprocess
import sys

import pytest

from fastgw import _core
from tests.support.core import OK, snapshot
from tests.support.processes import ROOT

COUNTS = _core._test_heap_blocks() is not None
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def serve(*, strict: bool) -> bytes:
    """A request in two pieces and a half one, their answers, and the lines left open."""
    wire = _core.Wire(snapshot(), strict=strict)
    line = wire.open()
    for piece in (GET[:9], GET[9:] + GET[:20]):
        wire.push(line, piece)
    wire.push(1, OK[:30])
    wire.push(1, OK[30:])
    return wire.pull(line)


@pytest.mark.parametrize("strict", [False, True])
def test_a_core_gives_back_every_block(strict: bool) -> None:
    serve(strict=strict)
    before = _core._test_heap_blocks()
    assert serve(strict=strict).endswith(b"ok")
    assert _core._test_heap_blocks() == before


@pytest.mark.skipif(not COUNTS, reason="only a build that looks for faults counts blocks")
def test_blocks_are_counted() -> None:
    before = _core._test_heap_blocks()
    wire = _core.Wire(snapshot())
    during = _core._test_heap_blocks()
    del wire
    after = _core._test_heap_blocks()
    assert (before, during) == (after, during)
    assert before is not None
    assert during is not None
    assert during > before


@pytest.mark.skipif(COUNTS, reason="what every other build has")
def test_other_builds_count_nothing() -> None:
    assert _core._test_heap_blocks() is None


STALE = """
from fastgw import _core
_core._test_heap_stale()
"""


@pytest.mark.skipif(not COUNTS, reason="only a build that looks for faults forbids bytes")
def test_a_byte_that_no_read_gave_may_not_be_looked_at() -> None:
    done = subprocess.run([sys.executable, "-c", STALE], cwd=ROOT, capture_output=True, text=True)
    assert "use-after-poison" in done.stderr, done.stderr
