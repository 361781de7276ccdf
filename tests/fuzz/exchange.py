"""The whole core from its byte edges: what leaves it on either side of a script (play.py) is what a strict reader of the other
side's bytes expects.

Owns: the claims. What is read is read by tests/oracle/http1.py, which knows nothing of the gateway.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

from fastgw import _core
from tests.fuzz import answered, fields
from tests.fuzz import asked as requests
from tests.fuzz.play import Line, Play
from tests.fuzz.scene import TAG
from tests.oracle import http1

IDEMPOTENT = {b"DELETE", b"GET", b"HEAD", b"PUT", b"OPTIONS"}
NODES = [b"a:81", b"b:82"]
TAGS = (TAG.lower().encode(), b"x-request-id")


@dataclass
class Try:
    """A request as it went to an upstream, and what that said."""

    message: http1.Message  # or what its beginning could be the beginning of
    method: bytes  # by which the upstream was asked
    line: int
    step: int  # in which its first byte went
    places: set[int]  # of the request that it may be, among its client's
    begun: bool = False  # its head did not go whole
    answer: http1.Message | None = None
    informed: set[int] = field(default_factory=set)  # statuses of 1xx


@dataclass
class Client:
    """What one client asked, and got."""

    number: int
    line: Line
    asked: list[http1.Message]
    answers: list[http1.Message]
    tries: list[Try] = field(default_factory=list)
    final: list[http1.Message] = field(default_factory=list)

    def of(self, place: int) -> list[Try]:
        return [each for each in self.tries if place in each.places]


def check(data: bytes) -> None:
    """What a strict reader finds in a client's bytes goes upstream in that order, once, as that client's, with nobody's identity
    but its own, and nothing else does; what he finds in an upstream's bytes goes, whole or visibly cut, to the client that asked,
    in the order in which it asked; nothing waits for nothing, and in the end nothing is held.
    """
    before = _core._test_heap_blocks()
    _check(data)
    after = _core._test_heap_blocks()
    assert after == before, f"{after} blocks of memory after the script, {before} before"


def _check(data: bytes) -> None:
    play = Play(data)
    free, over = play.played()
    judge(play, free, over)


def judge(play: Play, free: list[int], over: int) -> None:
    """What is claimed of a script that was played; `free` are the clients that nothing kept from being served until `over`."""
    assert play.wire.active == 0, f"{play.wire.active} exchanges never ended"
    left = [i for i, line in enumerate(play.lines) if line.closed_at is None]
    assert not left, f"lines {left} never closed"
    clients = {i: _client(number, play.lines[i]) for number, i in enumerate(play.clients)}
    for i, line in enumerate(play.lines):
        if line.side == "up":
            _read_upstream(i, line, play, clients)
    assert not play.failures, play.failures
    for client in clients.values():
        client.tries.sort(key=lambda each: (each.step, min(each.places)))
        _check_tries(client)
        _check_answers(client, clients)
    for i in free:
        _check_served(clients[i], play, over)


def _client(number: int, line: Line) -> Client:
    asked: list[http1.Message] = []
    with contextlib.suppress(http1.MalformedError):
        for message in http1.requests(bytes(line.sent)):
            asked.append(message)  # noqa: PERF402 (those before the exception count)
    answers = list(http1.answers(bytes(line.got), [message.start[0] for message in asked], closed=True))
    return Client(number, line, asked, answers, final=[message for message in answers if message.final])


# ---- towards the upstream ------------------------------------------------------------------------


def _read_upstream(number: int, line: Line, play: Play, clients: dict[int, Client]) -> None:
    """Requests that went over a line, and the answers to them."""
    tries: list[Try] = []
    end = 0
    for message in http1.requests(bytes(line.got)):
        step, end = line.got_in(message.at), message.end
        client, places = _asked_by(message, step, [clients[at] for at in _numbers(message, play)])
        tries.append(Try(message, message.start[0], number, step, places))
        client.tries.append(tries[-1])
        if fields.asks_for_tunnel(message):
            _read_answers(line, tries)
            _read_tunnel(bytes(line.got[end:]), client, tries[-1])
            return
    if line.was_full and (not tries or tries[-1].message.whole):
        _read_beginning(number, line, end, clients, tries)
    _read_answers(line, tries)


def _numbers(message: http1.Message, play: Play) -> list[int]:
    return [play.clients[each] for each in fields.clients_of(message) if each < len(play.clients)]


def _asked_by(message: http1.Message, step: int, clients: list[Client]) -> tuple[Client, set[int]]:
    """Whose request it is, and the places that it may have among that client's."""
    faults: dict[int, str | None] = {}
    for client in clients:
        places = {i for i in _turns(client, step, step) if _same(message, client.asked[i])}
        faults = {i: _fault(message, client, i) for i in places}
        places = {i for i, fault in faults.items() if fault is None}
        if places:
            return client, places
    assert faults, f"nobody asked for {message}"
    raise AssertionError(f"made of none of them: {faults}")


