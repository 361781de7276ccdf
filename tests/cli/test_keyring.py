"""The database's keys, as an operator meets them: rotation of a running gateway, and starts that are refused."""

import base64
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.gateway import ADMIN_KEY, Gateway
from tests.support.processes import ROOT
from tests.support.wire import Address

KEYS = 3


def fastgw(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fastgw", *arguments]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=60)


def one_fault(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


def ids(directory: Path) -> list[str]:
    return [key["id"] for key in json.loads((directory / "data" / "fastgw.keys").read_text())["keys"]]


def credential(gateway: Gateway, number: int) -> int:
    body = {"plugins": {"key-auth": {"key": f"key-{number}"}}}
    return gateway.api("PUT", f"consumers/john/credentials/c{number}", body).status


def test_keys_are_rotated_while_the_gateway_serves_and_writes(directory: Path, echo: Address) -> None:
    node = {"type": "roundrobin", "nodes": {str(echo): 1}}
    config = {"routes": [{"id": "r", "uri": "/*", "upstream": node, "plugins": {"key-auth": {}}}], "workers": 2}
    with Gateway(directory, config) as gateway:
        gateway.put("consumers", {"username": "john"})
        done = threading.Event()
        written: list[int] = []
        served: list[int] = []

        def write() -> None:
            while not done.is_set():
                written.append(credential(gateway, len(written)))
                served.append(gateway.get("/anything", headers={"apikey": f"key-{len(written) - 1}"}).status)

        writer = threading.Thread(target=write)
        writer.start()
        first = ids(directory)
        for number in range(KEYS):
            told = fastgw("keyring", "rotate", *(["--drop-old"] if number else []), "config.json", cwd=directory)
            assert (told.returncode, told.stderr) == (0, "")
            lines = told.stdout.splitlines()
            new, *older = ids(directory)
            assert lines[0].endswith(f"fastgw.db: {lines[0].split()[1]} objects sealed anew, with key {new}")
            assert older == ([] if number else first)
            assert lines[1].startswith(f"{directory}/data/fastgw.keys: {'dropped' if number else 'older keys kept'}: ")
        done.set()
        writer.join()
        assert (set(written), set(served)) == ({201}, {200})
        assert gateway.api("PUT", "consumers/john/credentials/twin", {"plugins": {"key-auth": {"key": "key-0"}}}).status == 400
        for worker in gateway.workers():
            gateway.kill_worker(worker)
        assert gateway.get("/anything", headers={"apikey": f"key-{len(written) - 1}"}).status == 200
        assert gateway.stop() == 0
        gateway.start()
        assert gateway.api("GET", "consumers/john/credentials").json()["total"] == len(written)
        for content in (each.read_bytes() for each in (directory / "data").iterdir()):
            assert b"key-0" not in content


# ---- starts that are refused ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a gateway left behind: an object of the file and two of the Admin API."""
    directory = tmp_path_factory.mktemp("kept")
    with Gateway(directory, {"upstreams": [{"id": "u", "nodes": {"127.0.0.1:1": 1}}]}) as gateway:
        for name in ("john", "jane"):
            gateway.put("consumers", {"username": name})
    return directory


def lose(data: Path) -> None:
    (data / "fastgw.keys").unlink()


def confuse(data: Path) -> None:
    """Another secret under the same name."""
    path = data / "fastgw.keys"
    content = json.loads(path.read_text())
    content["keys"][0]["secret"] = base64.b64encode(b"x" * 32).decode()
    path.write_text(json.dumps(content))


def replace(data: Path) -> None:
    path = data / "fastgw.keys"
    path.write_text(json.dumps({"keys": [{"id": "00000000", "secret": base64.b64encode(b"x" * 32).decode()}]}))


def empty(data: Path) -> None:
    (data / "fastgw.keys").write_bytes(b"")


def open_to_all(data: Path) -> None:
    (data / "fastgw.keys").chmod(0o644)


def change(data: Path, value: str) -> None:
    with closing(sqlite3.connect(data / "fastgw.db")) as db, db:
        db.execute(f"UPDATE object SET value = {value} WHERE kind = 'consumers' AND id = 'john'")


def damage(data: Path) -> None:
    change(data, "zeroblob(length(value))")


def swap(data: Path) -> None:
    change(data, "(SELECT value FROM object WHERE kind = 'consumers' AND id = 'jane')")


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lose, "data/fastgw.keys: missing, and data/fastgw.db cannot be read without it: put it back from the backup"),
        (replace, "data/fastgw.keys: expected the key {key}, found 00000000"),
        (empty, "data/fastgw.keys: expected a keyring of fastgw: "),
        (open_to_all, "data/fastgw.keys: expected mode 0600, found 0644"),
        (
            confuse,
            "data/fastgw.db: consumers jane (store) cannot be read: the row is damaged, or key {key} in data/fastgw.keys is",
        ),
        (
            damage,
            "data/fastgw.db: consumers john (store) cannot be read: the row is damaged, or key {key} in data/fastgw.keys is",
        ),
        (swap, "data/fastgw.db: consumers john (store) cannot be read: the row is damaged, or key {key} in data/fastgw.keys is"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_a_gateway_does_not_start_on_what_it_cannot_read(
    kept: Path, tmp_path: Path, harm: Callable[[Path], None], told: str
) -> None:
    """It names the file, ends with 2, and leaves all as it found it."""
    data = Path(shutil.copytree(kept / "data", tmp_path / "data"))
    settings = {
        "listen": ["127.0.0.1:0"],
        "admin": {"listen": "127.0.0.1:0", "key": ADMIN_KEY},
        "data_dir": "data",
    }
    (tmp_path / "config.json").write_text(json.dumps(settings))
    (key,) = ids(tmp_path)
    harm(data)
    before = {each.name: each.read_bytes() for each in data.glob("fastgw.[dk]*[bys]")}
    for command in (["run"], ["keyring", "rotate"]):
        fault = one_fault(fastgw(*command, "config.json", cwd=tmp_path))
        assert fault.startswith(f"fastgw {command[0]}: {told.format(key=key)}"), fault
    if harm not in (confuse, damage, swap):  # a rotation begins with a key of its own
        assert {each.name: each.read_bytes() for each in data.glob("fastgw.[dk]*[bys]")} == before


def test_rotation_needs_a_database(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    fault = one_fault(fastgw("keyring", "rotate", "config.json", cwd=tmp_path))
    assert fault == (
        "fastgw keyring: fastgw-data/fastgw.db: no such database; data_dir of config.json is relative to the working directory"
    )
    assert [each.name for each in tmp_path.iterdir()] == ["config.json"]


def test_what_to_do_with_the_keys_is_to_be_said(tmp_path: Path) -> None:
    assert one_fault(fastgw("keyring", cwd=tmp_path)).startswith("fastgw keyring: the following arguments are required: {rotate}")
