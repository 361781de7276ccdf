"""`fastgw export` and `fastgw import`: whole sets in and out, of a gateway that runs and of one that does not."""

import json
import os
import pty
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.gateway import ADMIN_KEY, Gateway
from tests.support.processes import ROOT
from tests.support.waiting import until

UPSTREAM = {"type": "roundrobin", "nodes": {"127.0.0.1:1980": 1}}
FILE = {"routes": [{"id": "filed", "uri": "/filed", "upstream": UPSTREAM}]}
SET: dict[str, Any] = {
    "routes": [{"id": "b", "uri": "/b", "upstream_id": "u"}, {"id": "a", "uri": "/a", "upstream": UPSTREAM, "desc": "0o17"}],
    "upstreams": [{"id": "u", **UPSTREAM}],
    "consumers": [{"username": "john", "credentials": [{"id": "c", "plugins": {"key-auth": {"key": "johns-secret-key"}}}]}],
}


def fastgw(*arguments: str, cwd: Path, key: str | None = ADMIN_KEY, stdin: Any = subprocess.DEVNULL) -> Any:
    env = {name: value for name, value in os.environ.items() if not name.startswith("FASTGW_")}
    if key is not None:
        env["FASTGW_ADMIN_KEY"] = key
    command = [sys.executable, "-m", "fastgw", *arguments]
    env["PYTHONPATH"] = str(ROOT)
    return subprocess.run(command, cwd=cwd, env=env, stdin=stdin, capture_output=True, text=True, timeout=60)


def good(*arguments: str, cwd: Path, **more: Any) -> str:
    done = fastgw(*arguments, cwd=cwd, **more)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def refused(*arguments: str, cwd: Path, **more: Any) -> list[str]:
    done = fastgw(*arguments, cwd=cwd, **more)
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return list(done.stderr.splitlines())


def stopped(directory: Path, objects: dict[str, Any] = FILE) -> Path:
    """A config file of a gateway that does not run."""
    directory.mkdir(exist_ok=True)
    (directory / "config.json").write_text(json.dumps({"data_dir": "data", "admin": {"listen": "127.0.0.1:0"}, **objects}))
    return directory


def put(directory: Path, name: str = "set.json", data: Any = SET) -> str:
    (directory / name).write_text(json.dumps(data))
    return name


# ---- a gateway that does not run -----------------------------------------------------------------


def test_through_empty_gateways_the_bytes_are_the_same(tmp_path: Path) -> None:
    format = "yaml"
    one, two = stopped(tmp_path / "one", {}), stopped(tmp_path / "two", {})
    good("import", "config.json", put(one), "--yes", cwd=one)
    first = good("export", "config.json", "--format", format, cwd=one)
    name = f"set.{format}"
    (two / name).write_text(first)
    good("import", "config.json", name, "--yes", cwd=two)
    assert good("export", "config.json", "--format", format, cwd=two) == first
    assert good("export", "config.json", "--format", format, "--layer", "store", cwd=two) == first
    assert yaml.safe_load(first)["consumers"] == SET["consumers"]
    (two / name).rename(two / f"config.{format}")
    assert good("check", f"config.{format}", cwd=two) == f"config.{format}: ok\n"


def test_times_can_go_along(tmp_path: Path) -> None:
    one, two = stopped(tmp_path / "one", {}), stopped(tmp_path / "two", {})
    timed = {"routes": [{**SET["routes"][1], "create_time": 5, "update_time": 7}]}
    good("import", "config.json", put(one, data=timed), "--yes", cwd=one)
    first = good("export", "config.json", "--times", cwd=one)
    assert json.loads(first) == timed
    (two / "set.json").write_text(first)
    good("import", "config.json", "set.json", "--yes", cwd=two)
    assert good("export", "config.json", "--times", cwd=two) == first
    assert "create_time" not in good("export", "config.json", cwd=two)


def test_a_written_file_is_private_and_says_so(tmp_path: Path) -> None:
    stopped(tmp_path)
    (tmp_path / "out.yaml").write_text("old")
    (tmp_path / "out.yaml").chmod(0o644)
    done = fastgw("export", "config.json", "-o", "out.yaml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "fastgw export: out.yaml: mode 0600, it holds secrets\n"
    assert stat.S_IMODE((tmp_path / "out.yaml").stat().st_mode) == 0o600
    assert yaml.safe_load((tmp_path / "out.yaml").read_text()) == FILE
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "out.yaml"]  # to look leaves no trace


def test_layers(tmp_path: Path) -> None:
    stopped(tmp_path)
    good("import", "config.json", put(tmp_path), "--yes", cwd=tmp_path)
    effective = json.loads(good("export", "config.json", cwd=tmp_path))
    store = json.loads(good("export", "config.json", "--layer", "store", cwd=tmp_path))
    assert [each["id"] for each in effective["routes"]] == ["filed", "b", "a"]
    assert [each["id"] for each in store["routes"]] == ["b", "a"]
    # What the file says is known even before the gateway has read it.
    stopped(tmp_path, {"routes": [{**FILE["routes"][0], "uri": "/edited"}]})
    assert json.loads(good("export", "config.json", cwd=tmp_path))["routes"][0]["uri"] == "/edited"


