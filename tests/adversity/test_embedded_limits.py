"""One table for a gateway and for an application under gunicorn with four workers: requests split over both admit exactly the
limit, whatever the algorithm, and what one side revokes or counts the other knows.
"""

import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import Gateway, free_addresses
from tests.support.load import Load
from tests.support.processes import Process, children
from tests.support.tokens import token
from tests.support.waiting import until
from tests.support.wire import Address, get

REQUESTS, LIMIT, CLIENTS = 10_000, 3_000, 16
SECRET = "a-shared-secret-of-enough-bytes"
APPLICATION = """
from fastgw.wsgi import GatewayMiddleware

def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]

app = GatewayMiddleware(application, config="config.json")
"""


def config(directory: Path, **limit: Any) -> dict[str, Any]:
    count = {"count": LIMIT, "time_window": 3600, "rejected_code": 429, **limit}
    return {
        "workers": 2,
        "echo": True,
        "shared_memory": {"path": str(directory / "counters"), "counters": 4096},
        "access_log": {"enabled": False},
        "consumers": [
            {
                "username": "john",
                "plugins": {"limit-count": {**count, "key": "consumer_name"}},
                "credentials": [{"id": "one", "plugins": {"jwt-auth": {"key": "john-key", "secret": SECRET}}}],
            }
        ],
        "routes": [{"id": "r", "uri": "/*", "plugins": {"jwt-auth": {}}}],
    }


class Gunicorn:
    """The application under gunicorn: processes that know of each other and of the gateway by the table's path alone."""

    def __init__(self, directory: Path) -> None:
        (directory / "application.py").write_text(APPLICATION)
        self.address: Address = free_addresses(1)[0]
        command = [sys.executable, "-m", "gunicorn", "-w", "4", "-k", "gthread", "--threads", "2", "-b", str(self.address)]
        command += ["--keep-alive", "60", "--no-control-socket", "application:app"]
        self.process = Process(command, directory / "gunicorn.log")

    def __enter__(self) -> "Gunicorn":
        until(lambda: self.process.log().count("Booting worker") >= 4 and self._answers(), "gunicorn serves")
        return self

    def _answers(self) -> bool:
        try:
            return get(self.address, "/").status == 401
        except OSError:
            return False

    def __exit__(self, *_: object) -> None:
        self.process.stop()


@pytest.mark.parametrize("limit", [{}, {"window_type": "sliding"}], ids=["fixed", "sliding"])
def test_requests_split_over_both_admit_exactly_the_limit(directory: Path, limit: dict[str, Any]) -> None:
    request = b"GET /anything HTTP/1.1\r\nHost: test\r\nAuthorization: %b\r\n\r\n" % token("john-key", SECRET).encode()
    with Gateway(directory, _with_upstream(directory, limit)) as gateway, Gunicorn(directory) as gunicorn:
        with (
            Load(gateway.data, request, CLIENTS, REQUESTS // 2) as by_gateway,
            Load(gunicorn.address, request, CLIENTS, REQUESTS // 2) as by_application,
        ):
            pass
        statuses: Counter[int] = by_gateway.statuses + by_application.statuses
        assert (by_gateway.lost, by_application.lost) == (0, 0)
        if limit:  # a sliding window estimates: never more in the window that the run lies in
            assert statuses[200] <= LIMIT
            assert statuses[200] > 0
        else:
            assert statuses == {200: LIMIT, 429: REQUESTS - LIMIT}
            assert by_gateway.statuses[200] > 0
            assert by_application.statuses[200] > 0


def test_workers_that_die_cost_no_more_than_what_they_had_in_flight(directory: Path) -> None:
    request = b"GET /anything HTTP/1.1\r\nHost: test\r\nAuthorization: %b\r\n\r\n" % token("john-key", SECRET).encode()
    with Gateway(directory, _with_upstream(directory, {})) as gateway, Gunicorn(directory) as gunicorn:
        with (
            Load(gateway.data, request, CLIENTS, 4000) as by_gateway,
            Load(gunicorn.address, request, CLIENTS, 4000) as by_application,
        ):
            for turn in range(3):
                until(lambda turn=turn: by_application.done > 200 * (turn + 1), "the load goes on")
                os.kill(children(gunicorn.process.pid)[0], signal.SIGKILL)
        lost = by_application.lost
        assert LIMIT - lost <= by_gateway.statuses[200] + by_application.statuses[200] <= LIMIT


def test_what_the_gateway_revokes_the_application_refuses(directory: Path) -> None:
    with Gateway(directory, _with_upstream(directory, {})) as gateway, Gunicorn(directory) as gunicorn:
        fields = {"Authorization": token("john-key", SECRET, jti="7")}
        assert get(gunicorn.address, "/anything", fields).status == 200
        gateway.put("revocations/1", {"jti": "7"})
        assert get(gunicorn.address, "/anything", fields).status == 401
        assert get(gunicorn.address, "/anything", {"Authorization": token("john-key", SECRET, jti="8")}).status == 200


def _with_upstream(directory: Path, limit: dict[str, Any]) -> dict[str, Any]:
    """The gateway's file is the application's too. The upstream is the gateway's own, whose address the harness chooses."""
    made = config(directory, **limit)
    echo = free_addresses(1)[0]
    made["echo"] = str(echo)
    made["routes"][0]["upstream"] = {"type": "roundrobin", "nodes": {str(echo): 1}}
    return made
