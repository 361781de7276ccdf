"""GatewayMiddleware in front of WSGI applications: a bare one in threads, Flask and Django as they are used."""

from __future__ import annotations

import copy
import gc
import os
import threading
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest

from fastgw._core import Caller
from fastgw.embedded import EmbeddingError
from fastgw.wsgi import GatewayMiddleware
from tests.core.served import CONFIG, bearer


class Answer:
    """What the server was told, and the environ as the application saw it."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.seen: dict[str, Any] | None = None


def ask(served: GatewayMiddleware, path: str, **environ: Any) -> Answer:
    answer = Answer()

    def start(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
        answer.status = int(status[:3])
        answer.headers = {name.lower(): value for name, value in headers}

    made: dict[str, Any] = {"PATH_INFO": path, "REMOTE_ADDR": "192.0.2.7", "answer": answer, **environ}
    setup_testing_defaults(made)
    body = served(made, start)
    answer.body = b"".join(body)
    if hasattr(body, "close"):
        body.close()
    return answer


def bare(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    environ["answer"].seen = environ
    start_response("200 OK", [("X-App", "yes")])
    return [b"y", b"es"]


def app(config: dict[str, Any] = CONFIG, **more: Any) -> GatewayMiddleware:
    return GatewayMiddleware(bare, config=config, **more)


def john(**claims: Any) -> dict[str, str]:
    return {"HTTP_AUTHORIZATION": bearer("john", **claims)[1].decode()}


def test_who_a_request_is_from_stands_in_its_environ() -> None:
    found = ask(app(), "/private/a", **john(sub="x"), HTTP_X_CONSUMER_USERNAME="root", HTTP_X_MINE="1", CONTENT_TYPE="text/plain")
    assert (found.status, found.body, found.headers["x-app"], found.headers["x-ratelimit-remaining"]) == (200, b"yes", "yes", "1")
    assert found.seen is not None
    assert found.seen["fastgw.consumer"] == Caller("john", "one", "few", "id-of-john")
    assert found.seen["fastgw.claims"]["sub"] == "x"
    assert "HTTP_AUTHORIZATION" not in found.seen  # the route hides it
    assert "HTTP_X_CONSUMER_USERNAME" not in found.seen
    assert (found.seen["HTTP_X_MINE"], found.seen["CONTENT_TYPE"]) == ("1", "text/plain")


def test_what_is_refused_never_reaches_the_application() -> None:
    served = app()
    found = ask(served, "/private/a")
    assert (found.status, found.body, found.seen) == (401, b'{"message":"Missing JWT token in request"}\n', None)
    assert found.headers["www-authenticate"] == 'Bearer realm="jwt"'
    assert [ask(served, "/private/a", **john()).status for _ in range(3)] == [200, 200, 429]
    assert [ask(served, path).status for path in ("/elsewhere", "/private/../open", "//open", "/open")] == [404, 400, 400, 200]
    assert ask(app(unmatched="pass"), "/elsewhere").status == 200


def test_a_query_that_carries_a_token_is_hidden_and_a_mounted_path_is_whole() -> None:
    text = bearer()[1].removeprefix(b"Bearer ").decode()
    found = ask(app(), "/a", SCRIPT_NAME="/private", QUERY_STRING=f"x=1&jwt={text}")
    assert found.seen is not None
    assert found.seen["QUERY_STRING"] == "x=1"


def test_steps_that_have_a_say_in_the_answer_have_it_and_delays_are_waited_for() -> None:
    served = app()
    found = ask(served, "/named")
    assert found.seen is not None
    assert found.headers["x-request-id"] == found.seen["HTTP_X_REQUEST_ID"]
    assert [ask(served, "/slow").status for _ in range(3)] == [200, 200, 200]
    assert served._own.gate.requests == 0


def test_threads_and_forks_count_together() -> None:
    config = copy.deepcopy(CONFIG)
    config["consumer_groups"][0]["plugins"]["limit-count"]["count"] = 50
    served = app(config)
    admitted = list[int]()

    def work() -> None:
        admitted.extend(ask(served, "/private/a", **john()).status == 200 for _ in range(20))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(admitted) == 40
    pid = os.fork()
    if pid == 0:
        os._exit(sum(ask(served, "/private/a", **john()).status == 200 for _ in range(7)))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert [ask(served, "/private/a", **john()).status for _ in range(4)] == [200, 200, 200, 429]


def test_a_thread_that_has_its_turn_between_two_conditions_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads share what routes are found in, and a regular expression is the interpreter's to judge."""
    others: list[Callable[[], None]] = []
    monkeypatch.setattr("fastgw.schema.expression.search_of", lambda *_, **__: lambda _: others.pop()() if others else None)
    routes = [
        {"id": "narrow", "uri": "/a/long/*", "vars": [["arg_x", "~~", "x"]], "plugins": {}},
        {"id": "wide", "uri": "/a/*", "plugins": {"jwt-auth": {}}},
    ]
    served = app({**CONFIG, "routes": routes}, unmatched="pass")

    def other() -> None:
        thread = threading.Thread(target=lambda: found.append(ask(served, "/b/c/d/e/f/g").status))
        thread.start()
        thread.join()

    found: list[int] = []
    others.append(other)
    assert ask(served, "/a/long/b", QUERY_STRING="x=1").status == 401
    assert found == [200]


def test_a_thread_that_ends_leaves_nothing_behind() -> None:
    """Not even until the collector comes: it is seldom, and may be switched off."""
    served = app()

    def one() -> int:
        thread = threading.Thread(target=ask, args=(served, "/open"))
        thread.start()
        thread.join()
        return len(os.listdir("/proc/self/fd"))

    gc.collect()
    gc.disable()
    try:
        before = one()
        assert [one() for _ in range(9)] == [before] * 9
    finally:
        gc.enable()


def test_an_application_that_raises_ends_its_request() -> None:
    def broken(_: Any, __: Any) -> Any:
        raise LookupError("mine")

    served = GatewayMiddleware(broken, config=CONFIG)
    with pytest.raises(LookupError, match="mine"):
        ask(served, "/named")
    assert served._own.gate.requests == 0


def test_what_needs_an_event_loop_is_refused_at_the_start() -> None:
    routes = [{"id": "r", "uri": "/*", "plugins": {"forward-auth": {"uri": "http://127.0.0.1:1/"}}}]
    with pytest.raises(EmbeddingError, match="plugin forward-auth: expected none that awaits"):
        app({"routes": routes})
