"""The corpus's requests through nginx and HAProxy: what each made of them, beside the gateway and what is filed.

Owns: running a peer, its outcomes as lines of text, the filed tables (`python -m tests.wire.peers` writes them). Must not know
why they differ: docs/threat-model.md argues that.
"""

from __future__ import annotations

import contextlib
import re
import resource
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tests.oracle import http1
from tests.support.gateway import free_addresses
from tests.support.processes import Process
from tests.support.programs import program
from tests.support.upstreams import chunked_end, content_length
from tests.support.waiting import until
from tests.support.wire import Address, connect
from tests.wire import cases
from tests.wire.cases import Case, Place
from tests.wire.sockets import LAST, Client, Stand

HERE = Path(__file__).parent
NAMES = ("nginx", "haproxy")
COMMANDS = {"nginx": ["-p", ".", "-e", "stderr", "-c"], "haproxy": ["-db", "-q", "-f"]}
SUFFIXES = {"nginx": "conf", "haproxy": "cfg"}
OURS_ALONE = {"identity", "limits", "early", "trusted"}
"""Groups that are about a gateway's configuration or a script of the upstream."""
SAID = {b"host", b"connection", b"content-length", b"transfer-encoding", b"x-peer-port", b"x-real-ip"}
DESCRIPTORS = 4096  # all cases are under way at once, as some end only when the peer's patience does
AS_OURS = "as ours"


class Request(NamedTuple):
    """A request as the upstream got it, as far as two hops must agree on it."""

    line: str
    host: str
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes | None
    """None: it never came whole."""

    def __str__(self) -> str:
        fields = "".join(f" [{_text(name)}: {_text(value)}]" for name, value in self.fields)
        body = " unfinished" if self.body is None else f" body {_text(self.body)}" if self.body else ""
        return f"{self.line} {self.host}{fields}{body}"


class Outcome(NamedTuple):
    """What a proxy made of a case with the canary behind it."""

    statuses: tuple[int, ...]
    requests: tuple[Request, ...]

    def __str__(self) -> str:
        said = " ".join(map(str, self.statuses)) or "nothing"
        return " | ".join([said, *map(str, self.requests)])


def requests() -> list[Case]:
    """The cases that are put to peers: one send each, which ends, to a place that is for everybody, within all bounds."""
    return [
        case
        for case in cases.load("requests")
        if case.group not in OURS_ALONE
        and case.end != "waits"
        and [kind for kind, _ in case.steps] == ["send"]
        and b"jwt" not in case.sent
        and not {401, 413} & set(case.statuses)
    ]


def ours(case: Case) -> Outcome:
    """What the gateway makes of it, as the case says."""
    found = [_request(each.start, each.fields, each.body if each.whole else None) for each in http1.requests(case.up(Place()))]
    lives = case.end == "keep"
    last = [Request("GET /canary", "canary", (), b"")] if lives else []
    return Outcome((*case.statuses, *([200] if lives else [])), (*found, *last))


def difference(own: Outcome, peer: Outcome) -> str:
    """What a peer does that the gateway does not: "" where two such hops in a row agree on what was asked.

    With which status one refuses does not matter.
    """
    if own.requests == peer.requests:
        return ""
    more = len(peer.requests) - len(own.requests)
    return "accepts" if more > 0 else "refuses" if more < 0 else "otherwise"


@contextlib.contextmanager
def running(name: str, folder: Path, upstream: Address) -> Iterator[Address]:
    """A peer in front of the upstream."""
    (address,) = free_addresses(1)
    values = {"folder": str(folder), "address": str(address), "upstream": str(upstream)}
    config = folder / f"{name}.{SUFFIXES[name]}"
    config.write_text(re.sub(r"@(\w+)@", lambda mark: values[mark[1]], (HERE / config.name).read_text()))
    process = Process([program(name), *COMMANDS[name], str(config)], folder / "peer.log")
    try:
        until(lambda: _listens(address), f"{name} listens")
        yield address
        process.stop()
    finally:
        process.kill()


