"""The error log: one event one line, no forged lines, no secrets."""

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastgw import logs

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJrZXkiOiJqb2huIn0.c2lnbmF0dXJl"

log = logging.getLogger("fastgw.test")


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "error.log"
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers.clear()
    logs.configure("worker 3", str(path))
    yield path
    for each in root.handlers:
        each.close()
    root.handlers[:] = before
    root.setLevel(level)


def test_form(written: Path) -> None:
    log.warning("node %s is down", "a:80", extra={"pid": 12, "why": "no route"})
    line = written.read_text()
    pattern = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z warning \[worker 3\] fastgw.test: node a:80 is down "
    assert re.fullmatch(pattern + r'pid=12 why="no route"\n', line)


def test_level(written: Path) -> None:
    logs.configure("worker 3", str(written), "error")
    log.warning("too fine")
    log.error("grave")
    assert written.read_text().count("\n") == 1


def test_text_from_outside_cannot_end_a_line(written: Path) -> None:
    log.warning("path %s", "/a\r\n2026-01-01T00:00:00.000Z info [master] forged\x1b[31m\x85\u2028")
    text = written.read_text()
    assert len(text.splitlines()) == 1
    assert "/a\\r\\n2026" in text
    assert "\\u001b[31m\\u0085\\u2028" in text


def test_an_exception_is_one_line(written: Path) -> None:
    try:
        raise ValueError("bad")
    except ValueError:
        log.exception("failed")
    (line,) = written.read_text().splitlines()
    assert line.endswith('ValueError: bad\\n"')


def test_a_long_event_keeps_its_ends(written: Path) -> None:
    log.warning("begin %s end", "x" * 10_000)
    text = written.read_text()
    assert len(text) <= logs.LINE_BYTES
    assert "begin" in text
    assert text.endswith("end\n")


@pytest.mark.parametrize(
    "text",
    [
        f"token {TOKEN} refused",
        f"Authorization: Bearer {TOKEN}",
        "Authorization: Basic c2VjcmV0LXZhbHVl",
        'credential {"key": "john-key", "secret": "c2VjcmV0LXZhbHVl"}',
        "POST /?api_key=c2VjcmV0LXZhbHVl&x=1",
        "password=c2VjcmV0LXZhbHVl",
        "-----BEGIN EC PRIVATE KEY-----\nc2VjcmV0LXZhbHVl\n-----END EC PRIVATE KEY-----",
    ],
)
def test_secrets_are_taken_out(written: Path, text: str) -> None:
    log.warning("%s", text)
    assert logs.HIDDEN in written.read_text()
    assert "c2VjcmV0LXZhbHVl" not in written.read_text()
    assert TOKEN not in written.read_text()


def test_members_with_secret_names_and_known_values_are_taken_out(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_secrets", set())
    logs.hide("the-very-secret")
    log.warning("it is the-very-secret", extra={"admin_key": "other", "note": "the-very-secret"})
    text = written.read_text()
    assert "it is *** admin_key=*** note=" in text
    assert "the-very-secret" not in text


@pytest.mark.parametrize(
    "text",
    [
        "tokens are counted per key; cookies pass",
        "config.json: consumers[0].plugins.jwt-auth.secret: expected str, found int",
        "routes[1].plugins.limit-count.window_type: expected one of 'token-bucket', 'fixed'",
    ],
)
def test_plain_words_stay(written: Path, text: str) -> None:
    log.warning("%s", text)
    assert written.read_text().endswith(f"{text}\n")


def test_no_text_from_outside_takes_long_to_look_through() -> None:
    """What a plugin raises may be a text of the client's: a KeyError shows its key. Hours, where words are tried in parts."""
    words = ["secret" * 5_000, "'" + "secret" * 5_000, "a" * 100_000, "-eyJ" * 25_000, "token " * 5_000]
    code = "import sys; from fastgw.logs import redact; [redact(each) for each in sys.stdin.read().splitlines()]"
    subprocess.run([sys.executable, "-c", code], input="\n".join(words), text=True, check=True, timeout=120)


def test_reopen_goes_on_under_the_old_name(written: Path) -> None:
    log.warning("one")
    written.rename(written.with_suffix(".1"))
    log.warning("two")
    logs.reopen()
    log.warning("three")
    assert written.read_text().count("\n") == 1
    assert written.with_suffix(".1").read_text().count("\n") == 2


def test_a_reader_that_sleeps_blocks_nobody_and_losses_are_told(written: Path) -> None:
    fifo = written.with_name("fifo")
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        logs.configure("worker 3", str(fifo))
        for _ in range(200):
            log.warning("x" * 1000)
        received = os.read(reader, 1 << 20)
        log.warning("after")
        tail = os.read(reader, 1 << 20).decode()
    finally:
        os.close(reader)
    lost = 200 - received.count(b"\n")
    assert lost > 0
    assert tail.startswith(f"{lost} events dropped")
    assert tail.endswith("after\n")


def test_objects(written: Path) -> None:
    logs.configure("worker 3", str(written), form="json")
    try:
        raise ValueError("boom")
    except ValueError:
        log.exception("failed with %s", TOKEN, extra={"pid": 12, "why": 'a "b"\nc', "api_key": "value-of-it"})
    told = json.loads(written.read_text())
    assert told["message"] == "failed with ***"
    assert (told["level"], told["process"], told["logger"]) == ("error", "worker 3", "fastgw.test")
    assert (told["pid"], told["why"], told["api_key"]) == (12, 'a "b"\nc', "***")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told["time"])
    assert told["traceback"].endswith("ValueError: boom\n")


def test_an_object_is_cut_to_one_write_and_stays_one(written: Path) -> None:
    logs.configure("worker 3", str(written), form="json")
    log.error("begin %s end", '"x\n' * 3000)
    line = written.read_text()
    assert len(line) <= 4096
    assert json.loads(line)["message"].startswith('begin "x')
    assert json.loads(line)["message"].endswith(" end")