def test_the_difference_is_shown_and_secrets_are_not(tmp_path: Path) -> None:
    stopped(tmp_path)
    over = {**SET, "routes": [*SET["routes"], {**FILE["routes"][0], "uri": "/over"}]}
    good("import", "config.json", put(tmp_path, data=over), "--yes", cwd=tmp_path)
    credential = {"id": "c", "plugins": {"key-auth": {"key": "another-secret-key"}}}
    changed = {
        "routes": [{**SET["routes"][0], "uri": "/changed"}, {"id": "new", "uri": "/new", "upstream": UPSTREAM}],
        "upstreams": SET["upstreams"],
        "consumers": [{"username": "john", "credentials": [credential]}],
    }
    put(tmp_path, data=changed)
    for arguments in (["--dry-run"], ["--yes"]):
        shown = good("import", "config.json", "set.json", *arguments, cwd=tmp_path)
        assert shown.startswith(
            '--- /dev/null\n+++ routes/new (set.json)\n@@ -0,0 +1,10 @@\n+{\n+  "id": "new",\n+  "upstream": {\n'
        )
        assert '--- routes/b (served)\n+++ routes/b (set.json)\n@@ -1,5 +1,5 @@\n {\n   "id": "b",\n' in shown
        assert '-  "uri": "/b"\n+  "uri": "/changed"\n' in shown
        assert '--- routes/filed (served)\n+++ routes/filed (config file, comes back)\n-uri: "/over"\n+uri: "/filed"\n' in shown
        assert "--- routes/a (served)\n+++ /dev/null\n@@ -1,11 +0,0 @@\n-{\n" in shown
        assert "!plugins.key-auth.key: changes; it is, or holds, a secret and is not shown\n" in shown
        assert "-secret-key" not in shown
        assert (
            "routes: 1 created, 2 updated, 1 deleted, 1 not in the set and kept, as config.json declares them\n"
            "upstreams: 1 unchanged\n"
            "consumers: 1 updated, 1 unchanged\n"
        ) in shown
        assert shown.endswith("applied: it is served when the gateway starts\n") is (arguments == ["--yes"])
    quiet = good("import", "config.json", "set.json", "-q", cwd=tmp_path)
    assert quiet.splitlines()[-1] == "nothing to change"
    assert "---" not in quiet


def test_nothing_is_changed_unasked(tmp_path: Path) -> None:
    stopped(tmp_path)
    before = good("export", "config.json", cwd=tmp_path)
    told = refused("import", "config.json", put(tmp_path), cwd=tmp_path)
    assert told == ["fastgw import: nothing was changed: --yes is needed where nobody can be asked"]
    for answer, changed in (("n\n", False), ("\n", False), ("y\n", True)):
        ours, terminal = pty.openpty()
        os.write(ours, answer.encode())
        shown = good("import", "config.json", "set.json", "-q", cwd=tmp_path, stdin=terminal)
        os.close(terminal)
        os.close(ours)
        assert "Apply to the store (no gateway runs)? [y/N] " in shown
        assert ("nothing was changed" not in shown) is changed
        assert (good("export", "config.json", cwd=tmp_path) != before) is changed


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (
            {"routes": [{"id": "r", "uri": 7, "plugins": {}}]},
            'set.json: routes[0].uri: expected str, found int (route "r")',
        ),
        (
            {"routes": [{"id": "r", "uri": "/r", "upstream_id": "gone"}]},
            'set.json: routes[0]: failed to fetch upstream info by upstream id [gone], response code: 404 (id "r")',
        ),
        (
            {"routes": [*FILE["routes"], *FILE["routes"]]},
            'set.json: routes[1]: found duplicate id filed in routes (id "filed")',
        ),
        ({"rutes": []}, 'set.json: rutes: unknown key; nearest known key is "routes"'),
        ([], "set.json: expected dict, found list"),
    ],
)
@pytest.mark.parametrize("running", [False, True])
def test_faults_name_file_place_and_object(
    directory: Path, request: pytest.FixtureRequest, running: bool, data: Any, told: str
) -> None:
    if running:
        gateway: Gateway = request.getfixturevalue("gateway")
        cwd, more = gateway.directory, ("--admin", str(gateway.admin))
    else:
        cwd, more = stopped(directory), ()
    assert refused("import", "config.json", put(cwd, data=data), "--yes", *more, cwd=cwd) == [told]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["import", "config.json", "no.json"], "fastgw import: no.json: No such file or directory"),
        (["import", "config.json", "config.txt"], "config.txt: expected a file that ends in one of .json, .yaml, .yml, .toml"),
        (["import", "config.json", "bad.json"], "bad.json: 1:2: expecting property name enclosed in double quotes"),
        (["import", "config.json"], "fastgw import: the following arguments are required: FILE (see fastgw import --help)"),
        (["export", "no.json"], "no.json: cannot be read: No such file or directory"),
        (["export", "config.json", "-o", "no/where.json"], "fastgw export: "),
        (["export", "config.json", "--layer", "file"], "fastgw export: argument --layer: invalid choice: 'file'"),
        (
            ["export", "config.json", "--admin", "127.0.0.1:1"],
            "fastgw export: the running gateway (127.0.0.1:1): cannot be asked: ",
        ),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(tmp_path: Path, arguments: list[str], told: str) -> None:
    stopped(tmp_path)
    (tmp_path / "bad.json").write_text("{nope")
    (line,) = refused(*arguments, cwd=tmp_path)
    assert line.startswith(told)


