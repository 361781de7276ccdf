"""What is published: the source distribution has all that a build wants, and all that belongs into a wheel."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.support.processes import ROOT

BUILT = {".so", ".pyc"}
SDIST = "import setuptools.build_meta as backend; print(backend.build_sdist('dist'))"


def sources() -> set[str]:
    """The files of the package, without what builds have written."""
    found = {str(path.relative_to(ROOT)) for path in (ROOT / "fastgw").rglob("*") if path.is_file() and path.suffix not in BUILT}
    return found - {"fastgw/_core.c"}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources, as builds write beside them. What Cython has made is taken along where it is there, and not made again."""
    there = tmp_path_factory.mktemp("sources")
    for each in (*sources(), "setup.py", "pyproject.toml", "README.md", "LICENSE", "fastgw/_core.c"):
        if (ROOT / each).exists():
            (there / each).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / each, there / each)
    if (there / "fastgw/_core.c").exists():
        os.utime(there / "fastgw/_core.c")
    return there


def test_the_source_distribution_is_whole(copy: Path) -> None:
    done = subprocess.run([sys.executable, "-c", SDIST], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    with tarfile.open(copy / "dist" / done.stdout.split()[-1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert sources() - names == set()
    assert {"setup.py", "pyproject.toml", "LICENSE", "README.md", "fastgw/_core.c"} <= names
    assert not {name for name in names if name.endswith((".so", ".pyc"))}


def test_a_wheel_has_what_is_run_and_what_others_build_with(copy: Path) -> None:
    """But for the extension, which this does not build."""
    command = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", "wheel"]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    found = {str(path.relative_to(copy / "wheel")) for path in (copy / "wheel").rglob("*") if path.is_file()}
    page = {each for each in sources() if each.startswith("fastgw/admin/ui/")}
    assert "fastgw/admin/ui/index.html" in page
    beside = {"fastgw/py.typed", "fastgw/_core.pyi", "fastgw/capi.pxd", "fastgw/include/fastgw.h"}
    assert found == {each for each in sources() if each.endswith(".py")} | beside | page
