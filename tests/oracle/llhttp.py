"""Heads as llhttp reads them, by way of httptools: looser than the gateway, so what the gateway accepts it must read alike."""

from __future__ import annotations

import contextlib

import httptools


class Taken:
    """What httptools calls back with."""

    def __init__(self) -> None:
        self.target, self.done = b"", False
        self.fields: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_status(self, reason: bytes) -> None:
        self.target += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        self.done = True


def read(head: bytes, is_response: bool) -> Taken:
    """The parts of a head; HttpParserError where it is none."""
    taken = Taken()
    parser = (httptools.HttpResponseParser if is_response else httptools.HttpRequestParser)(taken)
    with contextlib.suppress(httptools.HttpParserUpgrade):
        parser.feed_data(head)
    return taken
