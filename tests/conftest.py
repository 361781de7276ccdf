"""Fixtures that more than one test file uses; the tools behind them are in tests/support."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support import servers
from tests.support.wire import Address

# A slow machine is no fault: only --timeout judges time.
settings.register_profile("fastgw", deadline=None)
settings.load_profile("fastgw")


@pytest.fixture(scope="session")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """The echo upstream, one for the whole session: it keeps no state."""
    with servers.echo(tmp_path_factory.mktemp("echo")) as address:
        yield address


@pytest.fixture(scope="session")
def httpbin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """The real httpbin, one for the whole session."""
    with servers.httpbin(tmp_path_factory.mktemp("httpbin")) as address:
        yield address


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where a gateway under test keeps its config, log and data."""
    return tmp_path
