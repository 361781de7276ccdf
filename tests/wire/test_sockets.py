"""Raw requests of the corpus on a real gateway: each whole, and of each group some byte by byte, with another request behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.support.gateway import Gateway
from tests.support.wire import Address
from tests.wire import cases, gateway
from tests.wire.cases import Case, Place
from tests.wire.gateway import CANARY, Seen, cuts, judge
from tests.wire.sockets import LAST, Stand, whole

# One send, as a plain client has it. What the upstream says, and sends that wait for each other, are told apart on the core.
REQUESTS = [
    case
    for case in cases.load("requests")
    if [kind for kind, _ in case.steps] == ["send"] and case.end != "waits" and not case.trusted
]
EVERY = 8  # so many are sent byte by byte


class Running(NamedTuple):
    """A gateway and both its sides."""

    stand: Stand
    data: Address

    def play(self, case: Case, *, bytewise: bool) -> Seen:
        data = case.sent + LAST
        (client,) = self.stand.ask(self.data, [cuts(data, list(range(1, len(data)))) if bytewise else [data]])
        heard = self.stand.heard()
        alive = any(message.start[1] == b"/canary" for stream, _ in heard for message in whole(stream))
        return Seen(client.got, alive, tuple(stream for stream, _ in heard), tuple(lives for _, lives in heard))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Stand() as stand, Gateway(tmp_path_factory.mktemp("wire"), gateway.config(str(stand.address))) as run:
        yield Running(stand, run.data)


def place(running: Running) -> Place:
    return Place("127.0.0.1", running.data.port, str(running.stand.address))


@pytest.mark.parametrize("case", REQUESTS, ids=str)
def test_whole(case: Case, running: Running) -> None:
    judge(case, running.play(case, bytewise=False), CANARY, pieces=False, place=place(running))


@pytest.mark.parametrize("case", REQUESTS[::EVERY], ids=str)
def test_byte_by_byte(case: Case, running: Running) -> None:
    judge(case, running.play(case, bytewise=True), CANARY, pieces=True, place=place(running))
