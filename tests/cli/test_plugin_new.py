"""`fastgw plugin new`: what it writes works as it is, and nothing is written over."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("FASTGW_", "PYTEST_", "COV_"))}
    env["PYTHONPATH"] = str(ROOT)
    return subprocess.run([sys.executable, *arguments], cwd=directory, env=env, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("where", [(), ("--plugins", "own/gateway", "--tests", "checks")])
def test_a_new_plugin_passes_its_test_as_it_is(where: tuple[str, ...], tmp_path: Path) -> None:
    made = run(tmp_path, "-m", "fastgw", "plugin", "new", "my-plugin", *where)
    plugins, tests = (where[1], where[3]) if where else ("plugins", "tests")
    assert (made.returncode, made.stdout) == (0, f"{plugins}/my_plugin.py\n{tests}/test_my_plugin.py\n"), made.stderr
    passed = run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", tests)
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert "1 passed" in passed.stdout
    again = run(tmp_path, "-m", "fastgw", "plugin", "new", "my-plugin", *where)
    assert (again.returncode, again.stderr) == (2, f"fastgw plugin: {plugins}/my_plugin.py: is there already\n")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["My"], "expected letters a to z, digits and '-', 2 to 64, found 'My'"),
        (["../x"], "expected letters a to z, digits and '-', 2 to 64, found '../x'"),
        (["key-auth"], '"key-auth" is that of a plugin of the gateway; expected another'),
        (["import"], '"import" is a word of Python; expected another'),
        (["good", "--tests", "plugins"], "plugins: every file in the directory of plugins is one; expected another for the test"),
    ],
)
def test_a_plugin_that_cannot_be_begun(arguments: list[str], why: str, tmp_path: Path) -> None:
    done = run(tmp_path, "-m", "fastgw", "plugin", "new", *arguments)
    assert (done.returncode, done.stderr) == (2, f"fastgw plugin: {why}\n")
    assert list(tmp_path.iterdir()) == []
