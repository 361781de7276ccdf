"""limit-count on memory: who passes, what it is told, and what becomes of it where nothing can be counted."""

import pytest

from fastgw import _core
from fastgw.plugins import limit_count, limit_req, order
from fastgw.plugins.contract import Env, Plugin
from fastgw.schema.decode import faults_of
from tests.support.core import OK, snapshot

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class _Env(Env):
    owner = "routes/r"

    def __init__(self, **metadata: object):
        self._metadata, faults = faults_of(metadata, limit_count.Metadata)
        assert faults == []

    def metadata(self, plugin: Plugin) -> object:
        return self._metadata


def steps(env: Env | None = None, **conf: object) -> list[_core.Step]:
    plugin = order.get("limit-count")
    decoded, faults = faults_of(conf, limit_count.Conf)
    assert plugin is not None
    assert faults == []
    return plugin.provision(decoded, env or _Env())


class Scene:
    """One client's line to a gateway that limits it."""

    def __init__(self, *more: _core.Step, region: _core.Region | None = None, env: Env | None = None, **conf: object):
        self.wire = _core.Wire(snapshot(*steps(env, **conf), *more), region=region)
        self.line = self.wire.open()

    def ask(self, request: bytes = GET, answer: bytes = OK) -> bytes:
        """What the client is answered."""
        self.wire.push(self.line, request)
        for i, side, _ in self.wire.lines():
            if side == "up" and self.wire.pull(i):
                self.wire.push(i, answer)
        return self.wire.pull(self.line)


def full_region() -> _core.Region:
    """A table that has no room and makes none, as all of it counts what is held."""
    region = _core.Region.create(16, slots=1)
    holder = _core._TestHolder(region, 0)
    for number in range(16):
        assert holder.take(b"%d" % number, 1) == 1
    return region


@pytest.mark.parametrize("window_type", ["fixed", "sliding", "token-bucket"])
def test_what_cannot_be_counted_is_told_from_what_is_over_the_limit(window_type: str) -> None:
    conf = {"count": 5, "time_window": 60, "window_type": window_type}
    answer = Scene(region=full_region(), rejected_code=429, **conf).ask()
    assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert answer.endswith(b'\r\n\r\n{"error_msg":"failed to limit count"}\n')
    assert b"RateLimit" not in answer
    assert b"Retry-After" not in answer
    scene = Scene(region=full_region(), allow_degradation=True, **conf)
    assert [scene.ask()[:15] for _ in range(9)] == [b"HTTP/1.1 200 OK"] * 9


def test_limit_req_tells_it_too() -> None:
    plugin = order.get("limit-req")
    assert plugin is not None
    for degrades, expected in ((False, b"500"), (True, b"200")):
        conf, faults = faults_of({"rate": 1, "burst": 0, "key": "remote_addr", "allow_degradation": degrades}, limit_req.Conf)
        assert faults == []
        wire = _core.Wire(snapshot(*plugin.provision(conf, _Env())), region=full_region())
        line = wire.open()
        wire.push(line, GET)
        if degrades:
            wire.push(1, OK)
        answer = wire.pull(line)
        assert answer[9:12] == expected
        assert degrades or answer.endswith(b'{"error_msg":"failed to limit req"}\n')
