"""The cases of tests/wire as scripts of `exchange`: their bytes are where a guided run begins, beside the seeds.

Owns: how a case is a script. Must not know what its outcome should be; play.py's claims hold for any.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from tests.fuzz.play import SEPARATOR
from tests.support.core import OK, TOKEN
from tests.wire.cases import Case, load

LETTERS = {"send": b"s", "answer": b"S", "end": b"e", "answer end": b"E", "answer reset": b"R"}


def write(where: Path) -> None:
    """All of them into a directory."""
    where.mkdir(parents=True, exist_ok=True)
    for data in scripts():
        (where / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


def scripts() -> Iterator[bytes]:
    for case in [*load("requests"), *load("answers")]:
        yield script(case)


def script(case: Case) -> bytes:
    """A case whose upstream is not told what to say has it say OK twice."""
    steps = [LETTERS[kind] + data for kind, data in case.steps if kind in LETTERS]
    if not case.scripted:
        steps += [b"S" + OK] * 2
    return SEPARATOR.join(steps).replace(TOKEN, b"$TOKEN")
