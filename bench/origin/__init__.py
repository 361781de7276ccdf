"""The upstream of all peers: one constant answer, and a count of what reaches it.

A small answer comes from origin.c, which costs the core that it shares with the load generator next to nothing, whatever
the peer's head says; a large one, and one to a body, from nginx. The answer carries a word of this run, so that a peer
which returns it has asked this upstream; the count shows whether each request a peer answered was forwarded, and each one
it refused was not.
"""

from __future__ import annotations

import secrets
import time
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from bench.compiled import compile_program
from bench.peers import nginx
from bench.peers.base import Job, Place, render
from bench.process import BenchError, Program, free_port
from bench.requests import letters

SOURCE = Path(__file__).with_name("origin.c")
SMALL = 2000  # an answer up to here stands in memory, or in nginx's configuration, whose words it bounds; a larger one in a file
ECHO = "?echo=1"  # added to a path that takes bodies: the answer is the body that came
QUIET_SECONDS = 0.05  # no request for so long: nothing is on its way
PATIENCE_SECONDS = 10.0


def answer_of(size: int) -> bytes:
    """`size` bytes that no other run has."""
    word = secrets.token_hex(16)
    return (word + letters(size, word).decode())[:size].encode()


class Origin:
    def __init__(self, folder: Path, cores: Iterable[int], job: Job) -> None:
        folder.mkdir()
        self.port = free_port()
        self.answer = answer_of(job.answer_bytes)
        self._asked = 0
        small = len(self.answer) <= SMALL and not job.upload_bytes
        self._program = Program("upstream", self._small(folder) if small else self._large(folder, job), cores, folder)

    def _small(self, folder: Path) -> list[str]:
        (folder / "answer").write_bytes(self.answer)
        program = compile_program(SOURCE, folder / "origin")
        return [str(program), str(self.port), str(folder / "answer")]

    def _large(self, folder: Path, job: Job) -> list[str]:
        place = Place(folder, self.port, 0, 0, 1)
        values = {"answer": self.answer[:SMALL].decode(), "behaviour": self._behaviour(folder, job)}
        return nginx.command(render(Path(__file__).with_name("nginx.conf"), place, values))

    def _behaviour(self, folder: Path, job: Job) -> str:
        """What the upstream does with a request, in nginx's words and in its cheapest way."""
        if job.upload_bytes:
            return "mirror /nothing; log_not_found off; error_page 404 = @taken;"
        (folder / "answer").write_bytes(self.answer)
        folder.parent.chmod(0o755)  # nginx's worker may run as another user
        return f'root "{folder}"; try_files /answer =500;'

    def __enter__(self) -> Origin:
        try:
            self._program.wait_listening(self.port)
        except BaseException:
            self._program.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._program.stop()

    def served(self) -> int:
        """Requests that have reached the upstream, these questions not counted."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/origin-status", timeout=5) as page:
            words = page.read().decode().split()
        # nginx's status page has three numbers in its third line, the last of which counts requests, and this one too.
        counts = [int(word) for word in words if word.isdecimal()]
        if len(counts) == 1:
            return counts[0]
        if len(counts) < 4:
            raise BenchError(f"upstream: no request count in its status page: {' '.join(words)!r}")
        self._asked += 1
        return counts[3] - self._asked

    def settled(self) -> int:
        """The count once it stands still: what a load left on its way has come, or never will."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        count = self.served()
        while time.monotonic() < deadline:
            time.sleep(QUIET_SECONDS)
            before, count = count, self.served()
            if count == before:
                return count
        raise BenchError(f"upstream: still asked {PATIENCE_SECONDS:g} s after the load ended")
