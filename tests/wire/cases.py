r"""Cases of the corpus: raw bytes and their exact outcome, read from the files in requests/ and answers/.

Owns: how a case is written, what one holds. Must not know who is asked. A file is a group, and has nothing but ASCII. A line says
by its first characters what it is:

    # why, with its source
    == name                a case begins; its name is told once in a group
    > text                 the client sends text, then CRLF
    >> text                the upstream gets text, then CRLF; without such lines it gets nothing
    << text                the upstream answers text, then CRLF; without such lines it answers each whole request with 200 "ok"
    < text                 the client gets text, then CRLF; without such lines only statuses are looked at
    * label = text         the case is one of a family: {*} is the label in its name, and the text in its lines
    * label = text => more   and {+} is more in its lines; the text where there is no more
    --                     what is sent next is sent apart from what was before
    @trusted               the client is a proxy whose word counts (trusted_addresses)
    >END <<END <<RST       the client, or the upstream, sends FIN; the upstream's connection breaks
    = 200 keep             the statuses that the client gets, and what becomes of its connection; the case ends

Sends and answers happen in the order in which they stand. A case without sends asks for GET /a of host a first.

In text \xNN is a byte, and \r \n \t \s \\ \{ the usual ones; a backslash at the end keeps CRLF away. {300*ab} is "ab" 300 times.
{forwarded HOST} is what the gateway says of the client, {john} whom it says that the client is, {token} John's token, {node} the
upstream's own host, {own} what the gateway adds to each answer.

Of the client's connection the verdict says one of
    keep     it lives: the next request on it is answered
    close    the gateway ends it behind the answers, and nothing behind this request is looked at
    waits    nothing was wrong yet, and more must come
    cut      it ends within an answer, which therefore looks whole to nobody
and of the rest
    begun    where the request comes in pieces, the upstream may have got the beginning of it, never all; its connection is cut
    early    where the request comes in pieces, the answer may be there before the body, and the connection then ends behind it
    reuse    the upstream's connection is kept for the next request
    drop     it is closed
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.core import TOKEN

HERE = Path(__file__).parent
PLAIN = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
ENDS = {"keep", "close", "waits", "cut"}
FLAGS = {"begun", "early", "reuse", "drop"}
MARKS = {">END": "end", "<<END": "answer end", "<<RST": "answer reset"}
ESCAPES = {"r": "\r", "n": "\n", "t": "\t", "s": " ", "\\": "\\", "{": "{"}
PART = re.compile(
    r"\\x([0-9a-fA-F]{2})|\\([rnts\\{])|\{(\d+)\*((?:\\.|[^\\}])*)\}|\{(forwarded|node|john|token|own)(?: ([^}]*))?\}|(\\|\{)"
)
JOHN = "X-Consumer-Username: john\r\nX-Credential-Identifier: cred-john-jwt-auth"


@dataclass(frozen=True)
class Place:
    """Where the gateway is asked, and from where, and its upstream: what it says to that depends on it."""

    address: str = "192.0.2.1"
    port: int = 9080
    node: str = "192.0.2.10"
    """The Host of a request that had none."""


MEMORY = Place()


@dataclass
class Case:
    """One case. `up` and `down` are None where the file says nothing about them."""

    group: str
    name: str
    line: int
    steps: list[tuple[str, bytes]] = field(default_factory=list)
    up_text: list[str] = field(default_factory=list)
    down_text: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    end: str = ""
    trusted: bool = False
    flags: set[str] = field(default_factory=set)

    def __str__(self) -> str:
        return f"{self.group}: {self.name}"

    def up(self, place: Place = MEMORY) -> bytes:
        """All that reaches the upstream."""
        return lines(self.up_text, place)

    def down(self, place: Place = MEMORY) -> bytes:
        """All that the client gets; empty where only the statuses are told."""
        return lines(self.down_text, place)

    @property
    def scripted(self) -> bool:
        """Whether the case says what the upstream answers."""
        return any(kind.startswith("answer") for kind, _ in self.steps)

    @property
    def sent(self) -> bytes:
        """All that the client sends."""
        return b"".join(data for kind, data in self.steps if kind == "send")


def load(kind: str) -> list[Case]:
    """All cases of requests/ or answers/, by file."""
    found = [case for path in sorted((HERE / kind).glob("*.http")) for case in read(path.stem, path.read_text("ascii"))]
    names = [str(case) for case in found]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"{kind}: expected each case once, found {sorted(twice)}")
    return found


def read(group: str, text: str) -> Iterator[Case]:
    """The cases of one file."""
    block: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line == "" or line.startswith("#"):
            continue
        if line.startswith("== ") != (not block):
            raise ValueError(
                f"{group}:{number}: expected {'a case to begin' if not block else 'a verdict first'}, found {line!r}"
            )
        block.append((number, line))
        if line.startswith("= "):
            yield from _family(group, block)
            block = []
    if block:
        raise ValueError(f"{group}: expected a verdict at the end")


def _family(group: str, block: list[tuple[int, str]]) -> Iterator[Case]:
    """The case of these lines, or one for each of its members."""
    members = [re.fullmatch(r"\* (.+?) = (.*?)(?: => (.*))?", line) for _, line in block if line.startswith("* ")]
    for member in members or [re.fullmatch("()()()", "")]:
        if member is None:
            raise ValueError(f"{group}:{block[0][0]}: expected * label = text in each member")
        label, text, more = member.groups()
        number, title = block[0]
        case = Case(group, title[3:].replace("{*}", label), number)
        try:
            for number, line in block[1:]:  # noqa: B007 (the fault tells where)
                told = line.replace("{*}", text).replace("{+}", text if more is None else more)
                if line.startswith("= "):
                    _verdict(case, told[2:].split())
                elif not line.startswith("* "):
                    _line(case, told)
        except ValueError as error:
            raise ValueError(f"{group}:{number}: {error}") from error
        yield case


def lines(texts: list[str], place: Place) -> bytes:
    """The bytes of such lines."""
    return b"".join(_bytes(text, place) for text in texts)


def _line(case: Case, line: str) -> None:
    mark, _, text = line.partition(" ")
    if mark == ">>":
        case.up_text.append(text)
    elif mark == "<":
        case.down_text.append(text)
    elif mark in (">", "<<"):
        kind = "send" if mark == ">" else "answer"
        if not case.steps or case.steps[-1][0] != kind:
            case.steps.append((kind, b""))
        case.steps[-1] = kind, case.steps[-1][1] + _bytes(text, MEMORY)
    elif line == "--":
        case.steps.append((case.steps[-1][0], b""))
    elif line == "@trusted":
        case.trusted = True
    elif line in MARKS:
        case.steps.append((MARKS[line], b""))
    else:
        raise ValueError(f"expected a line of a case, found {line!r}")


def _verdict(case: Case, words: list[str]) -> None:
    case.statuses = [int(word) for word in words if word.isdigit()]
    ends = [word for word in words if word in ENDS]
    case.flags = {word for word in words if word in FLAGS}
    if len(ends) != 1 or len(case.statuses) + len(ends) + len(case.flags) != len(words):
        raise ValueError(f"expected statuses, one of {sorted(ENDS)} and any of {sorted(FLAGS)}, found {words}")
    case.end = ends[0]
    if not any(kind == "send" for kind, _ in case.steps):
        case.steps.insert(0, ("send", PLAIN))


def _bytes(text: str, place: Place) -> bytes:
    """The bytes of one line."""
    bare = re.search(r"(?<!\\)(?:\\\\)*\\\Z", text)
    return _expanded(text[:-1] if bare else text, place) + (b"" if bare else b"\r\n")


def _expanded(text: str, place: Place) -> bytes:
    def one(part: re.Match[str]) -> str:
        byte, escape, times, repeated, macro, argument, stray = part.groups()
        if byte:
            return chr(int(byte, 16))
        if escape:
            return ESCAPES[escape]
        if times:
            return _expanded(repeated, place).decode("latin-1") * int(times)
        if stray:
            raise ValueError(f"expected an escape, found {text[part.start() :]!r}")
        return _macro(macro, argument, place)

    return PART.sub(one, text).encode("latin-1")


def _macro(name: str, argument: str | None, place: Place) -> str:
    if name == "john":
        return JOHN
    if name == "token":
        return TOKEN.decode()
    if name == "node":
        return place.node
    if name == "own":
        return "Server: fastgw\r\nDate: now"
    port = re.search(r":(\d+)\Z", argument or "")
    said = [
        f"X-Real-IP: {place.address}",
        f"X-Forwarded-For: {place.address}",
        "X-Forwarded-Proto: http",
        *([f"X-Forwarded-Host: {argument}"] if argument else []),
        f"X-Forwarded-Port: {port[1] if port and int(port[1]) else place.port}",
    ]
    return "\r\n".join(said)