def ask(name: str, folder: Path, asked: Iterable[Case]) -> list[Outcome]:
    """What the peer makes of each case."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < DESCRIPTORS:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(DESCRIPTORS, hard), hard))
    with Stand() as stand, running(name, folder, stand.address) as address:
        clients = stand.ask(address, [[case.sent + LAST] for case in asked])
        heard: dict[str, list[Request]] = {}
        for stream, _ in stand.heard():
            for port, request in _messages(stream):
                heard.setdefault(port, []).append(request)
        return [_outcome(client, heard.get(str(client.port), [])) for client in clients]


def version(name: str) -> str:
    """As the installed peer tells it."""
    done = subprocess.run([program(name), "-v"], capture_output=True, text=True, check=True)
    found = re.search(r"\d+\.\d+\.\d+", done.stdout + done.stderr)
    assert found, done
    return found[0]


class Table(NamedTuple):
    """What is filed of a peer: where it does not do as the gateway does. Where it does not always do the same, rows have both."""

    version: str
    rows: dict[str, list[str]]

    def has(self, case: Case, outcome: Outcome) -> bool:
        """Whether the outcome is one of those filed."""
        row = self.rows.get(str(case))
        same = not difference(ours(case), outcome)
        return same if row is None else str(outcome) in row or (same and AS_OURS in row)

    def kind(self, case: Case) -> str:
        """The difference that is filed, "" for none; of several the first that is one."""
        row = self.rows.get(str(case), [AS_OURS])
        own = ours(case)
        # Requests are told apart by what stands between them.
        counts = [each.count(" | ") - len(own.requests) for each in row if each != AS_OURS]
        return "" if not counts else "accepts" if max(counts) > 0 else "refuses" if min(counts) < 0 else "otherwise"


def filed(name: str) -> Table:
    """The table of a peer."""
    first, *rows = (HERE / f"{name}.txt").read_text("ascii").splitlines()
    pairs = (row.split(" => ", 1) for row in rows)
    return Table(first.rpartition(" ")[2], {case: outcomes.split(" or ") for case, outcomes in pairs})


def write(name: str, asked: list[Case], rounds: list[list[Outcome]]) -> None:
    """Files what came of the cases, in each round of asking."""
    rows = []
    for case, outcomes in zip(asked, zip(*rounds, strict=True), strict=True):
        found = {AS_OURS if not difference(ours(case), each) else str(each) for each in outcomes}
        if found != {AS_OURS}:
            rows.append(f"{case} => {' or '.join(sorted(found))}\n")
    (HERE / f"{name}.txt").write_text(f"{name} {version(name)}\n{''.join(rows)}", "ascii")


def _listens(address: Address) -> bool:
    with suppress(OSError), contextlib.closing(connect(address)):
        return True
    return False


def _outcome(client: Client, found: list[Request]) -> Outcome:
    statuses = tuple(int(code) for code in re.findall(rb"HTTP/1\.[01] (\d{3})", client.got))
    return Outcome(tuple(code for code in statuses if code != 100), tuple(found))


def _messages(stream: bytes) -> Iterator[tuple[str, Request]]:
    """The requests in what a proxy sent, by the port of the client they are from. Read with goodwill: they need not be lawful."""
    while (end := stream.find(b"\r\n\r\n")) >= 0:
        head, rest = stream[:end], stream[end + 4 :]
        line, *lines = head.split(b"\r\n")
        fields = [(name, value.strip()) for name, _, value in (each.partition(b":") for each in lines)]
        chunked = any(name.lower() == b"transfer-encoding" for name, _ in fields)
        size = chunked_end(rest, 0) if chunked else content_length(head + b"\r\n") or 0
        body = rest[:size] if size is not None and size <= len(rest) else None
        port = next((value.decode() for name, value in fields if name.lower() == b"x-peer-port"), "")
        payload = b"".join(_chunks(body)) if chunked and body is not None else body
        yield port, _request(tuple(line.split(b" ")), fields, payload)
        if body is None:
            return
        stream = rest[len(body) :]


def _chunks(coded: bytes) -> Iterator[bytes]:
    at = 0
    while size := int(coded[at : (end := coded.index(b"\r\n", at))].partition(b";")[0], 16):
        yield coded[end + 2 : end + 2 + size]
        at = end + 4 + size


def _request(start: tuple[bytes, ...], fields: Iterable[tuple[bytes, bytes]], body: bytes | None) -> Request:
    fields = list(fields)
    hosts = [_text(value) for name, value in fields if name.lower() == b"host"]
    others = tuple(
        (name.lower(), value)
        for name, value in fields
        if name.lower() not in SAID and not name.lower().startswith(b"x-forwarded-")
    )
    return Request(" ".join(map(_text, start[:2])), ",".join(hosts) or "-", others, body)


def _text(data: bytes) -> str:
    return data.decode("latin-1").encode("unicode_escape").decode()
