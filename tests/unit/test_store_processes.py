"""The store under several processes at once, and under kill -9: no acknowledged write is lost, none is half there."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fastgw.store import Store


def _write_many(path: Path, name: str, count: int) -> None:
    store = Store(path)
    for number in range(count):
        store.put("routes", f"{name}-{number}", {"n": number})
        store.update("routes", "sum", lambda _, row: {"n": row.value["n"] + 1 if row else 1})
    store.close()


def test_processes_that_open_and_write_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "data" / "fastgw.db"
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_write_many, args=(path, f"w{each}", 50)) for each in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    store = Store(path)
    assert len(store.list("routes")) == 4 * 50 + 1
    total = store.get("routes", "sum")
    assert total is not None
    assert total.value == {"n": 200}
    revisions = [change.revision for change in store.changes(0)[1]]
    assert store.revision() == 400
    assert sorted(set(revisions)) == revisions
    store.close()


WRITER = """
import sys
from pathlib import Path
from fastgw.store import Store
store = Store(Path(sys.argv[1]))
for number in range(int(sys.argv[2]), 1 << 30):
    store.replace_file_layer({("routes", str(each)): {"generation": number} for each in range(20)})
    store.put("consumers", "c", {"n": number})
    for each in range(5):
        store.put("credentials", f"c/{each}", {"n": number})
    if number % 2:
        store.delete("consumers", "c")
    sys.stdout.write(f"{number} {store.revision()}\\n")
    sys.stdout.flush()
"""


def test_kill_at_any_moment_loses_no_acknowledged_write_and_leaves_none_half_done(tmp_path: Path) -> None:
    path = tmp_path / "fastgw.db"
    seed = random.randrange(1 << 30)
    chance, number, revision = random.Random(seed), 0, 0
    for _ in range(40):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, path, str(number)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        acknowledged = [writer.stdout.readline() for _ in range(chance.randrange(1, 4))]
        # Not a wait for anything: it only spreads the moment of death over the writer's steps.
        with pytest.raises(subprocess.TimeoutExpired):
            writer.wait(timeout=chance.random() * 0.02)
        os.kill(writer.pid, signal.SIGKILL)
        acknowledged += writer.stdout.readlines()
        writer.wait()
        writer.stdout.close()
        last, last_revision = map(int, [line for line in acknowledged if line.endswith(b"\n")][-1].split())
        number, revision = _check_after_kill(path, last, last_revision, revision), last_revision
    assert number > 40, f"seed {seed}"


def _check_after_kill(path: Path, acknowledged: int, at: int, before: int) -> int:
    store = Store(path)
    assert store._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert store.revision() >= at > before
    (generation,) = {row.value["generation"] for row in store.list("routes")}
    assert len(store.list("routes")) == 20
    assert acknowledged <= generation <= acknowledged + 1
    consumer, credentials = store.get("consumers", "c"), store.list("credentials")
    if consumer is None:
        assert credentials == [], "a consumer goes together with its credentials"
    if generation == acknowledged and acknowledged % 2 == 0:
        assert consumer is not None
        assert [row.value["n"] for row in credentials] == [acknowledged] * 5
    seen = dict.fromkeys((change.kind, change.id) for change in store.changes(0)[1])
    assert set(seen) == {(row.kind, row.id) for kind in ("routes", "consumers", "credentials") for row in store.list(kind)}
    store.close()
    return generation + 1


# ---- witnesses -----------------------------------------------------------------------------------


def test_killed_in_an_apply_all_or_nothing_is_there(tmp_path: Path) -> None:
    """Killed after more and more of its writes, and once after it was acknowledged."""
    path = tmp_path / "fastgw.db"
    code = """
import os, signal, sys
from pathlib import Path
from fastgw.store import Edits, Store, _Writer
store, most, version = Store(Path(sys.argv[1])), int(sys.argv[2]), sys.argv[3]
real, done = _Writer.set, 0
def counted(self, *args):
    global done
    if done == most:
        os.kill(os.getpid(), signal.SIGKILL)
    done += 1
    real(self, *args)
_Writer.set = counted
store.apply(lambda view: Edits({("routes", f"r{n}"): {"v": version} for n in range(50)}, (), {}, version), lambda view: None)
os.kill(os.getpid(), signal.SIGKILL)
"""
    for most, version in ((50, "first"), (0, "b"), (1, "c"), (49, "d"), (50, "last")):
        killed = subprocess.run([sys.executable, "-c", code, str(path), str(most), version], timeout=60)
        assert killed.returncode == -signal.SIGKILL
        store = Store(path)
        whole = most == 50
        expected = version if whole else "first"
        assert {row.value["v"] for row in store.list("routes")} == {expected}
        assert (len(store.list("routes")), store.versions().digest) == (50, expected)
        assert (store.revision(), len(store.changes(0)[1])) == (100 if version == "last" else 50, 50)
        store.close()
