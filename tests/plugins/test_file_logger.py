"""file-logger from outside: a line for each request, in the file that was named."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastgw.plugins.check import check_plugin
from tests.plugins.mirror import ask
from tests.support.gateway import Gateway
from tests.support.upstreams import Answering
from tests.support.waiting import until


@pytest.fixture(scope="module")
def gateway(up: Answering, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("file-logger")
    node = {"type": "roundrobin", "nodes": {str(up.address): 1}}
    own = {"path": str(directory / "own.log")}
    confs: dict[str, dict[str, Any]] = {
        "own": own,
        "named": {},
        "match": {**own, "match": [[["arg_a", "==", "1"]], [["status", "==", 404], ["arg_b", "==", "1"]]]},
        "bodies": {**own, "include_resp_body": True, "max_resp_body_bytes": 3, "log_format": {"uri": "$uri", "is": "$resp_body"}},
        "lost": {"path": str(directory / "none" / "x.log")},
        "full": {"path": "/dev/full"},
        "pipe": {"path": str(directory / "pipe")},
    }
    routes = [{"id": n, "uri": f"/{n}", "upstream": node, "plugins": {"file-logger": c}} for n, c in confs.items()]
    metadata = [{"id": "file-logger", "path": str(directory / "named.log")}]
    with Gateway(directory, {"routes": routes, "plugin_metadata": metadata, "workers": 2}) as running:
        yield running


def lines(gateway: Gateway, name: str, mark: str, count: int = 1) -> list[dict[str, Any]]:
    """The entries that have the mark, once there are so many."""
    path: Path = gateway.directory / name

    def there() -> list[str]:
        found = [line for line in path.read_text().splitlines() if mark in line] if path.exists() else []
        return found if len(found) >= count else []

    return [json.loads(line) for line in until(there, f"{count} lines with {mark}")]


def test_a_line_for_each_request(gateway: Gateway) -> None:
    for i in range(50):
        assert ask(gateway, f"/own?each={i}").status == 200
    entries = lines(gateway, "own.log", "each=", 50)
    assert sorted(int(entry["request"]["querystring"]["each"]) for entry in entries) == list(range(50))
    assert entries[0]["route_id"] == "own"
    assert (gateway.directory / "own.log").read_bytes().endswith(b"}\n")


def test_the_metadata_may_name_the_file(gateway: Gateway) -> None:
    ask(gateway, "/named?metadata")
    assert lines(gateway, "named.log", "?metadata")[0]["route_id"] == "named"


def test_only_what_matches(gateway: Gateway) -> None:
    for query in ("a=1", "a=2", "b=1", "last=1&a=1"):
        ask(gateway, f"/match?{query}")
    lines(gateway, "own.log", "last=1")
    seen = [entry["request"]["uri"] for entry in lines(gateway, "own.log", '"/match?')]
    assert sorted(seen) == ["/match?a=1", "/match?last=1&a=1"]


def test_a_format_with_a_body(gateway: Gateway) -> None:
    ask(gateway, "/bodies")
    (entry,) = lines(gateway, "own.log", '"/bodies"')
    assert entry == {"uri": "/bodies", "is": "GET", "route_id": "bodies", "response": {"body": "GET"}}


def test_a_file_that_was_moved_is_begun_anew(gateway: Gateway) -> None:
    """As logrotate does; nobody has to be told."""
    path = gateway.directory / "own.log"
    ask(gateway, "/own?before")
    lines(gateway, "own.log", "?before")
    os.rename(path, gateway.directory / "old.log")

    def again() -> bool:
        ask(gateway, "/own?after")
        return path.exists()

    until(again, "the file is there again")
    lines(gateway, "own.log", "?after")


def test_what_cannot_be_written_harms_nobody_and_is_named(gateway: Gateway) -> None:
    for name, why in (("lost", "No such file or directory"), ("full", "No space left on device")):
        for _ in range(3):
            assert ask(gateway, f"/{name}").status == 200
        until(lambda why=why: f"entries dropped, 1 in all: {why}" in gateway.log(), why)


def test_a_pipe_whose_reader_reads_nothing_holds_up_no_other_file(gateway: Gateway) -> None:
    pipe = gateway.directory / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        for _ in range(40):  # more than it takes, of either worker
            ask(gateway, f"/pipe?{'x' * 6000}")
        for i in range(20):
            ask(gateway, f"/own?beside={i}")
        lines(gateway, "own.log", "?beside=", 20)
        assert b"x" * 6000 in os.read(reader, 1 << 16)
    finally:
        os.close(reader)


def test_faults_name_their_place() -> None:
    for conf, place in (
        ({"path": ""}, "path"),
        ({"path": "a\0b"}, "path"),
        ({"match": []}, "match"),
        ({"match": [[["arg_a", "=", "1"]]]}, "match[0][0][1]"),
        ({"log_format": {"a": [1]}}, "log_format.a"),
    ):
        faults, _ = check_plugin("routes", "file-logger", conf)
        assert [str(fault.path) for fault in faults] == [place], conf
