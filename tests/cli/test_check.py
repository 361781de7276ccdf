"""Every bad file of the corpus, as a user meets it: exit code 2, exactly the expected lines, never a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT

CORPUS = ROOT / "tests" / "corpus" / "config"
BAD = sorted(path.name.removesuffix(".expect") for path in CORPUS.glob("*.expect"))


def fastgw(*arguments: str, cwd: Path = CORPUS) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("FASTGW_")}
    command = [sys.executable, "-m", "fastgw", *arguments]
    return subprocess.run(command, cwd=cwd, env={**env, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60)


def test_the_corpus_is_there() -> None:
    assert len(BAD) >= 40


@pytest.mark.parametrize("name", BAD)
def test_check_says_exactly_what_is_wrong(name: str) -> None:
    done = fastgw("check", name)
    assert (done.returncode, done.stdout + done.stderr) == (2, (CORPUS / f"{name}.expect").read_text())


@pytest.mark.parametrize("name", BAD[:3])
def test_a_gateway_does_not_start_on_it(name: str, tmp_path: Path) -> None:
    done = fastgw("run", str(CORPUS / name), cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_good_file_is_good() -> None:
    assert fastgw("check", str(ROOT / "config.json")).returncode == 0
