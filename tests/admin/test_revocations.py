"""Revocations by the Admin API: what is written stands in shared memory when the call returns, and goes in its time."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from fastgw import _core, revocations
from fastgw.store import Store
from tests.admin.conftest import Admin
from tests.support.waiting import until


def table(admin: Admin) -> _core.Revocations:
    return _core.Revocations(admin.region)


def revoked(admin: Admin, kind: str, subject: str, issued: int | None = None) -> bool:
    return table(admin).revoked(kind, subject.encode(), issued, int(time.time()))


@pytest.mark.parametrize(
    ("value", "kind", "subject"),
    [
        ({"jti": "t-1"}, "jti", "t-1"),
        ({"sub": "jöhn"}, "sub", "jöhn"),
        ({"credential": "john/c.1"}, "credential", "john/c.1"),
        ({"credential": "john"}, "credential", "john"),
        ({"issued_before": 2**52}, "all", ""),
    ],
)
def test_every_verb(admin: Admin, value: dict[str, Any], kind: str, subject: str) -> None:
    assert admin.call("PUT", "/revocations/v", value).status == 201
    assert revoked(admin, kind, subject)
    assert admin.call("PATCH", "/revocations/v", {"issued_before": 100}).status == 200
    assert (revoked(admin, kind, subject, 99), revoked(admin, kind, subject, 100)) == (True, False)
    assert admin.call("DELETE", "/revocations/v").status == 200
    assert not revoked(admin, kind, subject, 99)
    made = admin.call("POST", "/revocations", value)
    assert (made.status, revoked(admin, kind, subject)) == (201, True)
    id = made.body["key"].rpartition("/")[2]
    assert [row["key"] for row in admin.call("GET", "/revocations").body["list"]] == [f"/apisix/revocations/{id}"]
    assert admin.call("DELETE", f"/revocations/{id}").status == 200
    assert not revoked(admin, kind, subject, 99)
    assert table(admin).held == 0


def test_another_subject_takes_the_place_of_the_first(admin: Admin) -> None:
    admin.call("PUT", "/revocations/p", {"jti": "first"})
    admin.call("PUT", "/revocations/p", {"sub": "second"})
    assert (revoked(admin, "jti", "first"), revoked(admin, "sub", "second")) == (False, True)
    admin.call("DELETE", "/revocations/p")


def test_it_goes_by_itself(admin: Admin) -> None:
    now = int(time.time())
    assert admin.call("PUT", "/revocations/e", {"jti": "soon", "expires": now + 2}).status == 201
    assert admin.call("PUT", "/revocations/f", {"jti": "later", "expires": now + 1000}).status == 201
    assert admin.call("PUT", "/revocations/g", {"jti": "past", "expires": now - 5}).status == 201
    assert not revoked(admin, "jti", "past")
    until(lambda: admin.call("GET", "/revocations/e").status == 404, "it is gone")
    assert time.time() >= now + 2
    assert not revoked(admin, "jti", "soon")
    assert revoked(admin, "jti", "later")
    assert admin.call("GET", "/revocations/g").status == 404
    admin.call("DELETE", "/revocations/f")
    assert table(admin).held == 0


def test_a_ttl_is_an_end_too_the_earlier_one_counts(admin: Admin) -> None:
    now = int(time.time())
    admin.call("PUT", "/revocations/t?ttl=1", {"jti": "ttl", "expires": now + 1000})
    assert revoked(admin, "jti", "ttl")
    until(lambda: admin.call("GET", "/revocations/t").status == 404, "it is gone")
    until(lambda: not revoked(admin, "jti", "ttl"), "the table follows")  # a moment after the store


def test_whole_sets(admin: Admin) -> None:
    now = int(time.time())
    given = {"revocations": [{"id": "a", "jti": "set"}, {"id": "b", "sub": "set", "expires": now + 2}]}
    assert admin.call("PUT", "/configs", given, headers={"X-Digest": "one"}).status == 202
    assert (revoked(admin, "jti", "set"), revoked(admin, "sub", "set")) == (True, True)
    until(lambda: admin.call("GET", "/revocations/b").status == 404, "its time has come")
    assert not revoked(admin, "sub", "set")
    assert admin.call("PUT", "/configs", {"revocations": []}, headers={"X-Digest": "two"}).status == 202
    assert not revoked(admin, "jti", "set")


def test_full(make_admin: Callable[..., Admin]) -> None:
    admin = make_admin(revocations=3)
    for n in range(3):
        assert admin.call("PUT", f"/revocations/{n}", {"jti": str(n)}).status == 201
    expected = "revocations: expected at most 3 (shared_memory.revocations), found 4: nothing was changed"
    for method, path in (("PUT", "/revocations/3"), ("POST", "/revocations")):
        answer = admin.call(method, path, {"jti": "3"})
        assert (answer.status, answer.body) == (507, {"error_msg": expected})
    whole = {"revocations": [{"id": f"s{n}", "jti": f"s{n}"} for n in range(4)]}
    answer = admin.call("PUT", "/configs", whole, headers={"X-Digest": "x"})
    assert (answer.status, answer.body) == (507, {"error_msg": expected})
    assert [revoked(admin, "jti", each) for each in ("0", "1", "2", "3", "s0")] == [True] * 3 + [False] * 2
    assert admin.call("PUT", "/revocations/2", {"jti": "two"}).status == 200
    assert admin.call("DELETE", "/revocations/0").status == 200
    assert admin.call("PUT", "/revocations/3", {"jti": "3"}).status == 201
    metrics = admin.region.metrics()
    assert (metrics["revocations"], metrics["revocations_room"]) == (3, 3)


def test_what_was_committed_by_one_that_was_killed_is_in_force_again(make_admin: Callable[..., Admin]) -> None:
    admin = make_admin()
    admin.call("PUT", "/revocations/1", {"jti": "one"})
    admin.process.kill()
    admin.process.wait()
    with closing(admin.store()) as store:  # as far as the commit, and no further
        store.put("revocations", "2", {"id": "2", "jti": "two"})
        store.delete("revocations", "1")
    left = table(admin)
    left.lock()
    left.put(b"3", "jti", b"half-done")
    left.unlock(None)
    admin.start()
    assert [revoked(admin, "jti", each) for each in ("one", "two", "half-done")] == [False, True, False]


def test_a_store_whose_feed_does_not_reach_back(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastgw.store.KEPT_REVISIONS", 10)
    monkeypatch.setattr("fastgw.store.PRUNE_EVERY", 1)
    store = Store(tmp_path / "fastgw.db")
    made = _core.Revocations(_core.Region.create(16, slots=1, revocations=64))
    store.put("revocations", "1", {"id": "1", "jti": "one"})
    store.put("revocations", "2", {"id": "2", "jti": "two"})
    revocations.follow(store, made)
    store.delete("revocations", "1")
    for n in range(40):
        store.put("routes", "r", {"id": "r", "uri": f"/{n}"})
    revocations.follow(store, made)
    assert (made.revoked("jti", b"one"), made.revoked("jti", b"two"), made.held) == (False, True, 1)
    store.close()


def test_a_table_of_another_store(tmp_path: Any) -> None:
    made = _core.Revocations(_core.Region.create(16, slots=1, revocations=64))
    made.lock()
    made.put(b"x", "jti", b"old")
    made.unlock(10**6)
    store = Store(tmp_path / "fastgw.db")
    store.put("revocations", "1", {"id": "1", "jti": "one"})
    revocations.follow(store, made, whole=True)
    assert (made.revoked("jti", b"old"), made.revoked("jti", b"one")) == (False, True)
    assert made.lock() == store.revision()
    store.close()


def test_a_store_that_fails_is_said_and_the_next_one_begins_anew(tmp_path: Any) -> None:
    made = _core.Revocations(_core.Region.create(16, slots=1, revocations=64))
    store = Store(tmp_path / "fastgw.db")
    store.put("revocations", "1", {"id": "1", "jti": "one"})
    store.connection.execute("ALTER TABLE feed RENAME TO away")
    with pytest.raises(sqlite3.Error):
        revocations.follow(store, made)
    store.connection.execute("ALTER TABLE away RENAME TO feed")
    revocations.follow(store, made)
    assert made.revoked("jti", b"one")
    store.close()


@pytest.mark.parametrize("course", ["another store", "killed", "together"])
def test_a_full_table_makes_room_before_it_takes_more(tmp_path: Any, course: str) -> None:
    made = _core.Revocations(_core.Region.create(16, slots=1, revocations=2))
    with closing(Store(tmp_path / "fastgw.db")) as store:
        for id in "ab":
            store.put("revocations", id, {"id": id, "jti": id})
        revocations.follow(store, made)
        store.delete("revocations", "a")
        store.put("revocations", "c", {"id": "c", "jti": "c"})
        if course == "killed":
            made.lock()
            made.unlock(None)
        elif course == "together":  # the last change of a, which makes room for c, is yet to come
            store.delete("revocations", "b")
            store.put("revocations", "a", {"id": "a", "sub": "a"})
        revocations.follow(store, made, whole=course == "another store")
        assert [made.revoked("jti", each) for each in (b"a", b"b", b"c")] == [False, course != "together", True]
        assert made.held == 2
