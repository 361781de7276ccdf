"""Revoked means revoked: on every worker from the answer to the call on, under load, and whatever dies.

FASTGW_TEST_REVOCATIONS says how many tokens are revoked under load; the default is a sample.
"""

import json
import os
import signal
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support import tokens
from tests.support.gateway import Gateway, one_route
from tests.support.load import Load
from tests.support.processes import alive, descendants
from tests.support.upstreams import Answering
from tests.support.waiting import until
from tests.support.wire import Client

TRIALS = int(os.environ.get("FASTGW_TEST_REVOCATIONS", "12"))
WORKERS = 8
CONNECTIONS = 32  # that the revoked token comes on: kept, so several are of each worker


def _config(upstream: Any, **more: Any) -> dict[str, Any]:
    return {
        **one_route(upstream.address, plugins={"jwt-auth": {}}),
        "consumers": [{"username": "john", "plugins": {"jwt-auth": tokens.JOHN}}],
        **more,
    }


class Asking(threading.Thread):
    """Sends the token on its connections without a pause, and notes the start and the status of every request."""

    def __init__(self, clients: list[Client], token: str) -> None:
        super().__init__()
        self.seen: list[tuple[float, int]] = []
        self.stopped = False
        self.fault: BaseException | None = None
        self._clients, self._fields = clients, {"Authorization": token}

    def run(self) -> None:
        try:
            while not self.stopped:
                for client in self._clients:
                    began = time.monotonic()
                    self.seen.append((began, client.request("GET", "/", headers=self._fields).status))
        except BaseException as exc:
            self.fault = exc
            raise


@pytest.mark.timeout(120 + 3 * TRIALS)
def test_no_request_is_admitted_after_the_call_returned(directory: Path) -> None:
    with ExitStack() as held:
        upstream = held.enter_context(Answering())
        gateway = held.enter_context(Gateway(directory, _config(upstream, workers=WORKERS)))
        other = f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: {tokens.john(jti='other', sub='john')}\r\n\r\n".encode()
        clients = [held.enter_context(Client(gateway.data)) for _ in range(CONNECTIONS)]
        with Load(gateway.data, other, connections=8) as load:
            for trial in range(TRIALS):
                asking = [Asking(clients[n::4], tokens.john(jti=f"trial-{trial}", sub="john")) for n in range(4)]
                for each in asking:
                    each.start()
                until(lambda: all(len(each.seen) > CONNECTIONS for each in asking), "the token is in use")  # noqa: B023
                gateway.put(f"revocations/{trial}", {"jti": f"trial-{trial}"})
                returned = time.monotonic()
                # Every connection once more at least: also of a worker that learnt of it late.
                until(
                    lambda: all(sum(began > returned for began, _ in each.seen) > CONNECTIONS for each in asking),  # noqa: B023
                    "all were asked again",
                )
                for each in asking:
                    each.stopped = True
                    each.join()
                    assert each.fault is None
                    assert {status for began, status in each.seen if began > returned} == {401}, f"trial {trial}"
                    assert each.seen[0][1] == 200
        assert load.statuses.keys() == {200}
        assert load.lost == 0
        assert '"killed' not in gateway.log()


def _statuses(gateway: Gateway, texts: list[str]) -> list[int]:
    return [gateway.get("/", text).status for text in texts]


def test_they_survive_whatever_is_killed(directory: Path) -> None:
    with Answering() as upstream:
        config = _config(upstream, workers=2, revocations=[{"id": "filed", "jti": "filed"}])
        gateway = Gateway(directory, config)
        texts = [tokens.john(jti=jti) for jti in ("filed", "put", "gone", "good")]
        expected = [401, 401, 200, 200]
        with gateway:
            gateway.put("revocations/put", {"jti": "put"})
            gateway.put("revocations/gone", {"jti": "gone"})
            assert gateway.api("DELETE", "revocations/gone").status == 200
            assert _statuses(gateway, texts) == expected
            for pid in gateway.workers():
                gateway.kill_worker(pid)
                assert _statuses(gateway, texts * 2) == expected * 2
            (admin,) = gateway.pids("admin")
            os.kill(admin, signal.SIGKILL)
            until(lambda: gateway.pids("admin") not in ([], [admin]), "a new admin process")
            assert _statuses(gateway, texts) == expected
            gateway.put("revocations/more", {"jti": "good"})
            assert _statuses(gateway, texts) == [401, 401, 200, 401]
            family = descendants(gateway.process.pid)
            for pid in (gateway.process.pid, *family):
                os.kill(pid, signal.SIGKILL)
            gateway.process.popen.wait()
            until(lambda: not any(alive(pid) for pid in family), "all are gone")
            gateway.start()
            assert _statuses(gateway, texts) == [401, 401, 200, 401]


