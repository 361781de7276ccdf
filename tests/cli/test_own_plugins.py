"""Plugins of users that cannot be used, as their author meets it: exit code 2, a line for each fault, never a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fastgw.plugins.trust import distrust_of
from tests.plugins.own import HEAD, package, source, write
from tests.support.processes import ROOT

GOOD = source("good", "    def log(self, conf, request): pass", phases='("log",)', conf="    value: int = 1")


def fastgw(*arguments: str, cwd: Path, site: Path | None = None) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("FASTGW_")}
    path = os.pathsep.join(str(each) for each in (ROOT, site) if each is not None)
    command = [sys.executable, "-m", "fastgw", *arguments]
    return subprocess.run(command, cwd=cwd, env={**env, "PYTHONPATH": path}, capture_output=True, text=True, timeout=60)


def checked(directory: Path, config: dict[str, Any] | None = None, site: Path | None = None) -> str:
    """What `fastgw check` says of plugins in a config that has no other fault."""
    if config is None:
        config = {"plugins_dir": "plugins"}
    (directory / "c.json").write_text(json.dumps(config))
    done = fastgw("check", "c.json", cwd=directory, site=site)
    assert (done.returncode == 0) == (done.stdout == "c.json: ok\n")
    assert done.returncode in (0, 2)
    return done.stderr


def own(*lines: str) -> str:
    return HEAD + "class Conf(PluginConf): pass\nclass Own(Plugin):\n" + "".join(f"    {line}\n" for line in lines)


BAD: dict[str, tuple[str, list[str]]] = {
    "syntax": ("\nx =\n", ["line 2: SyntaxError: invalid syntax"]),
    "module": ("import nothere\n", ["line 1: ModuleNotFoundError: No module named 'nothere'"]),
    "leaving": ("import sys\ndef f():\n    sys.exit('a\\nb')\nf()\n", ["line 3: SystemExit: a b"]),
    "silent": ("raise ValueError\n", ["line 1: ValueError"]),
    "nul": ("x = '\0'\n", ["SyntaxError: source code string cannot contain null bytes"]),
    "none": ("from fastgw.plugin import Plugin\n", ["expected one class derived from Plugin, found none"]),
    "two": (
        own("pass") + "class Another(Own): pass\n",
        ["expected one class derived from Plugin, found Own and Another"],
    ),
    "empty": (own("pass"), ["name: missing", "priority: missing", "phases: missing", "conf: missing"]),
    "members": (
        own('name = "Äh"', "priority = True", 'version = "1"', 'phases = "log"', "conf = PluginConf", 'kind = "auth"'),
        [
            "name: expected letters a to z, digits, '-' and '_', at most 64, found \"\\u00c4h\"",
            "priority: expected int of 32 bits, found true",
            "version: expected number, found str",
            "kind, consumer_conf, key_field, group_field, member_refusal, members, conditions: not open to plugins of one's own",
            "conf: expected a class derived from PluginConf",
            'phases: expected a tuple such as ("access",), found "log"',
        ],
    ),
    "phases": (
        own('name = "x"', "priority = 1", "conf = Conf", 'phases = ("acces", "log", "log", 5)'),
        [
            'phases: expected some of rewrite, access, before_proxy, header_filter, body_filter, log, found "acces"',
            "phases: expected some of rewrite, access, before_proxy, header_filter, body_filter, log, found 5",
            "phases: expected each once",
            "log: missing, and in phases",
        ],
    ),
    "endpoints": (
        own('name = "x"', "priority = 1", "conf = Conf", "phases = ()", 'endpoints = {"GET": "provision", "GET /a": "b"}'),
        [
            'endpoints: expected a method and a path such as "GET /a", found "GET"',
            'endpoints: expected the name of a method, found "b"',
        ],
    ),
    "methods": (
        own(
            'name = "x"',
            "priority = 2**31",
            "conf = Conf",
            'phases = ("rewrite", "header_filter", "body_filter", "log")',
            "def rewrite(self, request): pass",
            "def access(self, conf, request): pass",
            "async def header_filter(self, conf, request): pass",
            "def body_filter(self, conf, request): pass",
            "log = 5",
        ),
        [
            "priority: expected int of 32 bits, found 2147483648",
            "rewrite: expected rewrite(self, conf, request)",
            "access: a method of a phase that is not in phases",
            "header_filter: cannot be async; rewrite and access can",
            "body_filter: expected body_filter(self, conf, request, piece, last)",
            "log: expected log(self, conf, request)",
        ],
    ),
    "types": (
        "import datetime\n"
        + source(
            "types",
            "    def log(self, conf, request): pass",
            phases='("log",)',
            conf="    when: datetime.datetime\n    pair: tuple[int, int]\n    many: list[dict[str, set[int]]]",
        ),
        [f"conf: {name}: expected a type that JSON has" for name in ("when", "pair", "many")],
    ),
    "made": (
        own(
            'name = "x"',
            "priority = 1",
            "conf = Conf",
            'phases = ("log",)',
            "def log(self, conf, request): pass",
            "def __init__(self): self.x",
        ),
        ["AttributeError: 'Own' object has no attribute 'x'"],
    ),
    "shipped": (
        source("key-auth", "    def log(self, conf, request): pass", phases='("log",)'),
        ['name: "key-auth" is that of a plugin of the gateway; expected another'],
    ),
    "zoo": (GOOD, ['name: "good" is that of plugins/good.py; expected another']),
}


def test_every_fault_is_one_line(tmp_path: Path) -> None:
    write(tmp_path, good=GOOD, _helper="raise ValueError", **{name: text for name, (text, _) in BAD.items()})
    (tmp_path / "plugins" / "notes.txt").write_text("no plugin")
    expected = {f"c.json: plugins_dir: plugins/{name}.py: {line}" for name, (_, lines) in BAD.items() for line in lines}
    said = checked(tmp_path).splitlines()
    assert set(said) == expected
    assert len(said) == len(expected)
    done = fastgw("run", "c.json", cwd=tmp_path)
    assert (done.returncode, done.stderr.splitlines()) == (2, said)
    assert not (tmp_path / "fastgw-data").exists()


def test_a_good_one_is_known_to_every_command(tmp_path: Path) -> None:
    write(tmp_path, good=GOOD)
    route = {"id": "1", "uri": "/", "plugins": {"good": {"value": "x"}}, "upstream": {"nodes": {"127.0.0.1:1": 1}}}
    wrong = {"plugins_dir": "plugins", "routes": [route]}
    assert checked(tmp_path, wrong) == "c.json: routes[0].plugins.good.value: expected int, found str\n"
    for option in ((), ("--openapi",)):
        assert '"good"' not in fastgw("schema", *option, cwd=tmp_path).stdout
        schema = fastgw("schema", *option, "c.json", cwd=tmp_path)  # what else is wrong in it does not matter
        assert (schema.returncode, schema.stderr) == (0, "")
        assert '"good"' in schema.stdout
        json.loads(schema.stdout)
    route["plugins"] = {"good": {}}
    assert checked(tmp_path, wrong) == ""
    asked = fastgw("explain", "c.json", "GET", "http://h/", cwd=tmp_path)
    assert asked.returncode == 0
    assert not list((tmp_path / "plugins").glob("__pycache__"))


def test_a_setting_that_is_no_directory(tmp_path: Path) -> None:
    assert checked(tmp_path) == "c.json: plugins_dir: plugins: cannot be read: No such file or directory\n"
    (tmp_path / "plugins").write_text("")
    assert checked(tmp_path) == "c.json: plugins_dir: plugins: cannot be read: Not a directory\n"
    assert checked(tmp_path, {"plugins_dir": 5}) == "c.json: plugins_dir: expected str, found int\n"
    assert checked(tmp_path, {"plugins_dir": "$env://NOT_SET"}).startswith("c.json: plugins_dir: environment variable")


def test_of_what_others_may_write_nothing_is_run(tmp_path: Path) -> None:
    tmp_path = tmp_path.resolve()
    files = write(tmp_path, good="open('ran', 'w')\n" + GOOD)
    told = "others may write to it (mode {}); expected none, chmod go-w\n"

    def said(path: Path, mode: int) -> str:
        before = path.stat().st_mode
        path.chmod(mode)
        try:
            return checked(tmp_path)
        finally:
            path.chmod(before)

    in_directory = "c.json: plugins_dir: "
    in_file = f"{in_directory}plugins/good.py: "
    for mode in (0o775, 0o757, 0o777):
        assert said(files, mode) == f"{in_directory}{files}: {told.format(f'{mode:04o}')}"
    for mode in (0o664, 0o646):
        assert said(files / "good.py", mode) == f"{in_file}{files / 'good.py'}: {told.format(f'{mode:04o}')}"
    assert said(tmp_path, 0o777) == f"{in_directory}{tmp_path}: {told.format('0777')}"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (files / "good.py").rename(elsewhere / "good.py")
    (files / "good.py").symlink_to(elsewhere / "good.py")
    assert said(elsewhere, 0o775) == f"{in_file}{elsewhere}: {told.format('0775')}"
    assert not (tmp_path / "ran").exists()
    assert said(tmp_path, 0o775).startswith(f"{in_directory}{tmp_path}: ")
    assert checked(tmp_path) == ""
    assert (tmp_path / "ran").exists()


def test_what_another_user_owns_is_not_trusted() -> None:
    def state(uid: int) -> os.stat_result:
        return os.stat_result((0o100600, 0, 0, 1, uid, 0, 0, 0, 0, 0))

    assert distrust_of(state(os.geteuid())) is distrust_of(state(0)) is None
    assert distrust_of(state(12345)) == "owned by user 12345; expected the user who runs the gateway, or root"


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ("x = nothere:Own", "(nothere:Own): ModuleNotFoundError: No module named 'nothere'"),
        ("x = brought:Nobody", "(brought:Nobody): AttributeError: module 'brought' has no attribute 'Nobody'"),
        ("x = brought:Conf", "(brought:Conf): expected a class derived from Plugin"),
        ("x = brought", "(brought): expected a class derived from Plugin"),
        ("x = brought:Own\ny = brought:Own", None),
    ],
)
def test_faults_of_packages(entry: str, fault: str | None, tmp_path: Path) -> None:
    site = package(tmp_path, "brought", GOOD, entry)
    write(tmp_path)
    expected = f'c.json: entry point "x" {fault}\n'
    if fault is None:
        y = 'c.json: entry point "y" (brought:Own)'
        first = 'entry point "x" (brought:Own)'
        expected = (
            f"{y}: Conf: also of {first}; expected one of its own\n" + f'{y}: name: "good" is that of {first}; expected another\n'
        )
    assert checked(tmp_path, {}, site) == expected
    if fault is not None:
        done = fastgw("schema", cwd=tmp_path, site=site)
        assert (done.returncode, done.stderr) == (2, expected.replace("c.json", "plugins"))