def _read_tunnel(rest: bytes, client: Client, asked: Try) -> None:
    """What stands behind a request for another protocol: nothing, or once it was granted what the client sent there."""
    granted = asked.answer is not None and asked.answer.status == 101
    behind = [bytes(client.line.sent[client.asked[place].end :]) for place in asked.places]
    known = granted and any(each.startswith(rest) for each in behind)
    assert known or not rest, f"behind a request for another protocol: {rest!r}"


def _fault(message: http1.Message, client: Client, place: int) -> str | None:
    """Why it was not made of this request."""
    asked = client.asked[place]
    try:
        fields.check(
            message, asked, bytes(client.line.sent[asked.at : asked.end]), client=client.number, trusted=client.line.trusted
        )
    except AssertionError as fault:
        return str(fault) or "a fault"
    return None


def _turns(client: Client, first: int, last: int) -> range:
    """Places of the requests that may have been under way within these steps: those before were answered."""
    by, before = client.line.got_by(last), client.line.got_by(first - 1)
    least = sum(message.end <= before for message in client.final)
    return range(least, min(sum(message.end <= by for message in client.final) + 1, len(client.asked)))


def _read_beginning(number: int, line: Line, end: int, clients: dict[int, Client], tries: list[Try]) -> None:
    """A head that a full line kept from going whole: once a part of it went, an answer to it may come."""
    rest = bytes(line.got[end:])
    if not rest:
        return
    step = line.got_in(end)
    for client in clients.values():
        for i in _turns(client, step, line.closed_at or step):
            for target in requests.targets(client.asked[i]):
                expected = b"%s %s" % target[:2]
                if rest.startswith(expected) or expected.startswith(rest):
                    tries.append(Try(client.asked[i], target.method, number, step, {i}, begun=True))
                    client.tries.append(tries[-1])


def _read_answers(line: Line, tries: list[Try]) -> None:
    """What stands in the upstream's bytes, as far as it is lawful: what came before it was asked for is no answer."""
    turns = [[each] for each in tries if not each.begun] + [[each for each in tries if each.begun]]
    methods = [each[0].method for each in turns if each]
    place = 0
    with contextlib.suppress(http1.MalformedError):
        for message in http1.answers(bytes(line.sent), methods, closed=line.ended and not line.broken):
            if place == len(turns):
                return
            came = line.sent_in(message.at)
            for each in turns[place]:
                if came <= each.step:
                    continue
                if message.final:
                    each.answer = message
                else:
                    each.informed.add(message.status)
            place += message.final


def _same(out: http1.Message, asked: http1.Message) -> bool:
    if not requests.may_become(out, asked, hides=fields.identified(out)):
        return False
    if not set(out.values(b"host")) <= set(requests.hosts(asked, NODES)):
        return False
    return asked.whole and out.body == asked.body if out.whole else asked.body.startswith(out.body)