def test_the_file_adds_and_removes(directory: Path) -> None:
    with Answering() as upstream:
        config = _config(upstream, workers=2)
        texts = [tokens.john(jti="a"), tokens.john(jti="b"), tokens.john()]
        with Gateway(directory, config) as gateway:
            assert _statuses(gateway, texts) == [200] * 3
            ended = {"id": "2", "jti": "b", "expires": int(time.time()) - 1}
            gateway.reload({**config, "revocations": [{"id": "1", "jti": "a"}, ended]})
            assert _statuses(gateway, texts * 2) == [401, 200, 200] * 2
            gateway.put("revocations/1", {"jti": "b"})
            assert _statuses(gateway, texts) == [200, 401, 200]
            assert gateway.api("DELETE", "revocations/1").status == 200
            assert _statuses(gateway, texts) == [401, 200, 200]
            assert gateway.api("DELETE", "revocations/1").status == 409
            gateway.reload(config)
            assert _statuses(gateway, texts * 2) == [200] * 6


def test_a_file_with_more_than_there_is_room_for(directory: Path) -> None:
    many = [{"id": str(n), "jti": str(n)} for n in range(5)]
    with Answering() as upstream:
        config = _config(upstream, shared_memory={"revocations": 4}, revocations=many[:4])
        with Gateway(directory, config) as gateway:
            log = gateway.reload({**config, "revocations": many})
            assert "revocations: expected at most 4 (shared_memory.revocations), found 5: nothing was changed" in log
            assert "reload refused" in log
            assert _statuses(gateway, [tokens.john(jti="3"), tokens.john(jti="4")]) == [401, 200]
        gateway.write_config({**config, "shared_memory": {"revocations": 3}})
        with pytest.raises(AssertionError, match=r"shared_memory\.revocations: expected at most 3"):
            gateway.start()


def test_a_file_of_memory_keeps_the_room_that_it_was_made_with(directory: Path) -> None:
    path = directory / "shared"
    with Answering() as upstream:
        config = _config(upstream, shared_memory={"path": str(path), "revocations": 1})
        with Gateway(directory, config) as gateway:
            gateway.put("revocations/1", {"jti": "1"})
        gateway.write_config({**config, "shared_memory": {"path": str(path), "revocations": 2}})
        with gateway:
            assert gateway.api("PUT", "revocations/2", {"jti": "2"}).status == 507
            assert f"{path}: it was made for 1 revocations and stays so" in gateway.log()
        path.unlink()
        with gateway:
            gateway.put("revocations/2", {"jti": "2"})
            assert _statuses(gateway, [tokens.john(jti="1"), tokens.john(jti="2")]) == [401, 401]


def test_the_log_says_why_and_explain_too(directory: Path) -> None:
    with Answering() as upstream:
        log = directory / "access.log"
        config = _config(upstream, access_log={"path": str(log)})
        text = tokens.john(jti="a")
        with Gateway(directory, config) as gateway:
            gateway.put("revocations/1", {"credential": "john"})
            assert gateway.get("/", text).status == 401
            until(lambda: log.read_text().endswith("\n"), "the access log has a line")
            assert json.loads(log.read_text())["refused"] == "jwt.revoked"
            question = {"uri": "/", "headers": {"Authorization": text}}
            told = json.loads(gateway.api("POST", "explain", question).body)
            assert told["outcome"]["reason"] == "jwt.revoked"
