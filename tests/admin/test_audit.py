"""The audit log: every change has its line, whatever happens to the process, and no line has a secret."""

import errno
import json
import os
import random
import signal
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastgw.admin.audit import Actor, Audit
from fastgw.admin.differ import changes_of
from fastgw.store import Store, Written
from tests.support.waiting import until

from .conftest import KEY, VIEWER, Admin, Answer

ROUTE = {"uri": "/", "plugins": {}}
SECRET = "a-secret-that-nobody-logs"
OPS = Actor("ops", "admin", "192.0.2.1", "PUT", "/apisix/admin/routes/r")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def written(path: Path) -> list[int]:
    """Numbers of the entries in the file."""
    return [line["seq"] for line in lines(path) if "seq" in line]


def last(admin: Admin) -> dict[str, Any]:
    return lines(admin.directory / "audit.log")[-1]


# ---- what a line says ----------------------------------------------------------------------------


def test_a_write_says_who_did_what(admin: Admin) -> None:
    answer = admin.call("PUT", "/routes/told", {"uri": "/a", "methods": ["GET"], "plugins": {}})
    entry = last(admin)
    assert entry.pop("seq") > 0
    assert entry.pop("time").endswith("Z")
    assert entry == {
        "key": "admin",
        "role": "admin",
        "address": "127.0.0.1",
        "method": "PUT",
        "path": "/apisix/admin/routes/told",
        "kind": "routes",
        "id": "told",
        "outcome": "committed",
        "status": answer.status,
        "revision": admin.call("GET", "/routes/told").body["modifiedIndex"],
        "changes": [
            {"object": "routes/told", "path": "uri", "after": "/a"},
            {"object": "routes/told", "path": "methods", "after": ["GET"]},
            {"object": "routes/told", "path": "plugins", "after": {}},
            {"object": "routes/told", "path": "id", "after": "told"},
        ],
    }


def test_a_change_says_what_was_before(admin: Admin) -> None:
    admin.call("PUT", "/routes/changed", {"uri": "/a", "plugins": {"limit-count": {"count": 1, "time_window": 30}}, "desc": "x"})
    admin.call("PATCH", "/routes/changed", {"plugins": {"limit-count": {"count": 2}}, "desc": None})
    entry = last(admin)
    assert (entry["method"], entry["status"]) == ("PATCH", 200)
    assert entry["changes"] == [
        {"object": "routes/changed", "path": "plugins.limit-count.count", "before": 1, "after": 2},
        {"object": "routes/changed", "path": "desc", "before": "x"},
    ]
    admin.call("DELETE", "/routes/changed")
    assert {"object": "routes/changed", "path": "uri", "before": "/a"} in last(admin)["changes"]


def test_what_goes_along_is_told(admin: Admin) -> None:
    admin.call("PUT", "/consumers", {"username": "gone"})
    admin.call("PUT", "/consumers/gone/credentials/c", {"plugins": {"key-auth": {"key": SECRET}}})
    admin.call("DELETE", "/consumers/gone")
    entry = last(admin)
    assert (entry["kind"], entry["id"]) == ("consumers", "gone")
    assert {change["object"] for change in entry["changes"]} == {"consumers/gone", "credentials/gone/c"}


def test_secrets_are_not_in_it(admin: Admin) -> None:
    conf = {"key": "open", "secret": SECRET, "sercet": SECRET + "-misspelt"}
    admin.call("PUT", "/consumers", {"username": "sec"})
    admin.call("PUT", "/consumers/sec/credentials/c", {"plugins": {"jwt-auth": conf}})
    changes = {change["path"]: change["after"] for change in last(admin)["changes"]}
    assert changes["plugins.jwt-auth.key"] == "open"
    assert changes["plugins.jwt-auth.secret"] == changes["plugins.jwt-auth.sercet"] == "***"
    admin.call("PUT", "/consumers/sec/credentials/c", {"plugins": {"jwt-auth": {**conf, "secret": SECRET + "-new"}}})
    change = {"object": "credentials/sec/c", "path": "plugins.jwt-auth.secret", "before": "***", "after": "***"}
    assert last(admin)["changes"] == [change]
    admin.call("PUT", f"/routes/r?key={SECRET}", {"uri": 1, "plugins": {"key-auth": SECRET}})
    assert SECRET not in (admin.directory / "audit.log").read_text()
    assert SECRET not in json.dumps(admin.call("GET", "/audit?limit=1000").body)


