"""The corpus's own tools: what they read, and that they find what they are for."""

from __future__ import annotations

import pytest

from tests.wire.cases import Case, Place, read
from tests.wire.test_requests import every_way

POST = "> POST /a HTTP/1.1\n> Host: a\n> Content-Length: 2\n>\n> ok\\\n"
FORWARDED = ">> POST /a HTTP/1.1\n>> Host: a\n>> {forwarded a}\n>> Content-Length: 2\n>>\n>> ok\\\n"
BAD = "> GET /a HTTP/1.1\n> Host : a\n>\n"


def only(text: str) -> Case:
    (case,) = read("group", "== case\n" + text)
    return case


def test_bytes_of_a_case() -> None:
    case = only(
        "> a\\x00\\xff\\r\\n\\t\\s\\\\\\\\\n> b\\\n> {3*c\\x7d}\\{\n--\n> d\\\\\\\n<< e\n<<END\n>END\n= 200 100 cut drop early\n"
    )
    ends = [("answer end", b""), ("end", b"")]
    assert case.steps == [("send", b"a\0\xff\r\n\t \\\\\r\nbc}c}c}{\r\n"), ("send", b"d\\"), ("answer", b"e\r\n"), *ends]
    assert (case.statuses, case.end, case.flags) == ([200, 100], "cut", {"drop", "early"})


def test_what_depends_on_the_place() -> None:
    case = only(">> {node} {john}\\\n>> {forwarded a:81}\n>> {forwarded}\\\n< {own}\\\n= 200 keep\n")
    said = "X-Real-IP: ::1\r\nX-Forwarded-For: ::1\r\nX-Forwarded-Proto: http\r\n"
    identity = "X-Consumer-Username: john\r\nX-Credential-Identifier: cred-john-jwt-auth"
    host = "X-Forwarded-Host: a:81\r\nX-Forwarded-Port: 81\r\n"
    assert case.up(Place("::1", 1, "b:2")).decode() == f"b:2 {identity}{said}{host}{said}X-Forwarded-Port: 1"
    assert case.down() == b"Server: fastgw\r\nDate: now"


def test_a_family() -> None:
    cases = list(read("group", "== with {*}\n* space = \\s\n* nothing = \n> a{*}b\\\n= keep\n== another\n> x\n= 400 close\n"))
    assert [(case.name, case.sent) for case in cases] == [("with space", b"a b"), ("with nothing", b"ab"), ("another", b"x\r\n")]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("> a\n", "group: expected a verdict at the end"),
        ("> a\n== b\n", "group:3: expected a verdict first, found '== b'"),
        ("= 200 keep\n> a\n", "group:3: expected a case to begin, found '> a'"),
        ("> \\q\n= 200 keep\n", "group:2: expected an escape"),
        ("> {q}\n= 200 keep\n", "group:2: expected an escape"),
        ("a\n= 200 keep\n", "group:2: expected a line of a case, found 'a'"),
        ("= 200\n", "group:2: expected statuses, one of"),
        ("= 200 keep close\n", "group:2: expected statuses, one of"),
        ("= 200 keep later\n", "group:2: expected statuses, one of"),
    ],
)
def test_faults_of_a_file(text: str, fault: str) -> None:
    with pytest.raises(ValueError) as found:
        only(text)
    assert str(found.value).startswith(fault)


@pytest.mark.parametrize(
    "text",
    [
        POST + FORWARDED + "= 200 keep reuse\n",
        BAD + "= 400 close\n",
        POST[:-4] + "o\\\n" + FORWARDED[:-4] + "o\\\n= waits\n",
    ],
)
def test_what_is_right_passes(text: str) -> None:
    every_way(only(text))


@pytest.mark.parametrize(
    "text",
    [
        POST + FORWARDED + "= 200 close\n",
        POST + FORWARDED + "= 400 close\n",
        POST + FORWARDED + "= 200 keep drop\n",
        POST + FORWARDED + "= waits\n",
        POST + FORWARDED.replace("/a", "/b") + "= 200 keep\n",
        POST + FORWARDED + "< HTTP/1.1 200 OK\n<\n= 200 keep\n",
        POST + "= 200 keep\n",
        POST + "= 400 close\n",
        BAD + FORWARDED + "= 400 close\n",
        BAD + "= 400 keep\n",
        BAD + "= 400 keep early\n",
        POST[:-4] + "o\\\n" + FORWARDED[:-4] + "o\\\n= 400 close begun\n",
    ],
)
def test_what_is_wrong_is_found(text: str) -> None:
    with pytest.raises(AssertionError):
        every_way(only(text))
