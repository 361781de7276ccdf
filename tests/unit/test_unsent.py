"""What of answers out of a cache waits for clients: counted until it is gone, and no more of it than may be."""

from collections.abc import Iterator

import pytest

from fastgw import _core
from tests.support.core import snapshot
from tests.unit.test_proxy_cache import GET, Cache

BODY = b"k" * 5000
MOST = 134217728


@pytest.fixture
def few() -> Iterator[None]:
    """There may be less than two of them."""
    _core._test_unsent(2 * len(BODY) - 1)
    yield
    _core._test_unsent(MOST)


def blocked(cache: Cache) -> int:
    """A client that has asked and does not read."""
    line = cache.wire.open()
    cache.wire.room(line, 0)
    cache.keys = []
    cache.wire.push(line, GET)
    return line


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("how", ["reads", "leaves", "breaks"])
def test_clients_who_do_not_read_have_a_bound_together(how: str) -> None:
    cache = Cache()
    cache.keep(body=BODY)
    first = blocked(cache)
    assert cache.keys == []
    held = _core._test_unsent()
    assert len(BODY) <= held < len(BODY) + 300
    assert not _core.cache_has_room(len(BODY))
    assert cache.ask().endswith(b"ok")  # what does not fit comes from the upstream
    if how == "reads":
        cache.wire.room(first, 2000)
        assert _core._test_unsent() == held  # its memory is still there
        cache.wire.room(first, 2**20)
        assert cache.wire.pull(first).endswith(BODY)
    elif how == "leaves":
        cache.wire.reset(first)
    else:
        cache.wire.breaks(first)
        cache.wire.room(first, 2**20)
    assert _core._test_unsent() == 0
    assert cache.ask().endswith(BODY)
    assert _core._test_unsent() == 0


@pytest.mark.usefixtures("few")
def test_one_may_be_longer_than_all_may_be() -> None:
    cache = Cache()
    cache.keep(body=BODY * 3)
    line = blocked(cache)
    assert cache.keys == []
    cache.wire.reset(line)
    assert _core._test_unsent() == 0


def test_other_answers_are_not_counted() -> None:
    def answer(_: None, request: _core.Request) -> _core.Reply:
        return _core.Reply(200, BODY)

    wire = _core.Wire(snapshot(_core.PythonStep("answer", "access", answer, None)))
    line = wire.open()
    wire.room(line, 0)
    wire.push(line, GET)
    assert _core._test_unsent() == 0
