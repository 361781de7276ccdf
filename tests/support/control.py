"""The Control API as its users reach it: on a unix socket, without any key."""

import http.client
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def ask(
    path: Path, method: str, target: str, fields: Mapping[str, str] | None = None
) -> tuple[int, Any, http.client.HTTPMessage]:
    """One request; the body as what it is in JSON, else as text."""
    connection = http.client.HTTPConnection("localhost", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(path))
    try:
        connection.request(method, target, headers=dict(fields or {}))
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    try:
        return answer.status, json.loads(text), answer.headers
    except ValueError:
        return answer.status, text.decode(), answer.headers
