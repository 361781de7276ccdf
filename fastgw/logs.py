"""The error log: what the processes tell the person on call, one line per event.

Owns: the form of a line, its way to the file, redaction. Must not know: who logs what; everybody else uses
Python's `logging`. Not the access log, which is native.

    2026-11-24T11:56:39.123Z warning [worker 3] fastgw.worker: message key=value key="two words"

Whatever a record carries by `extra` follows its message as key=value. Control characters are escaped, so that
no text from outside can forge a line or end one. Secrets are taken out here, the last place before the bytes
leave: values made known by `hide`, members whose name says they are secret, and the shapes of credentials.
"""

import errno
import json
import logging
import os
import re
import select
import stat
import sys
import time
import traceback
from typing import Any, Final

__all__ = ["configure", "hide", "redact", "reopen", "sink"]

# A write of at most PIPE_BUF bytes to a pipe is whole, between those of other processes, and does not block
# once poll says "writable" (pipe(7)).
LINE_BYTES: Final = 4096
HIDDEN: Final = "***"
_SAYS_SO: Final = r"(?:secret|passw(?:or)?d|api_?-?key|admin_?key|private_?key|token)"
_SECRET_NAME: Final = re.compile(rf"(?=[\w-]*?{_SAYS_SO})[\w-]*|.*authorization|.*cookie", re.IGNORECASE)
# Each byte is looked at a few times, whatever a client sends: a word once, from where it begins, and what does not fit is not
# tried in parts. A line of this log is made where requests are served.
_NAME: Final = rf"(?=[\w-]*?{_SAYS_SO})[\w-]++"
_SHAPES: Final = tuple(
    (re.compile(shape, re.IGNORECASE | re.DOTALL), instead)
    for shape, instead in (
        (r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)", HIDDEN),
        # JSON Web Token: base64url of '{"'
        (r"(?<![\w-])((?>[\w-]*?\b(?=eyJ)))eyJ[\w-]++\.[\w-]*+(?:\.[\w-]*+)?", rf"\g<1>{HIDDEN}"),
        (r"\b(Bearer|Basic)\s++[^\s\"']+", rf"\1 {HIDDEN}"),
        (r"\b(Authorization|X-API-KEY|Cookie|Set-Cookie):\s*[^\r\n]+", rf"\1: {HIDDEN}"),
        # Members of JSON and of queries; a bare "name: text" is a field's path in a fault, which must stay.
        (rf"(([\"']){_NAME}\2\s*+:\s*+)(?:\"[^\"]*\"|'[^']*'|[^\s,}}]+)", rf"\g<1>{HIDDEN}"),
        (rf"((?<![\w-]){_NAME}=)(?:\"[^\"]*\"|'[^']*'|[^\s,;&]+)", rf"\g<1>{HIDDEN}"),
    )
)
_PLAIN: Final = re.compile(r"[\w.:/@+,*\[\]-]+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

_secrets: set[str] = set()

log = logging.getLogger("fastgw.logs")


def sink(path: str, standard: int) -> int:
    """A descriptor for lines, of the caller's own; "-" is the standard one of that number.

    Who reads a pipe or a terminal, and takes his time, holds up nobody: it does not block. For that it is opened anew, since
    the mode is shared by all who have inherited a descriptor. A socket cannot be: who writes to it says so each time.
    """
    if path == "-":
        mode = os.fstat(standard).st_mode
        if not (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
            return os.dup(standard)
        try:
            return os.open(f"/proc/self/fd/{standard}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:  # another user's, or no /proc
            opened = os.dup(standard)
            os.set_blocking(opened, stat.S_ISCHR(mode))
            return opened
    flags = os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(path, os.O_WRONLY | flags, 0o640)
    except OSError as exc:
        if exc.errno != errno.ENXIO:  # a named pipe that nobody reads yet
            raise
        return os.open(path, os.O_RDWR | flags, 0o640)


def hide(secret: str) -> None:
    """From now on this text never appears in the log of this process and those it forks."""
    if len(secret) >= 4:  # shorter ones would blank out ordinary words
        _secrets.add(secret)


def redact(text: str) -> str:
    for secret in _secrets:
        text = text.replace(secret, HIDDEN)
    for shape, instead in _SHAPES:
        text = shape.sub(instead, text)
    return text


class LineFormatter(logging.Formatter):
    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        level = record.levelname.lower()
        head = f"{moment}.{int(record.msecs):03d}Z {level} [{self._process}] {record.name}: "
        parts = [redact(record.getMessage())]
        parts += [_member(name, value) for name, value in vars(record).items() if name not in _STANDARD]
        if record.exc_info and record.exc_info[0] is not None:
            parts.append(_member("traceback", "".join(traceback.format_exception(*record.exc_info))))
        return head + _CONTROL.sub(_escape, " ".join(parts))


class ObjectFormatter(LineFormatter):
    """One JSON object per line, cut so that it fits one write and stays one."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        told: dict[str, Any] = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        for name, value in vars(record).items():
            if name not in _STANDARD:
                plain = isinstance(value, bool | int | float) or value is None
                told[name] = HIDDEN if _SECRET_NAME.fullmatch(name) else value if plain else redact(str(value))
        if record.exc_info and record.exc_info[0] is not None:
            told["traceback"] = redact("".join(traceback.format_exception(*record.exc_info)))
        return _fitting(told)


class LineHandler(logging.Handler):
    """Writes each event with one call; drops and counts it if the reader at the other end is slow."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self._dropped = 0
        self._torn = False
        self._fd = self._open()

    def _open(self) -> int:
        if self._path == "-":
            return sys.__stderr__.fileno() if sys.__stderr__ is not None else 2
        return sink(self._path, 2)

    def reopen(self) -> None:
        """A file that cannot be opened is no reason to end: what there is to say goes on into the old one."""
        if self._path == "-":
            return
        try:
            old, self._fd = self._fd, self._open()
        except OSError as exc:
            log.error("%s: cannot be opened anew, the log goes on in the old file: %s", self._path, exc.strerror)
        else:
            os.close(old)

    def close(self) -> None:
        if self._path != "-" and self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        super().close()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:
            line = f"cannot format an event of {record.pathname}:{record.lineno}"
        if not self._writable():
            self._dropped += 1
            return
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            self._write(f"{dropped} events dropped: the log was not read fast enough, or there was no room for it")
            if self._dropped:
                self._dropped += dropped
                return
        self._write(line)

    def _writable(self) -> bool:
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        return bool(poll.poll(0))

    def _write(self, line: str) -> None:
        data = line.encode(errors="backslashreplace")
        if len(data) >= LINE_BYTES:  # the end of a traceback says more than its middle
            half = LINE_BYTES // 2 - 4
            data = data[:half] + b" ... " + data[-half:]
        whole = (b"\n" if self._torn else b"") + data + b"\n"
        try:
            self._torn = os.write(self._fd, whole) < len(whole)  # the disk is full: what comes next is not to continue this line
        except OSError:
            self._dropped += 1
        else:
            self._dropped += self._torn


def configure(process: str, path: str = "-", level: str = "info", form: str = "text") -> None:
    """Sends everything this process logs to one place; again after a fork, under the child's own name. form: text or json."""
    handler = LineHandler(path)
    handler.setFormatter(ObjectFormatter(process) if form == "json" else LineFormatter(process))
    root = logging.getLogger()
    for each in root.handlers[:]:
        root.removeHandler(each)
        each.close()
    root.addHandler(handler)
    root.setLevel(level.upper())


def reopen() -> None:
    """After the file was moved away: goes on in a new one under the old name."""
    for each in logging.getLogger().handlers:
        if isinstance(each, LineHandler):
            each.reopen()


def _fitting(told: dict[str, Any]) -> str:
    """The end of a text says more than its middle: the longest gives way, by halves, until all fits."""
    while len(text := json.dumps(told)) >= LINE_BYTES:
        name = max(told, key=lambda each: len(str(told[each])))
        keep = len(str(told[name])) // 3
        told[name] = f"{str(told[name])[:keep]} ... {str(told[name])[-keep:]}"
    return text


def _member(name: str, value: Any) -> str:
    text = HIDDEN if _SECRET_NAME.fullmatch(name) else redact(str(value))
    return f"{name}={text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)}"


def _escape(found: re.Match[str]) -> str:
    return json.dumps(found[0])[1:-1]
