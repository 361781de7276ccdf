"""The fixtures for pytest, as a project that uses them has them."""

import subprocess
import sys
from pathlib import Path

import pytest

from fastgw.core import JWTVerifier, Key, Limiter, Table
from fastgw.testing import Clock, fastgw_clock, fastgw_gateway, fastgw_token
from tests.support.processes import ROOT

__all__ = ["fastgw_clock", "fastgw_gateway", "fastgw_token"]

PROJECT = """
import urllib.error
import urllib.request

from fastgw.core import Limiter, Table

CONFIG = {
    "consumers": [
        {
            "username": "john",
            "plugins": {"limit-count": {"count": 2, "time_window": 60, "rejected_code": 429, "key": "consumer_name"}},
            "credentials": [{"id": "1", "plugins": {"jwt-auth": {"key": "john-key", "secret": "a-secret"}}}],
        }
    ],
    "routes": [{"id": "r", "uri": "/*", "plugins": {"jwt-auth": {}, "request-id": {}}}],
}


def status(url, token=None):
    request = urllib.request.Request(url, headers={"Authorization": token} if token else {})
    try:
        return urllib.request.urlopen(request).status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_a_gateway(fastgw_gateway, fastgw_token):
    gateway = fastgw_gateway(CONFIG)
    token = fastgw_token("john-key", "a-secret", sub="x")
    assert status(gateway.url + "/a") == 401
    assert [status(gateway.url + "/a", token) for _ in range(3)] == [503, 503, 429]  # it has no upstream
    assert status(gateway.url + "/a", fastgw_token("john-key", "a-secret", expires=-1)) == 401
    limiter = Limiter(Table.attach(gateway.table), "consumers/john/limit-count", count=2, window=60)
    assert limiter.peek("john").remaining == 0
    assert gateway.admin_url.startswith("http://127.0.0.1:")
    assert "fastgw: ready" in gateway.log()


def test_two_gateways(fastgw_gateway):
    assert fastgw_gateway(CONFIG).url != fastgw_gateway(CONFIG).url
"""


def test_a_project_has_the_fixtures(tmp_path: Path) -> None:
    (tmp_path / "test_project.py").write_text(PROJECT)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "fastgw.testing", "-p", "no:cacheprovider", str(tmp_path)]
    # Also where the entry point is not installed, and not twice where it is.
    environ = {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_a_clock_is_put_forward(fastgw_clock: Clock, fastgw_token: object) -> None:
    limiter = Limiter(Table.create(slots=64), "x", count=1, window=60)
    verifier = JWTVerifier(Key("HS256", "a-secret"))
    token = fastgw_token("k", "a-secret", expires=30)  # type: ignore[operator]
    assert (limiter.hit("a").allowed, limiter.hit("a").allowed) == (True, False)
    assert verifier.verify(token)["key"] == "k"
    fastgw_clock.forward(31)
    assert limiter.hit("a").allowed is False
    with pytest.raises(ValueError, match=r"^jwt\.expired$"):
        verifier.verify(token)
    fastgw_clock.forward(30)
    assert limiter.hit("a").allowed is True
