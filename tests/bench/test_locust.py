"""The locustfile, run by locust against a gateway with the shipped config. Without locust: skipped, and said so."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import servers
from tests.support.gateway import Gateway
from tests.support.processes import ROOT

NAMES = {"johndoe: 200 or 429", "janedoe: 200 or 429", "no token: 401", "forged: 401", "expired: 401"}


@pytest.fixture(autouse=True)
def _locust() -> None:
    if not importlib.util.find_spec("locust"):
        pytest.skip("needs the package locust: pip install -e '.[locust]'")


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    config: dict[str, Any] = json.loads((ROOT / "config.json").read_text())
    objects = {key: config[key] for key in ("consumers", "routes")}
    with servers.echo(tmp_path) as upstream:
        objects["routes"][0]["upstream"]["nodes"] = {str(upstream): 1}
        with Gateway(tmp_path, objects) as running:
            yield running


def locust(gateway: Gateway, **env: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit code and locust's figures by name, after a few seconds of its users."""
    command = [sys.executable, "-m", "locust", "-f", str(ROOT / "bench" / "locustfile.py"), "--host", f"http://{gateway.data}"]
    options = ["--headless", "--users", "9", "--spawn-rate", "9", "--run-time", "4s", "--json", "--skip-log-setup"]
    done = subprocess.run([*command, *options], cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    figures = json.loads(done.stdout[done.stdout.index("[") :])
    return done.returncode, {one["name"]: one for one in figures}


def test_all_answers_are_as_the_rules_want_them(gateway: Gateway) -> None:
    code, figures = locust(gateway)
    assert set(figures) == NAMES
    assert {name: one["num_failures"] for name, one in figures.items()} == dict.fromkeys(NAMES, 0)
    assert all(one["num_requests"] > 2 for one in figures.values())  # more than the limits: some were 429
    assert code == 0


def test_a_consumer_that_is_not_let_in_is_a_failure(gateway: Gateway) -> None:
    code, figures = locust(gateway, FASTGW_JANE_SECRET="another-secret-than-hers")
    failed = {name for name, one in figures.items() if one["num_failures"]}
    assert (code, failed) == (1, {"janedoe: 200 or 429"})
    assert figures["janedoe: 200 or 429"]["num_failures"] == figures["janedoe: 200 or 429"]["num_requests"]


def test_a_limit_that_lets_too_many_through_is_a_failure(gateway: Gateway) -> None:
    """The gateway lets two of Jane's pass; locust is told that none may."""
    code, figures = locust(gateway, FASTGW_JANE_LIMIT="0")
    assert code == 1
    assert figures["janedoe: 200 or 429"]["num_failures"] == 2
