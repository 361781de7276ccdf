"""Whole sets under traffic: a connection that has seen one object of a new set never sees an old one again."""

import itertools
import json
import threading
from pathlib import Path
from typing import Any

from tests.support import wire
from tests.support.gateway import ADMIN_KEY, Gateway
from tests.support.upstreams import Answering
from tests.support.waiting import until
from tests.support.wire import Client

BASE = 1_000_000
OTHERS = 100  # so many that the set is read in several pages and compiled in several slices
SETS = 15


def whole(upstream: Any, version: int) -> dict[str, Any]:
    """Each of its routes tells the version in X-RateLimit-Limit."""
    limit = {"limit-count": {"count": BASE + version, "time_window": 600}}
    names = ["a", *(f"other-{number}" for number in range(OTHERS)), "b"]
    node = {"type": "roundrobin", "nodes": {str(upstream.address): 1}}
    return {"routes": [{"id": name, "uri": f"/{name}", "plugins": limit, "upstream": node} for name in names]}


def test_a_connection_sees_all_of_a_set_or_nothing(directory: Path) -> None:
    with Answering() as upstream, Gateway(directory, {"workers": 2}) as gateway:

        def apply(version: int) -> None:
            headers = {"X-API-KEY": ADMIN_KEY, "X-Digest": str(version)}
            body = json.dumps(whole(upstream, version))
            assert wire.request(gateway.admin, "PUT", "/apisix/admin/configs", body, headers).status == 202

        apply(0)
        stopped = threading.Event()
        seen: list[list[int]] = [[] for _ in range(4)]

        def watch(found: list[int]) -> None:
            with Client(gateway.data) as client:
                for name in itertools.cycle("ab"):
                    if stopped.is_set():
                        return
                    answer = client.request("GET", f"/{name}")
                    found.append(int(answer.headers["x-ratelimit-limit"]) - BASE)

        watchers = [threading.Thread(target=watch, args=(found,)) for found in seen]
        for watcher in watchers:
            watcher.start()
        try:
            until(lambda: all(seen), "every watcher sees something")
            for version in range(1, SETS):
                apply(version)
                # Live on return, for connections old and new.
                marks = [len(found) for found in seen]
                assert int(wire.get(gateway.data, "/b").headers["x-ratelimit-limit"]) == BASE + version
                until(
                    lambda marks=marks: all(len(found) > mark + 2 for found, mark in zip(seen, marks, strict=True)), "they go on"
                )
                assert all(found[-1] == version for found in seen)
        finally:
            stopped.set()
            for watcher in watchers:
                watcher.join()
    for found in seen:
        assert found == sorted(found), "an old object after a new one"
        assert set(found) == set(range(SETS))
