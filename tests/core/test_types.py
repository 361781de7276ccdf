"""What type checkers are told of the library: as it is said, and true of the native module."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.processes import ROOT

SAID = """
from typing import Any
from typing_extensions import assert_type
from fastgw.core import Decision, JWTVerifier, Key, Limiter, Revocations, Table, TokenError

table = Table.open("/nowhere", slots=64)
assert_type(Table.create(None, 64), Table)
assert_type(Table.attach("/nowhere"), Table)
limiter = Limiter(table, "x", count=1, window=1.5, algorithm="sliding")
assert_type(limiter.hit("k", cost=2), Decision)
allowed, limit, remaining, reset, retry_after = limiter.peek(b"k")
assert_type(allowed, bool)
assert_type(remaining, int)
assert_type(reset, float)
revocations = Revocations(table)
assert_type(revocations.revoked(jti="x"), bool)
verifier = JWTVerifier({"a": Key("HS256", b"s"), "b": Key("EdDSA", "PEM")}, key_claim="iss", revocations=revocations)
assert_type(verifier.verify("token"), dict[str, Any])
assert_type(JWTVerifier(Key("HS256", "s")).verify(b"token", 3), dict[str, Any])
try:
    pass
except TokenError as error:
    assert_type(error.reason, str)
Limiter(table, "x", count=1, window=1, algorithm="leaky")  # type: ignore[arg-type]
limiter.hit(3)  # type: ignore[arg-type]
JWTVerifier("secret")  # type: ignore[arg-type]
"""


def test_the_library_has_the_types_that_it_says(tmp_path: Path) -> None:
    (tmp_path / "said.py").write_text(SAID)
    command = [sys.executable, "-m", "mypy", "--strict", "--warn-unused-ignores", str(tmp_path / "said.py")]
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "MYPYPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# Cython tells the arguments of methods to nobody who asks at run time; what is here besides is not for use.
ALLOWED = [
    r"fastgw\._core\.\w+\.__init__",
    r"fastgw\._core\.(LimitedStep|PythonStep|RemoteStore|Step|TokenVerifier)",  # may be subclassed, but not together
    r"fastgw\._core\.([A-Z_]+|PasswordDesk|Suspended|Turns|__pyx_capi__|__test__)",
    r"fastgw\._core\.(Reply\.reason_|Reply\.type_|Template\.variable)",
]


def test_the_stubs_are_those_of_the_native_module(tmp_path: Path) -> None:
    """What stands in _core.pyi is there, and nothing is missing from it."""
    (tmp_path / "allowed").write_text("\n".join(ALLOWED))
    command = [sys.executable, "-m", "mypy.stubtest", "fastgw._core", "--concise", "--allowlist", str(tmp_path / "allowed")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
