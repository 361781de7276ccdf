"""Builds the one extension, fastgw._core, from its root; everything else is in pyproject.toml.

FASTGW_BUILD chooses the build: release (default), debug (assertions, no optimisation), sanitize
(AddressSanitizer and UBSan; run Python with libasan preloaded, see docs/native.md) or fuzz (the same by clang, with the
coverage that guides libFuzzer; `python -m tests.fuzz` makes and runs it).
"""

import os
import sys
from pathlib import Path

from setuptools import Extension, setup

try:
    from Cython.Build import cythonize
except ImportError:  # an sdist brings the C along: then a C compiler is all that it takes
    cythonize = None

BUILD = os.environ.get("FASTGW_BUILD", "release")
FAULTS = ["-DFASTGW_DEBUG", "-DFASTGW_FAULTS", "-fno-omit-frame-pointer", "-fno-sanitize-recover=undefined"]
FLAGS = {
    # -g1: lines, by which instructions are counted; all that Python's own -g asks for doubles the compiler's time.
    "release": (["-O3", "-g1", "-DNDEBUG", "-fno-semantic-interposition"], []),
    "debug": (["-O0", "-g", "-DFASTGW_DEBUG"], []),
    "sanitize": (
        ["-O1", "-g", *FAULTS, "-fsanitize=address,undefined"],
        ["-fsanitize=address,undefined"],
    ),
    # The runtimes are in the program that loads it.
    "fuzz": (["-O1", "-gline-tables-only", *FAULTS, "-fsanitize=fuzzer-no-link,address,undefined"], []),
}
# The C that Cython writes is not ours to tidy: these few warnings come from its own boilerplate.
# In a checkout they are errors; a newer compiler must not break an installation from the sdist.
STRICT = ["-Werror"] if Path(".git").exists() else []
WARNINGS = [
    *STRICT,
    "-Wall",
    "-Wextra",
    "-Wno-unused-parameter",
    "-Wno-unused-function",
    "-Wno-missing-field-initializers",
    "-Wno-cast-function-type",
    "-Wno-deprecated-declarations",
]

if BUILD not in FLAGS:
    sys.exit(f"setup.py: FASTGW_BUILD: expected one of {', '.join(FLAGS)}, found {BUILD!r}")

compile_args, link_args = FLAGS[BUILD]
core = Extension(
    "fastgw._core",
    sources=["fastgw/_core.c" if cythonize is None else "fastgw/_core.pyx"],
    # Also what belongs into an sdist: there the source is what Cython has made of it.
    depends=[
        "fastgw/_core.pyx",
        "fastgw/_core.pxd",
        *sorted(str(p) for room in ("native", "include") for p in Path("fastgw", room).iterdir()),
    ],
    include_dirs=["fastgw/native", "fastgw/include"],
    define_macros=[("FASTGW_BUILD", f'"{BUILD}"')],
    extra_compile_args=["-std=gnu11", "-fvisibility=hidden", *WARNINGS, *compile_args],
    extra_link_args=link_args,
    libraries=["dl"],  # dlopen, which glibc has in itself only since 2.34
)
setup(ext_modules=[core] if cythonize is None else cythonize([core], compiler_directives={"language_level": "3str"}))
