"""llhttp out of httptools: the proof at import, and what it says about a library that does not fit.

Owns: the llhttp room. Must not know heads.
"""

import ctypes
import shutil
import subprocess
from pathlib import Path

import httptools
import pytest
from httptools.parser import parser

from fastgw import _core

COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")

# A library with llhttp's names and, unless told otherwise, its layout; it parses nothing.
IMPOSTOR = """
#include <string.h>
void llhttp_settings_init(void *s) { memset(s, 0, SETTINGS); }
void llhttp_init(char *p, int type, void *settings) {
  memset(p, 0, PARSER);
  p[72] = (char)type;
  memcpy(p + 88, &settings, sizeof settings);
}
int llhttp_get_errno(const char *p) { int e; memcpy(&e, p + ERROR, sizeof e); return e; }
const char *llhttp_get_error_reason(const char *p) { const char *r; memcpy(&r, p + 32, sizeof r); return r; }
const char *llhttp_get_error_pos(const char *p) { const char *r; memcpy(&r, p + 40, sizeof r); return r; }
void llhttp_resume(char *p) { memset(p + 24, 0, 4); }
int llhttp_execute(char *p, const char *at, unsigned long n) { (void)p; (void)at; (void)n; return 0; }
int llhttp_get_status_code(char *p) { (void)p; return 0; }
unsigned char llhttp_get_type(char *p) { (void)p; return 0; }
unsigned char llhttp_get_method(char *p) { (void)p; return 0; }
unsigned char llhttp_get_http_major(char *p) { (void)p; return 0; }
unsigned char llhttp_get_http_minor(char *p) { (void)p; return 0; }
"""
LAYOUT = {"SETTINGS": 200, "PARSER": 96, "ERROR": 24}


def refusal(path: str) -> str:
    with pytest.raises(ImportError) as caught:
        _core._test_llhttp_load(path, "9.9.9")
    message = str(caught.value)
    assert "httptools 9.9.9 does not fit" in message
    assert _core.LLHTTP_FITS in message
    return message


def test_installed_httptools_fits():
    _core._test_llhttp_load(parser.__file__, httptools.__version__)


def test_range_is_the_one_that_is_declared():
    declared = Path(__file__).parents[2].joinpath("pyproject.toml").read_text()
    assert f'"httptools{_core.LLHTTP_FITS}"' in declared


def test_library_that_is_not_loaded():
    assert "is not loaded" in refusal("no-such-library.so")


def test_library_without_llhttp():
    assert "does not export llhttp_init, llhttp_settings_init" in refusal("libc.so.6")


@pytest.mark.skipif(COMPILER is None, reason="no C compiler to make a library with another layout")
@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"SETTINGS": 208}, "llhttp_settings_t has 208 bytes where 200 were expected"),
        ({"PARSER": 104}, "llhttp_t has 104 bytes where 96 were expected"),
        ({"ERROR": 28}, "the error fields of llhttp_t are elsewhere"),
        ({}, "gives 0, not 6"),
    ],
    ids=["settings", "parser", "error", "behaviour"],
)
def test_library_with_another_layout(tmp_path, change, fault):
    library = tmp_path / "impostor.so"
    defines = [f"-D{name}={value}" for name, value in (LAYOUT | change).items()]
    command = [COMPILER, "-shared", "-fPIC", *defines, "-xc", "-", "-o", library]
    subprocess.run(command, input=IMPOSTOR.encode(), check=True)
    ctypes.CDLL(library)
    assert fault in refusal(str(library))
