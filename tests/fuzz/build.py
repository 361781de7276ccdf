"""Builds what guided runs need, under build/fuzz: the core as clang instruments it, and the driver with libFuzzer.

Owns: the commands. Neither touches the extension that is installed. Must not know targets.
"""

from __future__ import annotations

import importlib.machinery
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
WORK = ROOT / "build" / "fuzz"
CLANG = "clang"


class Built(NamedTuple):
    core: Path
    driver: Path


def possible() -> bool:
    """Whether this machine can: clang, and a Python that can be embedded."""
    return shutil.which(CLANG) is not None and bool(sysconfig.get_config_var("Py_ENABLE_SHARED"))


def build() -> Built:
    """Both, made anew where their sources are newer. The core takes some minutes."""
    core = WORK / "lib" / "fastgw" / f"_core{importlib.machinery.EXTENSION_SUFFIXES[0]}"
    parts = [ROOT / "fastgw" / "_core.pyx", ROOT / "setup.py", *(ROOT / "fastgw" / "native").iterdir()]
    if _older(core, parts):
        print("build/fuzz: compiling the core with clang; this takes some minutes", flush=True)
        environment = {**os.environ, "FASTGW_BUILD": "fuzz", "CC": CLANG, "LDSHARED": f"{CLANG} -shared"}
        command = [sys.executable, "setup.py", "-q", "build_ext", "--force", "-b", WORK / "lib", "--build-temp", WORK / "tmp"]
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
    driver, source = WORK / "driver", ROOT / "tests" / "fuzz" / "driver.c"
    if _older(driver, [source]):
        library = str(sysconfig.get_config_var("LIBDIR"))
        options = ["-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fsanitize=fuzzer,address,undefined", "-Wl,--export-dynamic"]
        python = [f"-I{sysconfig.get_path('include')}", f"-L{library}", f"-Wl,-rpath,{library}"]
        version = sysconfig.get_config_var("LDVERSION")
        subprocess.run([CLANG, *options, *python, source, f"-lpython{version}", "-o", driver], check=True)
    return Built(core, driver)


def _older(made: Path, parts: list[Path]) -> bool:
    return not made.exists() or made.stat().st_mtime < max(part.stat().st_mtime for part in parts)