def test_an_import_is_in_the_audit_log_when_the_gateway_runs(tmp_path: Path) -> None:
    good("import", "config.json", put(stopped(tmp_path)), "--yes", cwd=tmp_path)
    with Gateway(tmp_path, FILE):
        log = tmp_path / "data" / "audit.log"
        (line,) = until(lambda: log.read_text().splitlines(), "the admin process has begun")
    entry = json.loads(line)
    assert (entry["method"], entry["key"], entry["outcome"], entry["seq"]) == ("IMPORT", None, "committed", 1)
    assert {"object": "upstreams/u", "path": "id", "after": "u"} in entry["changes"]
    assert "johns-secret-key" not in json.dumps(entry)


# ---- a gateway that runs -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The environment of the gateway has a key that the one of the command has not."""
    with Gateway(tmp_path_factory.mktemp("gateway"), {"echo": True, **FILE}, env={"CREDENTIAL_KEY": "of-the-gateway"}) as running:
        yield running


def test_an_import_is_live_on_return(gateway: Gateway) -> None:
    cwd, where = gateway.directory, ("--admin", str(gateway.admin))
    upstream = {"type": "roundrobin", "nodes": {str(gateway.echo): 1}}
    for number in range(3):
        routes = [{"id": "x", "uri": f"/anything/live/{number}", "upstream": upstream, "plugins": {"key-auth": {}}}]
        consumers = [
            {"username": "env", "plugins": {"key-auth": {"key": "$env://CREDENTIAL_KEY"}}},
            {"username": "plain", "plugins": {"key-auth": {"key": f"key-{number}"}}},
        ]
        name = put(cwd, "live.json", {"routes": routes, "consumers": consumers})
        shown = good("import", "config.json", name, "--yes", *where, cwd=cwd)
        assert shown.endswith("applied: every worker serves it\n")
        assert gateway.get(f"/anything/live/{number}", headers={"apikey": f"key-{number}"}).status == 200
        assert gateway.get(f"/anything/live/{number}", headers={"apikey": f"key-{number - 1}"}).status == 401
        assert gateway.get(f"/anything/live/{number - 1}").status == 404
    exported = good("export", "config.json", *where, cwd=cwd)
    assert json.loads(exported)["consumers"] == consumers
    assert good("import", "config.json", put(cwd, data=json.loads(exported)), *where, cwd=cwd).endswith("nothing to change\n")
    good("import", "config.json", put(cwd, data={}), "--yes", *where, cwd=cwd)
    assert gateway.get("/anything/live/2").status == 404
    assert json.loads(good("export", "config.json", *where, cwd=cwd)) == FILE


def test_who_may_not_is_told_so(gateway: Gateway) -> None:
    cwd, where = gateway.directory, ("--admin", str(gateway.admin))
    at = f"the running gateway ({gateway.admin})"
    assert refused("export", "config.json", *where, cwd=cwd, key="wrong-but-long-enough") == [
        f"fastgw export: {at}: answered 401: wrong apikey"
    ]
    (line,) = refused("export", "config.json", cwd=cwd)
    assert line == "fastgw export: admin.listen has port 0, so the system chose one: name the address, --admin HOST:PORT"
    (line,) = refused("export", "config.json", *where, cwd=cwd, key=None)
    assert line.startswith("fastgw export: no admin key: neither FASTGW_ADMIN_KEY nor admin.key of the config is set, and ")


def test_the_running_gateway_is_found_by_its_own_config(directory: Path) -> None:
    """By the lock on its directory, the address in the file, and the key that it made."""
    socket = directory / "admin.sock"
    config = {"admin": {"listen": f"unix:{socket}", "key": "the-key-of-the-file"}, **FILE}
    (directory / "c.json").write_text(json.dumps({"listen": ["127.0.0.1:0"], "data_dir": "data", "workers": 1, **config}))
    command = [sys.executable, "-m", "fastgw", "c.json"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("FASTGW_")} | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=directory, env=env, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        assert any("ready: listen" in line for line in process.stderr)
        shown = good("import", "c.json", put(directory), "--yes", cwd=directory, key=None)
        assert shown.endswith("applied: every worker serves it\n")
        exported = json.loads(good("export", "c.json", cwd=directory, key=None))
        assert exported == {**SET, "routes": [*FILE["routes"], *SET["routes"]]}
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert json.loads(good("export", "c.json", cwd=directory, key=None)) == exported
