"""The examples do what they say: FastAPI, Flask and Django behind the chain, and a server in Cython on the C API."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest

from tests.core.served import scope_of
from tests.support.processes import ROOT, Process
from tests.support.tokens import jane, john, token
from tests.support.waiting import until

EXAMPLES = ROOT / "examples"
HELLO = {"hello": "johndoe", "custom_id": "john-doe-junior"}


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """`example("flask_app")` is the module, on a table of its own."""
    monkeypatch.setenv("EXAMPLE_TABLE", str(tmp_path / "table"))
    monkeypatch.setattr(sys, "path", [str(EXAMPLES), *sys.path])
    before = set(sys.modules)

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    yield load
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("fastapi_app", "flask_app", "django_app"):
            del sys.modules[name]


def by_wsgi(app: Any, path: str, authorization: str | None = None) -> tuple[int, Any]:
    found: dict[str, Any] = {}
    environ: dict[str, Any] = {"PATH_INFO": path, "REMOTE_ADDR": "192.0.2.7"}
    if authorization is not None:
        environ["HTTP_AUTHORIZATION"] = authorization
    setup_testing_defaults(environ)
    body = app(environ, lambda status, headers, *_: found.update(status=int(status[:3])))
    content = b"".join(body)
    if hasattr(body, "close"):
        body.close()
    return found["status"], json.loads(content)


def test_the_readme_works_when_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section = (ROOT / "README.md").read_text().partition("## In your own server\n")[2].partition("\n## ")[0]
    application, parts = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "config.json", tmp_path)
    pasted: dict[str, Any] = {}
    exec(compile(application, "README.md", "exec"), pasted)
    assert by_asgi(pasted["app"], "/anything", jane()) == (200, {"hello": "janedoe"})
    assert by_asgi(pasted["app"], "/anything", None)[0] == 401
    pasted = {"token": john()}
    exec(compile(parts.replace("/dev/shm/logins", str(tmp_path / "logins")), "README.md", "exec"), pasted)
    assert (pasted["allowed"], pasted["remaining"]) == (True, 4)


def by_asgi(app: Any, path: str, authorization: str | None) -> tuple[int, Any]:
    headers = [] if authorization is None else [(b"authorization", authorization.encode())]
    sent = asyncio.run(asked(app, scope_of(path, *headers)))
    return sent[0]["status"], json.loads(b"".join(each.get("body", b"") for each in sent))


async def asked(app: Any, scope: dict[str, Any]) -> list[dict[str, Any]]:
    """What the server is sent."""
    sent: list[dict[str, Any]] = []
    received = iter([{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}])

    async def receive() -> dict[str, Any]:
        return next(received) if scope["type"] == "websocket" else {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


def says_what_it_should(ask: Any) -> None:
    assert ask("/", None) == (200, {"hello": "whoever you are"})
    assert ask("/me", None) == (401, {"message": "Missing JWT token in request"})
    assert [ask("/me", john()) for _ in range(2)] == [(200, HELLO)] * 2
    assert ask("/me", john())[0] == 429
    assert ask("/me", jane()) == (200, {"hello": "janedoe", "custom_id": None})
    assert ask("/nowhere", None)[0] == 404


def test_flask(example: Any) -> None:
    app = example("flask_app").app
    says_what_it_should(lambda path, authorization: by_wsgi(app, path, authorization))


def test_django(example: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "django_app.settings")
    app = example("django_app.wsgi").application
    says_what_it_should(lambda path, authorization: by_wsgi(app, path, authorization))


def test_fastapi(example: Any) -> None:
    app = example("fastapi_app").app
    says_what_it_should(lambda path, authorization: by_asgi(app, path, authorization))
    sent = asyncio.run(asked(app, scope_of("/socket", (b"authorization", jane().encode()), kind="websocket", subprotocols=[])))
    assert [each.get("text") for each in sent if each["type"] == "websocket.send"] == ["hello janedoe"]
    sent = asyncio.run(asked(app, scope_of("/socket", kind="websocket", subprotocols=[])))
    assert [each["type"] for each in sent] == ["websocket.close"]


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler")
@pytest.mark.timeout(300)
def test_a_server_in_cython(tmp_path: Path) -> None:
    there = tmp_path / "cython_server"
    shutil.copytree(EXAMPLES / "cython_server", there)
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "CFLAGS": "-O1"}
    command = [sys.executable, "setup.py", "build_ext", "--inplace"]
    built = subprocess.run(command, cwd=there, env=environ, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    server = Process([sys.executable, "server.py", "127.0.0.1", "0"], there / "log", {"PYTHONPATH": f"{ROOT}:{there}"})
    try:
        port = int(until(lambda: server.log().startswith("serving ") and server.log(), "it serves").split()[2])
        good = token("a", "a-secret-of-at-least-thirty-two-bytes")

        async def ask(*lines: str) -> list[bytes]:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write("".join(f"{line}\n" for line in lines).encode())
            found = [await reader.readline() for _ in lines]
            writer.close()
            await writer.wait_closed()
            return found

        said = asyncio.run(ask(f"a {good}", f"a {good}x", f"a {good}", f"a {good}", f"b {good}", "a"))
        assert said == [b"200\n", b"401\n", b"200\n", b"429\n", b"200\n", b"401\n"]
    finally:
        server.stop()
    of_handles = """
from guard import Guard
from fastgw.core import JWTVerifier, Key, Limiter, Table
limiter, secret = Limiter(Table.create(None, 64), "x", count=1, window=9), Key("HS256", b"a-secret-of-at-least-thirty-two-bytes")
for bad in ((3, 4), (limiter, limiter)):
    try:
        Guard(*bad)
    except TypeError as error:
        print(error)
guard = Guard(limiter, JWTVerifier(secret))
import sys
print(guard.payload(sys.argv[1].encode(), 0), guard.payload(b"a.b.c", 0), guard.payload(sys.argv[1].encode(), 2**40))
print(Guard(limiter, JWTVerifier(secret, required=["sub"])).payload(sys.argv[1].encode(), 0))
"""
    done = subprocess.run([sys.executable, "-c", of_handles, good], cwd=there, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, second, third, fourth = done.stdout.splitlines()
    assert (first, second) == ("limiter: expected a Limiter, found int", "verifier: expected a JWTVerifier, found Limiter")
    assert third.startswith('b\'{"key":"a","exp":')
    assert third.endswith(" jwt.malformed jwt.expired")
    assert fourth == "jwt.unknown"  # the interpreter must be asked
