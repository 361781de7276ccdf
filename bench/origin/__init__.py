"""The upstream of all peers: nginx with one constant answer, counting what reaches it.

The answer carries a word of this run, so that a peer which returns it has asked this upstream; the
count shows whether each request a peer answered was forwarded, and each one it refused was not.
"""

from __future__ import annotations

import re
import secrets
import time
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from bench.peers import nginx
from bench.peers.base import Job, Place, render
from bench.process import BenchError, Program, free_port
from bench.requests import letters

SMALL = 2000  # an answer up to here stands in the configuration, whose words nginx bounds; a larger one in a file
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
        place = Place(folder, self.port, 0, 0, 1)
        values = {"answer": self.answer[:SMALL].decode(), "behaviour": self._behaviour(folder, job)}
        config = render(Path(__file__).with_name("nginx.conf"), place, values)
        self._program = Program("upstream", nginx.command(config), cores, folder)

    def _behaviour(self, folder: Path, job: Job) -> str:
        """What the upstream does with a request, in nginx's words and in its cheapest way."""
        if job.upload_bytes:
            return "mirror /nothing; log_not_found off; error_page 404 = @taken;"
        if len(self.answer) <= SMALL:
            return f'return 200 "{self.answer.decode()}";'
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
            text = page.read().decode()
        found = re.search(r"^\s*\d+\s+\d+\s+(\d+)\s*$", text, re.MULTILINE)
        if not found:
            raise BenchError(f"upstream: no request count in its status page: {text!r}")
        self._asked += 1
        return int(found.group(1)) - self._asked

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
