"""Plugins of users that do what they must not: it costs their own requests, never the worker or a request of another route."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.plugins.mirror import ask, mirror
from tests.plugins.own import routes, source, write
from tests.support.gateway import Gateway
from tests.support.waiting import until

FILES = {
    "blocks": source(
        "blocks",
        """
    def access(self, conf, request):
        if request.header("X-How") == "spins":
            while True:
                try:
                    sum(range(1000))
                except Exception:
                    pass
        if request.header("X-How") == "sleeps":
            import time
            time.sleep(600)
        if request.header("X-How") == "waits":
            import threading
            threading.Event().wait()
""",
        phases='("access",)',
    ),
    "late": source(
        "late",
        """
    def header_filter(self, conf, request):
        if request.header("X-How"):
            import time
            time.sleep(600)
        request.set_response_header("X-Late", "no")
""",
        phases='("header_filter",)',
    ),
    "waits": source(
        "waits",
        """
    async def access(self, conf, request):
        how = request.header("X-How")
        if how == "sleeps":
            await asyncio.sleep(600)
        if how == "blocks":
            await asyncio.sleep(0)
            import time
            time.sleep(600)
        while how == "stubborn" and request.method:
            try:
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                pass
""",
        phases='("access",)',
    ),
    "raises": source(
        "raises",
        """
    def rewrite(self, conf, request):
        if request.header("X-Now"):
            self._raise(request)

    async def access(self, conf, request):
        await asyncio.sleep(0)
        self._raise(request)

    def _raise(self, request):
        import builtins
        name = request.header("X-Raise")
        if name == "deep":
            return self._raise(request)
        class Odd(Exception):
            def __str__(self): raise SystemExit
            __repr__ = __str__
        if name:
            raise Odd() if name == "odd" else getattr(builtins, name)("a secret")
""",
        phases='("rewrite", "access")',
    ),
    "nonsense": source(
        "nonsense",
        """
    def access(self, conf, request):
        class Odd:
            __await__ = 5
        class Once:
            def __await__(self):
                yield 5
        class Leaves:
            @property
            def __await__(self): raise SystemExit
        return {
            "number": 5, "text": "x", "false": False, "class": Odd, "odd": Odd(), "once": Once(), "leaves": Leaves(),
        }[request.header("X-What")]

    def header_filter(self, conf, request):
        return Reply(200)

    def body_filter(self, conf, request, piece, last):
        return "text"

    def log(self, conf, request):
        request.nothing
""",
        phases='("access", "header_filter", "body_filter", "log")',
    ),
    "replies": source(
        "replies",
        """
    def access(self, conf, request):
        return FILES[request.header("X-What")]()
""",
        phases='("access",)',
    ).replace(
        "class Conf",
        'FILES = {"object": lambda: Reply(200, object()), "pair": lambda: Reply(200, headers=[("a",)]),\n'
        '    "split": lambda: Reply(200, headers={"X": "a\\r\\nb"}), "type": lambda: Reply(200, headers={"Content-Type": "a"}),\n'
        '    "framing": lambda: Reply(200, headers={"Content-Length": "5"}), "low": lambda: Reply(7)}\n'
        "class Conf",
    ),
    "keeps": source(
        "keeps",
        """
    def log(self, conf, request):
        if request.header("X-Let-Go"):
            kept.clear()
        else:
            kept.append(request)
""",
        phases='("log",)',
    ).replace("class Conf", "kept = []\nclass Conf"),
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One route per plugin, and `/plain` without any."""
    directory = tmp_path_factory.mktemp("harm")
    with mirror() as upstream:
        config = {
            "plugins_dir": str(write(directory, **FILES)),
            "access_log": {"path": str(directory / "access.log")},
            "limits": {"plugin_time": 0.05, "plugin_wait": 0.5},
            "routes": routes(upstream.address, plain={}, **{name: {name: {}} for name in FILES}),
        }
        with Gateway(directory, config) as running:
            for name in FILES:  # the first call may take longer, for what it imports
                ask(running, f"/{name}", "X-Let-Go: 1", "X-What: number")
            yield running


