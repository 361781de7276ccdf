"""Writes the tables: `python -m tests.wire.peers`.

Owns: the command. Must not know how peers are asked.
"""

import tempfile
from pathlib import Path

from tests.wire import peers

ROUNDS = 5  # some outcomes are not the same each time


def main() -> None:
    """Asks each peer some times over."""
    asked = peers.requests()
    for name in peers.NAMES:
        with tempfile.TemporaryDirectory() as folder:
            peers.write(name, asked, [peers.ask(name, Path(folder), asked) for _ in range(ROUNDS)])


main()
