"""The command line as a process: exit codes, and one clear line for every fault of the user."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import fastgw
from tests.support.gateway import Gateway
from tests.support.processes import ROOT

GUIDE_CONFIG = ROOT / "config.json"


def command(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fastgw", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def faults(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines of a refusal."""
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()


def test_version() -> None:
    done = command("--version")
    assert (done.returncode, done.stdout) == (0, f"fastgw {fastgw.__version__}\n")


@pytest.mark.parametrize("name", ["run", "check", "token", "echo", "schema", "export", "import", "keyring"])
def test_every_command_has_help(name: str) -> None:
    done = command(name, "--help")
    assert done.returncode == 0
    assert f"usage: fastgw {name}" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "fastgw: the following arguments are required"),
        (["run"], "fastgw run: the following arguments are required: config"),
        (["--workers", "0", "config.json"], "fastgw run: argument --workers: expected 1 to 120, found '0'"),
        (["--workers", "many", "config.json"], "argument --workers: expected 1 to 120, found 'many'"),
        (["config.json", "another"], "unrecognized arguments: another"),
        (["--wrkers", "2", "config.json"], "unrecognized arguments: --wrkers"),
        (
            ["echo", "--listen", "nowhere"],
            "--listen: expected 'host:port' with a port from 0 to 65535, or 'unix:/path', found 'nowhere'",
        ),
        (["echo", "--listen", "127.0.0.1:99999"], "found '127.0.0.1:99999'"),
        (
            ["echo", "--listen", "unix:/no/such/directory/s"],
            "fastgw echo: unix:/no/such/directory/s: No such file",
        ),
    ],
)
def test_a_bad_command_line_is_told_in_one_line(arguments: list[str], told: str) -> None:
    (line,) = faults(command(*arguments))
    assert told in line


def test_a_taken_port_is_told_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        (line,) = faults(command("echo", "--listen", where))
    assert line == f"fastgw echo: {where}: Address already in use"


def test_check_accepts_the_shipped_config() -> None:
    done = command("check", str(GUIDE_CONFIG))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{GUIDE_CONFIG}: ok\n", "")


def test_check_tells_every_fault_with_its_place(tmp_path: Path) -> None:
    config = json.loads(GUIDE_CONFIG.read_text())
    config["workrs"] = 2
    config["routes"][0]["plugins"]["jwt-auth"]["header"] = 7
    (tmp_path / "config.json").write_text(json.dumps(config))
    lines = faults(command("check", "config.json", cwd=tmp_path))
    assert "config.json: routes[0].plugins.jwt-auth.header: expected str, found int" in lines
    assert any(line.startswith("config.json: workrs: ") and "workers" in line for line in lines)
    assert len(lines) == 2


@pytest.mark.parametrize("how", [["check"], ["run"], []])
@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("missing.json", None, "missing.json: cannot be read: No such file or directory"),
        ("broken.json", "{", "broken.json: "),
        ("list.json", "[]", "list.json: expected dict, found list"),
        ("odd.ini", "x", "odd.ini: expected a file that ends in one of"),
    ],
)
def test_an_unusable_file_is_code_2(tmp_path: Path, how: list[str], name: str, content: str | None, told: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    (line,) = faults(command(*how, name, cwd=tmp_path))
    assert line.startswith(told)


def test_schema_is_json_and_knows_the_settings() -> None:
    done = command("schema")
    assert (done.returncode, done.stderr) == (0, "")
    assert {"listen", "workers", "routes", "consumers"} <= set(properties(json.loads(done.stdout)))


def properties(schema: dict[str, object]) -> dict[str, object]:
    """The properties of the schema's root, which may be a reference."""
    found: object = schema
    if isinstance(reference := schema.get("$ref"), str):
        for part in reference.removeprefix("#/").split("/"):
            assert isinstance(found, dict)
            found = found[part]
    assert isinstance(found, dict)
    assert isinstance(found["properties"], dict)
    return found["properties"]


def test_run_stops_as_asked_with_code_0(directory: Path) -> None:
    with Gateway(directory, arguments=("--workers", "2")) as gateway:
        assert len(gateway.workers()) == 2
        assert gateway.stop() == 0
    assert "Traceback" not in gateway.log()


def test_run_tells_of_a_taken_port_in_one_line(directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        (directory / "c.json").write_text(json.dumps({"listen": [where], "admin": {"listen": "127.0.0.1:0"}}))
        lines = faults(command("c.json", cwd=directory))
    assert lines[-1] == f"fastgw run: {where}: Address already in use"