def _check_tries(client: Client) -> None:
    """In the order in which they were asked for; again only what may be; nothing behind a connection's end."""
    end = next((i for i, message in enumerate(client.final) if _closes(message)), len(client.asked))
    place = -1
    for each in client.tries:
        if each.begun:
            continue
        least = place if place >= 0 and each.message.start[0] in IDEMPOTENT else place + 1
        later = [i for i in each.places if i >= least]
        assert later, f"out of its turn, or once more: {each.message}"
        place = min(later)
        assert place <= end, f"after the connection's last answer: {each.message}"


# ---- towards the client --------------------------------------------------------------------------


def _closes(message: http1.Message) -> bool:
    return message.status == 101 or b"close" in [value.lower() for value in message.values(b"connection")]


def _check_answers(client: Client, clients: dict[int, Client]) -> None:
    for place, message in enumerate(client.final):
        if _closes(message):
            assert place == len(client.final) - 1, f"an answer after the last: {client.final[place + 1]}"
        fields.check_answer(message)
        if place >= len(client.asked):
            assert place == len(client.asked), f"answered, though not asked for: {message}"
            assert message.status >= 400, message
            assert _closes(message), message
            return
        asked = client.asked[place]
        if asked.start[2] == b"0":
            assert not message.values(b"transfer-encoding"), message
        sources = [each for each in client.of(place) if _passed_on(message, asked, each)]
        if sources:
            assert any(_same_tags(message, each) for each in sources), f"another request's id: {message}"
            answered.check_readers(message, asked)
        elif not _kept(message, asked, client.line, clients):
            answered.check_own(message, asked)
    _check_informational(client)


def _same_tags(message: http1.Message, source: Try) -> bool:
    """Whether ids are the request's, or what the upstream said."""
    for name in TAGS:
        found, said = message.values(name), source.answer.values(name) if source.answer else []
        if not (source.begun or found == source.message.values(name) or set(found) <= set(said)):
            return False
    return True


def _passed_on(message: http1.Message, asked: http1.Message, source: Try) -> bool:
    """Whether an answer is what this upstream said; one that looks whole must be."""
    said = source.answer
    if said is None:
        return False
    if said.status == message.status == 101:
        return fields.asks_for_tunnel(source.message) and said.body.startswith(message.body)
    return answered.may_be_of(message, asked, said)


def _kept(message: http1.Message, asked: http1.Message, line: Line, clients: dict[int, Client]) -> bool:
    """Whether it is what an upstream had said by then to the same question, whoever asked it."""
    if requests.route(asked) not in answered.KEEPING:
        return False
    step = line.got_in(message.at)
    return any(
        each.answer is not None and each.step <= step and answered.may_be_kept(message, asked, client.asked[place], each.answer)
        for client in clients.values()
        for each in client.tries
        for place in each.places
    )


def _check_informational(client: Client) -> None:
    place = 0
    for message in client.answers:
        if message.final:
            place += 1
        elif message.status != 100:
            assert any(message.status in each.informed for each in client.of(place)), f"nobody said {message}"


def _check_served(client: Client, play: Play, over: int) -> None:
    """Of a client that reads and stays, the request whose turn it is: it was sent on, and what came was handed on."""
    got = client.line.got_by(over)
    said = [message for message in client.final if message.at < got]
    place = len(said)
    if (said and _closes(said[-1])) or place >= len(client.asked) or not client.asked[place].whole:
        return
    if said and (said[-1].end > got or not said[-1].whole):
        return  # it is being answered
    tries = [each for each in client.of(place) if each.step <= over]
    if tries and (tries[-1].begun or tries[-1].places != {place}):
        return  # it may as well be one before
    if tries:
        last = tries[-1]
        assert last.answer is None or play.lines[last.line].sent_in(last.answer.at) > over, f"kept back: {last.answer}"
        return
    waits = [line for line in play.lines if line.side == "up" and (line.closed_at or over + 1) > over]
    assert any(line.full or line.connecting for line in waits), f"forgotten: {client.asked[place]}"