def counted(gateway: Gateway, plugin: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(gateway.api("GET", "stats").body)["plugins"][plugin]
    return found


def refused(gateway: Gateway, path: str) -> str | None:
    """What the newest line of the access log of that path says."""
    lines = [json.loads(line) for line in (gateway.directory / "access.log").read_text().splitlines()]
    told: list[dict[str, Any]] = [line for line in lines if line["uri"] == path]
    return told[-1].get("refused") if told else "no line is there yet"


@pytest.mark.parametrize(
    ("plugin", "how"), [("blocks", "spins"), ("blocks", "sleeps"), ("blocks", "waits"), ("waits", "blocks"), ("waits", "sleeps")]
)
def test_what_takes_too_long_is_cut_off(plugin: str, how: str, gateway: Gateway) -> None:
    workers, before = gateway.workers(), counted(gateway, plugin)["timeouts"]
    seen = len(gateway.log())
    answer = ask(gateway, f"/{plugin}", f"X-How: {how}")
    assert answer.status == 504
    assert json.loads(answer.body)["reason"] == "plugin.timeout"
    assert ask(gateway, "/plain").status == 200
    assert ask(gateway, f"/{plugin}").status == 200
    assert gateway.workers() == workers
    assert f"plugin {plugin} was cut off in phase access" in gateway.log()[seen:]
    assert counted(gateway, plugin)["timeouts"] == before + 1
    until(lambda: refused(gateway, f"/{plugin}") is None, "the access log")
    assert "plugin.timeout" in (gateway.directory / "access.log").read_text()


def test_one_that_will_not_end_no_longer_holds_its_request(gateway: Gateway) -> None:
    before = counted(gateway, "waits")
    assert ask(gateway, "/waits", "X-How: stubborn").status == 504
    # What goes on without its request ends when it asks anything of it; here, at the next cancellation: that of the worker.
    until(lambda: counted(gateway, "waits")["kept"] == before["kept"] + 1, "it is told as kept")
    assert counted(gateway, "waits")["timeouts"] == before["timeouts"] + 1
    assert ask(gateway, "/plain").status == 200


def test_where_the_answer_is_there_it_goes_without_the_plugin(gateway: Gateway) -> None:
    assert ask(gateway, "/late").header("X-Late") == ["no"]
    answer = ask(gateway, "/late", "X-How: sleeps")
    assert (answer.status, answer.header("X-Late")) == (200, [])
    assert "plugin late was cut off in phase header_filter" in gateway.log()
    assert counted(gateway, "late")["timeouts"] == 1


@pytest.mark.parametrize("now", [True, False])
@pytest.mark.parametrize(
    "name", ["SystemExit", "KeyboardInterrupt", "GeneratorExit", "RecursionError", "MemoryError", "StopIteration", "deep", "odd"]
)
def test_whatever_it_raises_costs_its_own_request(name: str, now: bool, gateway: Gateway) -> None:
    workers, before = gateway.workers(), counted(gateway, "raises")["failures"]
    for _ in range(2):
        answer = ask(gateway, "/raises", f"X-Raise: {name}", *(["X-Now: 1"] if now else []))
        assert answer.status == 500
        assert json.loads(answer.body)["reason"] == "plugin.failed"
        assert b"secret" not in answer.body
    assert ask(gateway, "/plain").status == 200
    assert gateway.workers() == workers
    assert counted(gateway, "raises")["failures"] == before + 2


@pytest.mark.parametrize("what", ["number", "text", "false", "class", "odd", "once", "leaves"])
def test_nonsense_costs_its_own_request(what: str, gateway: Gateway) -> None:
    workers = gateway.workers()
    answer = ask(gateway, "/nonsense", f"X-What: {what}")
    assert (answer.status, json.loads(answer.body)["reason"]) == (500, "plugin.failed")
    assert ask(gateway, "/plain").status == 200
    assert gateway.workers() == workers


@pytest.mark.parametrize("what", ["object", "pair", "split", "type", "framing", "low"])
def test_replies_that_cannot_be_sent(what: str, gateway: Gateway) -> None:
    answer = ask(gateway, "/replies", f"X-What: {what}")
    assert (answer.status, json.loads(answer.body)["reason"]) == (500, "plugin.failed")
    assert answer.header("X") == []


def test_requests_that_it_keeps_are_counted_until_it_lets_go(gateway: Gateway) -> None:
    for _ in range(5):
        assert ask(gateway, "/keeps").status == 200
    until(lambda: counted(gateway, "keeps")["kept"] == 5, "they are told as kept")
    ask(gateway, "/keeps", "X-Let-Go: 1")
    until(lambda: counted(gateway, "keeps")["kept"] == 0, "and no more")


def test_one_that_fails_always_does_not_fill_the_log(gateway: Gateway) -> None:
    before = counted(gateway, "raises")["failures"]
    told = gateway.log().count("plugin raises failed")
    for _ in range(60):
        ask(gateway, "/raises", "X-Raise: ValueError")
    assert counted(gateway, "raises")["failures"] == before + 60
    assert gateway.log().count("plugin raises failed") < told + 60
    until(
        lambda: ask(gateway, "/raises", "X-Raise: ValueError").status == 500 and "more since the last one)" in gateway.log(),
        "the log says how many it left out",
    )


def test_what_is_counted(gateway: Gateway) -> None:
    before = counted(gateway, "late")
    for _ in range(10):
        ask(gateway, "/late")
    until(lambda: counted(gateway, "late")["calls"] == before["calls"] + 10, "the calls")
    after = counted(gateway, "late")
    assert (after["failures"], after["timeouts"]) == (before["failures"], before["timeouts"])
    assert after["held_ms"] > before["held_ms"]
    assert after["latency_ms"] > before["latency_ms"]
    processes = json.loads(gateway.api("GET", "stats").body)["processes"]
    assert all(each["memory"] > 2**20 for each in processes)
