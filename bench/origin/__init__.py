"""The upstream of all peers: nginx with one constant answer of 100 bytes, counting what reaches it.

The answer carries a word of this run, so that a peer which returns it has asked this upstream; the
count shows whether each request a peer answered was forwarded, and each one it refused was not.
"""

from __future__ import annotations

import re
import secrets
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from bench.peers import nginx
from bench.peers.base import Place, render
from bench.process import BenchError, Program, free_port

ANSWER_BYTES = 100


class Origin:
    def __init__(self, folder: Path, cores: Iterable[int]) -> None:
        folder.mkdir()
        self.port = free_port()
        self.answer = secrets.token_hex(16).ljust(ANSWER_BYTES, ".")
        place = Place(folder, self.port, 0, 0, 1)
        config = render(Path(__file__).with_name("nginx.conf"), place, {"answer": self.answer})
        self._program = Program("upstream", nginx.command(config), cores, folder)

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
        """Requests that have reached the upstream, this question included."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/origin-status", timeout=5) as page:
            text = page.read().decode()
        found = re.search(r"^\s*\d+\s+\d+\s+(\d+)\s*$", text, re.MULTILINE)
        if not found:
            raise BenchError(f"upstream: no request count in its status page: {text!r}")
        return int(found.group(1))
