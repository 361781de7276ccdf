"""What the plugins' tests share."""

from collections.abc import Iterator

import pytest

from tests.plugins.mirror import mirror
from tests.support.upstreams import Answering


@pytest.fixture(scope="module")
def up() -> Iterator[Answering]:
    """An upstream that answers with what reached it."""
    with mirror() as upstream:
        yield upstream