@pytest.mark.parametrize(
    ("method", "path", "body", "key", "status", "reason"),
    [
        ("PUT", "/routes/no", {"uri": 7}, KEY, 400, None),
        ("PUT", "/routes/no", b"{not json", KEY, 400, None),
        ("DELETE", "/routes/no", None, KEY, 404, None),
        ("PUT", "/routes/no", ROUTE, VIEWER, 403, "invalid method for role viewer"),
        ("GET", "/routes", None, "wrong", 401, "wrong apikey"),
        ("GET", "/routes", None, None, 401, "missing apikey"),
    ],
)
def test_a_refusal_has_a_line(
    admin: Admin, method: str, path: str, body: Any, key: str | None, status: int, reason: str | None
) -> None:
    assert admin.call(method, path, body, key=key).status == status
    entry = last(admin)
    assert "seq" not in entry
    assert (entry["outcome"], entry["status"], entry.get("reason")) == ("refused", status, reason)
    assert entry["key"] == {KEY: "admin", VIEWER: "viewer"}.get(key or "")
    assert (entry["method"], entry["path"]) == (method, f"/apisix/admin{path}")


def test_reading_is_not_told(admin: Admin) -> None:
    before = len(lines(admin.directory / "audit.log"))
    for call in (("GET", "/routes"), ("GET", "/audit"), ("POST", "/explain", {"uri": "/"})):
        assert admin.call(*call).status == 200
    assert len(lines(admin.directory / "audit.log")) == before


def test_strangers_cannot_fill_the_disk(make_admin: Callable[..., Admin]) -> None:
    admin = make_admin()
    connection = admin.connect()
    for _ in range(150):
        admin.call("GET", "/routes", key=None, connection=connection)
    connection.close()
    assert len(lines(admin.directory / "audit.log")) == 100
    admin.call("PUT", "/routes/r", {"uri": 7})
    assert last(admin)["not_logged_before"] == 50


def test_what_goes_by_itself_is_told(admin: Admin) -> None:
    admin.call("PUT", "/routes/short?ttl=0.05", ROUTE)
    path = admin.directory / "audit.log"
    entry = until(lambda: next((e for e in lines(path) if e["method"] == "EXPIRE"), None), "the entry of the expiry")
    assert (entry["key"], entry["address"], entry["kind"], entry["id"]) == (None, None, "routes", "short")


# ---- GET /audit ----------------------------------------------------------------------------------


def test_entries_are_read_in_pages(make_admin: Callable[..., Admin]) -> None:
    admin = make_admin()
    for number in range(5):
        admin.call("PUT", f"/routes/{number}", ROUTE)

    def seqs(query: str) -> list[int]:
        body = admin.call("GET", f"/audit{query}").body
        assert body["total"] == len(body["list"])
        return [entry["seq"] for entry in body["list"]]

    assert seqs("") == [1, 2, 3, 4, 5]
    assert seqs("?limit=2") == [4, 5]
    assert seqs("?since=1&limit=2") == [2, 3]
    assert seqs("?since=5") == []
    assert admin.call("GET", "/audit").body["list"] == lines(admin.directory / "audit.log")


@pytest.mark.parametrize("query", ["since=x", "since=-1", "limit=0", "limit=1001", "limit=", "since=" + "9" * 30])
def test_a_page_that_will_not_do(admin: Admin, query: str) -> None:
    answer = admin.call("GET", f"/audit?{query}")
    assert answer.status == 400
    assert answer.body["error_msg"].startswith(f"invalid argument {query.partition('=')[0]}: expected ")


def test_who_did_what_is_not_for_viewers(admin: Admin) -> None:
    answer = admin.call("GET", "/audit", key=VIEWER)
    assert (answer.status, answer.body["description"]) == (403, "the audit log is not for role viewer")


# ---- the file ------------------------------------------------------------------------------------


def test_it_is_private_and_reopened(make_admin: Callable[..., Admin]) -> None:
    admin = make_admin()
    path, moved = admin.directory / "audit.log", admin.directory / "moved"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    admin.call("PUT", "/routes/1", ROUTE)
    path.rename(moved)
    admin.process.send_signal(signal.SIGUSR1)
    until(path.exists, "a new file")
    admin.call("PUT", "/routes/2", ROUTE)
    assert (written(moved), written(path)) == ([1], [2])
    admin.process.terminate()
    admin.process.wait(20)
    admin.start()
    admin.call("PUT", "/routes/3", ROUTE)
    assert written(path) == [2, 3]


def test_killed_processes_lose_no_line_and_write_none_twice(make_admin: Callable[..., Admin]) -> None:
    admin = make_admin()
    chance = random.Random(seed := random.randrange(1 << 30))
    answered: list[str] = []
    for round in range(12):
        killer = threading.Timer(chance.random() * 0.1, admin.process.kill)
        connection = admin.connect()
        try:
            for number in range(10_000):
                answer: Answer = admin.call("PUT", f"/routes/{round}-{number}", ROUTE, connection=connection)
                assert answer.status == 201
                answered.append(f"{round}-{number}")
                if number == 1:  # however slow the machine, something was answered
                    killer.start()
        except OSError:
            pass
        finally:
            connection.close()
        killer.join()
        admin.process.wait(20)
        admin.start()
    entries = [line for line in lines(admin.directory / "audit.log") if "seq" in line]
    assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1)), f"seed {seed}"
    store = admin.store()
    rows = store.list("routes")
    store.close()
    assert [(entry["id"], entry["revision"]) for entry in entries] == [(row.id, row.modified) for row in rows], f"seed {seed}"
    assert set(answered) <= {entry["id"] for entry in entries}, f"seed {seed}"
    assert len(answered) > 12


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "data" / "fastgw.db")


