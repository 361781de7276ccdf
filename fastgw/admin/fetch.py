"""Fetching a document over HTTP(S): one GET that ends in time, whatever the other side does. Only the system's resolver has times
of its own.

Owns: the client: time in all, size, redirects within one host, verified TLS. Must not know: what a document means, when it is
wanted. It runs in a thread, and is imported by the first one who needs it. Proxies that the environment names are not used:
whoever answers decides which tokens are good.
"""

import http.client
import re
import socket
import ssl
import threading
import time
from contextlib import suppress
from errno import ECONNRESET
from http import HTTPStatus
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urljoin, urlsplit

from fastgw import __version__
from fastgw.errors import FastgwError

__all__ = ["Document", "FetchError", "fetch"]

MOST_BYTES: Final = 1 << 20
MOST_REDIRECTS: Final = 3
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
PORTS: Final = {"http": 80, "https": 443}
HEADERS: Final = {
    "Accept": "application/jwk-set+json, application/json",
    "Accept-Encoding": "identity",
    "User-Agent": f"fastgw/{__version__}",
    "Connection": "close",
}
_MAX_AGE: Final = re.compile(r'(?:^|[\s,])max-age="?(\d{1,9})"?(?=$|[\s,])', re.IGNORECASE)
_NOT_KEPT: Final = re.compile(r"(?:^|[\s,])no-(?:store|cache)(?=$|[\s,=])", re.IGNORECASE)


class FetchError(FastgwError):
    """There is no document; says why in words that hold nothing of the answer's body."""


class Document(NamedTuple):
    """What came."""

    body: bytes
    max_age: int | None
    """Seconds for which the answer says that it stays good; None: it says nothing."""


def fetch(uri: str, seconds: float) -> Document:
    """FetchError: it is not to be had within so many seconds in all."""
    end = time.monotonic() + seconds
    parts = urlsplit(uri)
    origin = _origin(parts)
    for _ in range(MOST_REDIRECTS + 1):
        try:
            answer = _get(parts, end)
        except (OSError, http.client.HTTPException, ValueError) as error:
            if time.monotonic() >= end:
                raise FetchError(f"no whole answer within {seconds:g} s") from None
            raise FetchError(_words(error)) from None
        if isinstance(answer, Document):
            return answer
        parts = urlsplit(urljoin(parts.geturl(), answer))
        if _origin(parts) != origin:
            raise FetchError("redirected elsewhere: expected a document on the same host")
    raise FetchError(f"redirected more than {MOST_REDIRECTS} times")


def _get(parts: SplitResult, end: float) -> Document | str:
    """The document, or where it is said to be."""
    connection = _Connection(parts, end)
    ending = threading.Timer(max(0.0, end - time.monotonic()), connection.cut)
    ending.daemon = True
    ending.start()
    try:
        connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), headers=HEADERS)
        response = connection.getresponse()
        location = response.headers.get("Location")
        if response.status in REDIRECTS and location:
            return location
        if response.status != HTTPStatus.OK:
            raise FetchError(f"answered {response.status}")
        body = response.read(MOST_BYTES + 1)
        if len(body) > MOST_BYTES:
            raise FetchError(f"expected at most {MOST_BYTES} bytes, found more")
        if response.length or time.monotonic() >= end:  # http.client takes an end that comes too early for the end
            raise ConnectionError(ECONNRESET, "the answer ended too early")
        return Document(body, _max_age(response.headers))
    finally:
        ending.cancel()
        connection.drop()


class _Connection(http.client.HTTPConnection):
    """To where a URI says, cut when its time is over: a timeout on each read would let one byte now and then go on for ever."""

    def __init__(self, parts: SplitResult, end: float) -> None:
        super().__init__(parts.hostname or "", parts.port or PORTS[parts.scheme])
        self.default_port = PORTS[parts.scheme]
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._end = end
        self._line: socket.socket | None = None
        self._lock = threading.Lock()

    def connect(self) -> None:
        sock = self._reach()
        with self._lock:
            self._line = sock.dup()
        if time.monotonic() >= self._end:
            self.cut()
        self.sock = sock
        if self._tls is not None:
            self.sock = self._tls.wrap_socket(sock, server_hostname=self.host)

    def _reach(self) -> socket.socket:
        """The first of the host's addresses that answers, all of them within the time."""
        failed: OSError = TimeoutError()
        for *_, address in socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM):
            left = self._end - time.monotonic()
            if left <= 0:
                break
            try:
                return socket.create_connection((str(address[0]), self.port), left)
            except OSError as error:
                failed = error
        raise failed

    def cut(self) -> None:
        """From another thread: what waits on the line goes on, and finds it broken."""
        with self._lock:
            if self._line is not None:
                with suppress(OSError):
                    self._line.shutdown(socket.SHUT_RDWR)

    def drop(self) -> None:
        """The end of all: http.client closes a connection already when it has read the head of its last answer."""
        self.close()
        self.cut()
        with self._lock:
            if self._line is not None:
                self._line.close()
                self._line = None


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    try:
        return parts.scheme, parts.hostname, parts.port or PORTS.get(parts.scheme)
    except ValueError:  # a port that is none
        return "", None, None


def _max_age(headers: http.client.HTTPMessage) -> int | None:
    said = ",".join(headers.get_all("Cache-Control", []))
    if _NOT_KEPT.search(said):
        return 0
    found = _MAX_AGE.search(said)
    if found is None:
        return None
    age = headers.get("Age", "")
    return max(0, int(found[1]) - (int(age) if age.isdecimal() and len(age) < 10 else 0))


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: {error.verify_message}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