def begun(store: Store, path: Path, keep: int = 1000) -> Audit:
    audit = Audit(store, path, keep)
    audit.start()
    return audit


def write(store: Store, audit: Audit, *ids: str) -> None:
    for id_ in ids:
        audit.during(OPS, lambda id_=id_: store.put("routes", id_, {"id": id_}))  # type: ignore[misc]


@pytest.mark.parametrize("torn", [b"", b'{"seq": 2, "key": "o', b'{"seq": 7}\n'])
def test_what_was_committed_and_not_written_is_written_at_the_next_start(store: Store, tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "log"
    audit = begun(store, path)
    write(store, audit, "a")
    store.witness = lambda *seen: audit._witness(OPS, *seen)  # the process ends before it can do more
    store.put("routes", "b", {"id": "b"})
    store.witness = None
    kept = path.read_bytes()
    path.write_bytes(kept + torn)
    begun(store, path)
    whole = [line for line in path.read_bytes().splitlines() if line != torn]
    numbers = [json.loads(line)["seq"] for line in whole]
    assert numbers == ([1, 2] if torn[-1:] != b"\n" else [1, 7, 1, 2]), "after a line of another database all is written again"


def test_a_write_is_not_made_if_it_cannot_be_told(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audit = begun(store, tmp_path / "log")

    def broken(_: object) -> list[dict[str, Any]]:
        raise RuntimeError

    monkeypatch.setattr("fastgw.admin.audit.changes_of", broken)
    with pytest.raises(RuntimeError):
        write(store, audit, "a")
    assert store.get("routes", "a") is None


def test_a_full_disk_delays_lines(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audit = begun(store, path := tmp_path / "log")
    real = os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda fd, data: real(fd, data[:10]))
        write(store, audit, "a", "b")
        assert path.read_bytes() == b""
        full.setattr(os, "write", lambda fd, data: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
        write(store, audit, "c")
    write(store, audit, "d")
    assert written(path) == [1, 2, 3, 4]
    assert [row.id for row in store.list("routes")] == ["a", "b", "c", "d"]


def test_the_table_is_bounded(store: Store, tmp_path: Path) -> None:
    now = [0.0]
    audit = Audit(store, path := tmp_path / "log", 100, lambda: now[0])
    audit.start()
    for number in range(350):
        now[0] += 1
        write(store, audit, str(number))
    assert [entry["seq"] for entry in audit.since(None, 1000)] == list(range(201, 351))
    assert written(path) == list(range(1, 351))


def test_only_a_file_will_do(store: Store) -> None:
    with pytest.raises(OSError, match="expected a regular file"):
        Audit(store, Path("/dev/null"), 100)


# ---- differences ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ({"hosts": ["a", "b"]}, {"hosts": ["a", "c"]}, [{"path": "hosts[1]", "before": "b", "after": "c"}]),
        ({"hosts": ["a"]}, {"hosts": ["a", "c"]}, [{"path": "hosts", "before": ["a"], "after": ["a", "c"]}]),
        ({"hosts": [1]}, {"hosts": [True]}, [{"path": "hosts[0]", "before": 1, "after": True}]),
        ({"status": 1}, {"status": 1.0}, [{"path": "status", "before": 1, "after": 1.0}]),
        ({"desc": "x"}, {"desc": {"a": 1}}, [{"path": "desc", "before": "x", "after": {"a": 1}}]),
        ({"plugins": {}}, {}, [{"path": "plugins", "before": {}}]),
        ({"labels": {"a.b": "x"}}, {"labels": {}}, [{"path": 'labels["a.b"]', "before": "x"}]),
        ({"update_time": 1}, {"update_time": 2}, []),
        ({"desc": "x" * 1000}, {}, [{"path": "desc", "before": '"' + "x" * 255 + "…"}]),
    ],
)
def test_differences(before: Any, after: Any, changes: list[dict[str, Any]]) -> None:
    found = changes_of([Written("routes", "r", before, after)])
    assert found == [{"object": "routes/r", **change} for change in changes]


def test_of_very_many_differences_the_rest_is_counted() -> None:
    after = {"labels": {f"l{number}": "x" for number in range(250)}}
    found = changes_of([Written("routes", "r", None, after)])
    assert (len(found), found[-1]) == (201, {"more": 50})
