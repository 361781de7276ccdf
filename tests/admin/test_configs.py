"""The whole configuration as one resource: what it shows, what it takes, and that it is all or nothing."""

import contextlib
import datetime
import http.client
import itertools
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from fastgw.admin import configs
from fastgw.admin.server import MAX_BODY

from .conftest import VIEWER, Admin, Answer

UPSTREAM = {"type": "roundrobin", "nodes": {"127.0.0.1:1980": 1}}
SET: dict[str, Any] = {
    "upstreams": [{"id": "u", **UPSTREAM}],
    "routes": [{"id": "b", "uri": "/b", "upstream_id": "u"}, {"id": "a", "uri": "/a", "upstream": UPSTREAM}],
    "consumers": [
        {"username": "john"},
        {"id": "john/credentials/c", "plugins": {"key-auth": {"key": "johns-key"}}},
    ],
}
TIMES = ("create_time", "update_time")
TESTS = itertools.count()


def route(id: str, **fields: Any) -> dict[str, Any]:
    return {"id": id, "uri": "/x", "upstream": UPSTREAM, **fields}


class Set:
    """An admin process of one's own, one worker's stand-in, and the calls of these tests."""

    def __init__(self, admin: Admin, name: str) -> None:
        self.admin = admin
        self.follower = admin.followers[0] if admin.followers else admin.follow(0)
        self._digests = (f"{name}-{number}" for number in itertools.count())

    def put(self, body: Any, query: str = "", **headers: str) -> Answer:
        sent = {"X-Digest": next(self._digests), **headers}
        return self.admin.call("PUT", f"/configs{query}", body, headers=sent)

    def get(self, query: str = "", **more: Any) -> Answer:
        return self.admin.call("GET", f"/configs{query}", **more)

    def plan(self, body: Any) -> dict[str, Any]:
        answer = self.admin.call("PUT", "/configs?dry_run=true", body)
        assert (answer.status, answer.body.pop("dry_run")) == (200, True), answer.body
        return dict(answer.body)

    def served(self) -> dict[tuple[str, str], Any]:
        """What the worker has."""
        return {key: value for key, value in self.follower.objects.items() if value is not None}

    def objects(self) -> dict[str, Any]:
        """What is served, without times and counts."""
        found = self.get().body
        return {
            name: [{member: item for member, item in each.items() if member not in TIMES} for each in values]
            for name, values in found.items()
            if isinstance(values, list)
        }


@pytest.fixture
def fresh(make_admin: Callable[..., Admin]) -> Set:
    return Set(make_admin(), f"own-{next(TESTS)}")


@pytest.fixture
def whole(admin: Admin) -> Set:
    """One process for many tests; each finds it empty."""
    made = Set(admin, f"test-{next(TESTS)}")
    admin.store().replace_file_layer({})
    assert made.put({}).status == 202
    return made


def digest(answer: Answer) -> str:
    return str(answer.headers["X-Digest"])


# ---- reading -------------------------------------------------------------------------------------


def test_before_the_first_set_there_are_only_counts(fresh: Set) -> None:
    answer = fresh.get()
    assert answer.status == 200
    assert set(answer.body.values()) == {0}
    assert {"routes_conf_version", "consumers_conf_version", "ssls_conf_version"} <= answer.body.keys()
    assert "credentials_conf_version" not in answer.body
    assert answer.headers["X-Last-Modified"] == "0"
    assert answer.headers["Content-Type"] == "application/json"


def test_a_set_comes_back_as_it_was_sent(fresh: Set) -> None:
    assert fresh.put(SET).status == 202
    assert fresh.objects() == SET
    assert fresh.follower.objects["credentials", "john/c"]["plugins"] == {"key-auth": {"key": "johns-key"}}
    answer = fresh.get()
    assert {answer.body[f"{name}_conf_version"] for name in SET} == {1}
    assert int(answer.headers["X-Last-Modified"]) > 1_700_000_000
    assert answer.headers["ETag"] == f'"{fresh.admin.store().revision()}"'


def test_yaml_in_and_out(whole: Set) -> None:
    odd = {**SET, "routes": [{"id": "r", "uri": "/r", "upstream": UPSTREAM, "desc": "0o17", "name": "no"}]}
    raw = json.dumps(odd).encode()
    as_yaml = {"Content-Type": "application/yaml"}
    assert whole.put(b"# a comment is YAML only\n" + raw, **as_yaml).status == 202
    assert whole.objects()["routes"] == odd["routes"]
    answer = whole.get(headers={"Accept": "application/yaml"})
    assert answer.headers["Content-Type"] == "application/yaml"
    assert 'desc: "0o17"' in answer.body  # a number to YAML 1.2, though not to most writers
    sent = "".join(line for line in answer.body.splitlines(True) if "_conf_version" not in line)
    plan = whole.put(sent.encode(), "?dry_run=true", **as_yaml)
    assert {name for each in plan.body.values() if isinstance(each, dict) for name in each} == {"unchanged"}
    assert whole.put(b"# a comment is YAML only\n" + raw).status == 400


def test_head_has_the_headers_of_get(whole: Set) -> None:
    whole.put(SET)
    head, get = whole.admin.call("HEAD", "/configs"), whole.get()
    assert (head.status, head.body) == (200, "")
    for name in ("X-Digest", "X-Last-Modified", "ETag", "Content-Type", "Content-Length"):
        assert head.headers[name] == get.headers[name]


def test_layers(whole: Set) -> None:
    whole.admin.store().replace_file_layer({("routes", "filed"): {"id": "filed", "uri": "/f", "upstream": UPSTREAM}})
    whole.put(SET)
    assert [each["id"] for each in whole.get().body["routes"]] == ["filed", "b", "a"]
    assert [each["id"] for each in whole.get("?layer=store").body["routes"]] == ["b", "a"]
    assert whole.get("?layer=file").status == 400


def test_a_viewer_sees_no_secrets_and_writes_nothing(whole: Set) -> None:
    whole.put(SET)
    answer = whole.get(key=VIEWER)
    assert answer.status == 200
    assert answer.body["consumers"][1]["plugins"] == {"key-auth": {}}
    assert "johns-key" not in json.dumps(answer.body)
    for method, path in (("PUT", "/configs"), ("PUT", "/configs?dry_run=true"), ("POST", "/configs/validate")):
        assert whole.admin.call(method, path, SET, key=VIEWER).status == 403
    assert whole.admin.call("GET", "/configs", key=None).status == 401


def test_private_keys_are_for_those_only_who_may_put_them_back(whole: Set) -> None:
    key, cert = certificate()
    ssl = {"id": "1", "sni": "a.test", "cert": cert, "key": key, "certs": [cert], "keys": [key]}
    assert whole.put({"ssls": [ssl]}).status == 202
    assert whole.objects() == {"ssls": [ssl]}
    assert whole.plan({"ssls": whole.get().body["ssls"]})["ssls"] == {"unchanged": ["1"]}
    seen = whole.get(key=VIEWER).body["ssls"]
    assert [each.keys() & ssl.keys() for each in seen] == [{"id", "sni", "cert", "certs"}]
    other, its_cert = certificate()
    plan = whole.plan({"ssls": [{**ssl, "key": other, "cert": its_cert}]})
    assert "PRIVATE KEY" not in json.dumps(plan)
    changes = plan["ssls"]["updated"][0]["changes"]
    assert [each["path"] for each in changes] == ["cert", "key"]
    assert changes[1].keys() == {"path"}


def certificate() -> tuple[str, str]:
    """A key and a certificate that says so itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a.test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    signed = made.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1)).sign(key, hashes.SHA256())
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return key.private_bytes(*form).decode(), signed.public_bytes(Encoding.PEM).decode()


# ---- applying ------------------------------------------------------------------------------------


def test_what_is_the_same_stays_as_it_is(whole: Set) -> None:
    whole.put(SET)
    store = whole.admin.store()
    before = {kind: store.list(kind) for kind in ("routes", "upstreams", "consumers", "credentials")}
    revision = store.revision()
    changed = json.loads(json.dumps(SET))
    changed["routes"][1]["uri"] = "/other"
    answer = whole.put(changed)
    assert answer.status == 202
    assert store.revision() == revision + 1
    assert answer.body == {
        "dry_run": False,
        "routes": {
            "updated": ["a"],
            "unchanged": ["b"],
        },
        "upstreams": {"unchanged": ["u"]},
        "consumers": {"unchanged": ["john", "john/credentials/c"]},
    }
    after = {kind: store.list(kind) for kind in before}
    (old,), (new,) = ([row for row in each["routes"] if row.id == "a"] for each in (before, after))
    assert (new.created, new.value["create_time"]) == (old.created, old.value["create_time"])
    for kind, rows in before.items():
        assert [row for row in after[kind] if row.id != "a"] == [row for row in rows if row.id != "a"]


def test_its_own_answer_changes_nothing(whole: Set) -> None:
    """Also what the file declares is not copied into the store."""
    whole.admin.store().replace_file_layer({("routes", "filed"): {"id": "filed", "uri": "/f", "upstream": UPSTREAM}})
    whole.put(SET)
    whole.admin.call("PUT", "/plugin_metadata/limit-count", {})
    store = whole.admin.store()
    revision = store.revision()
    sent = {name: value for name, value in whole.get().body.items() if isinstance(value, list)}
    assert whole.put(sent).status == 202
    assert store.revision() == revision
    assert [row.layer for row in store.list("routes")] == ["file", "store", "store"]


def test_what_the_set_lacks_goes_but_not_what_the_file_declares(whole: Set) -> None:
    filed = {"id": "filed", "uri": "/f", "upstream": UPSTREAM}
    hidden = {"id": "hidden", "uri": "/h", "upstream": UPSTREAM}
    whole.admin.store().replace_file_layer({("routes", "filed"): filed, ("routes", "hidden"): hidden})
    whole.put({**SET, "routes": [*SET["routes"], {**hidden, "uri": "/over"}]})
    assert whole.follower.objects["routes", "hidden"]["uri"] == "/over"
    answer = whole.put({})
    assert answer.body == {
        "dry_run": False,
        "routes": {
            "updated": ["hidden"],
            "deleted": ["b", "a"],
            "kept": ["filed", "hidden"],
        },
        "upstreams": {"deleted": ["u"]},
        "consumers": {"deleted": ["john", "john/credentials/c"]},
    }
    assert whole.served() == {
        ("routes", "filed"): filed,
        ("routes", "hidden"): hidden,
    }


def test_a_set_that_says_what_the_file_says_needs_no_override(whole: Set) -> None:
    filed = {"id": "filed", "uri": "/f", "upstream": UPSTREAM}
    store = whole.admin.store()
    store.replace_file_layer({("routes", "filed"): filed})
    whole.put({"routes": [{**filed, "uri": "/over"}]})
    assert [row.layer for row in store.list("routes")] == ["store"]
    whole.put({"routes": [filed]})
    assert [row.layer for row in store.list("routes")] == ["file"]


def test_the_order_of_a_set_is_the_order_of_creation(whole: Set) -> None:
    names = [f"r{number % 7}-{number}" for number in range(40)]
    whole.put({"routes": [{"id": name, "uri": "/x", "upstream": UPSTREAM} for name in names]})
    assert [row.id for row in whole.admin.store().list("routes")] == names


def test_times_of_the_set_are_taken(whole: Set) -> None:
    route = {"id": "r", "uri": "/r", "upstream": UPSTREAM, "create_time": 100, "update_time": 200}
    whole.put({"routes": [route]})
    assert whole.get().body["routes"] == [route]
    whole.put({"routes": [{**route, "create_time": 150, "update_time": 300, "uri": "/new"}]})
    assert whole.get().body["routes"] == [{**route, "update_time": 300, "uri": "/new"}]
    whole.put({"routes": [{**route, "uri": "/newer"}]})  # what a GET gave, edited
    assert whole.get().body["routes"][0]["update_time"] > 1_700_000_000


def test_nested_credentials_and_indexes_of_items(whole: Set) -> None:
    credential = {"id": "c", "plugins": {"key-auth": {"key": "k"}}, "modifiedIndex": 3}
    whole.put({"consumers": [{"username": "jane", "credentials": [credential], "modifiedIndex": 7, "createdIndex": 1}]})
    assert whole.objects() == {
        "consumers": [{"username": "jane"}, {"id": "jane/credentials/c", "plugins": {"key-auth": {"key": "k"}}}],
    }


def test_a_set_may_be_large(whole: Set) -> None:
    """But for those only who may send one."""
    big = {"routes": [{"id": f"r{n}", "uri": f"/{n}/" + "x" * 3000, "upstream": UPSTREAM} for n in range(700)]}
    assert len(json.dumps(big)) > MAX_BODY
    assert whole.put(big).status == 202
    assert len(whole.served()) == 700
    assert whole.admin.call("POST", "/configs/validate", big).body == {}
    for key in (VIEWER, "wrong"):
        assert whole.admin.call("PUT", "/configs", big, key=key).body["error_msg"] == "failed to check token"
    assert f"maximum size {MAX_BODY} allowed" in whole.admin.call("PUT", "/routes/r", big).body["error_msg"]
    with whole.admin.raw() as sock:
        head = f"PUT /apisix/admin/configs HTTP/1.1\r\nX-API-KEY: {'admin-key-of-this-test'}\r\n"
        sock.sendall(f"{head}Content-Length: {configs.MAX_SET + 1}\r\n\r\n".encode())
        assert f"maximum size {configs.MAX_SET} allowed".encode() in sock.recv(65536)


# ---- digests and counts --------------------------------------------------------------------------


def test_the_digest(fresh: Set) -> None:
    assert fresh.admin.call("PUT", "/configs", SET).body == {"error_msg": "missing digest header"}
    first = digest(fresh.get())
    assert fresh.admin.call("PUT", "/configs", SET, headers={"X-Digest": "mine"}).status == 202
    assert digest(fresh.get()) == "mine" != first
    again = fresh.admin.call("PUT", "/configs", {}, headers={"X-Digest": "mine"})
    assert (again.status, again.body) == (204, "")
    assert fresh.objects() == SET
    fresh.admin.call("PUT", "/routes/another", {"uri": "/x", "plugins": {}})
    other = digest(fresh.get())
    assert other not in ("mine", first)
    assert fresh.admin.call("PUT", "/configs", SET, headers={"X-Digest": "mine"}).status == 202
    assert fresh.objects() == SET
    fresh.admin.process.kill()
    fresh.admin.process.wait(30)
    fresh.admin.start()
    assert digest(fresh.get()) == "mine"
    assert fresh.admin.call("PUT", "/configs", SET, headers={"X-Digest": "é"}).status == 400


def test_the_counts(fresh: Set) -> None:
    first = {"routes": [{"id": "r1", "uri": "/r1", "upstream": UPSTREAM}], "upstreams": [{"id": "u1", **UPSTREAM}]}
    assert fresh.put({**first, "routes_conf_version": 1060, "upstreams_conf_version": 1060}).status == 202
    second = {"routes": [{"id": "r2", "uri": "/r2", "upstream_id": "u1"}]}
    assert fresh.put({**second, "routes_conf_version": 1062, "upstreams_conf_version": 1060}).status == 202
    assert fresh.objects() == {**second, "upstreams": first["upstreams"]}
    low = fresh.put({"routes_conf_version": 1})
    text = "routes_conf_version must be greater than or equal to (1062)"
    assert (low.status, low.body["error_msg"]) == (400, text)
    fresh.admin.call("PATCH", "/routes/r2", {"desc": "x"})
    assert fresh.get().body["routes_conf_version"] == 1063
    assert fresh.put({}).status == 202
    found = fresh.get().body
    assert (found["routes_conf_version"], found["upstreams_conf_version"], found["ssls_conf_version"]) == (1064, 1061, 3)
    assert fresh.objects() == {}


@pytest.mark.parametrize("count", ["x", True, 1.5, 2**53, -1])
def test_a_count_is_a_number(whole: Set, count: Any) -> None:
    answer = whole.put({"routes_conf_version": count})
    assert answer.status == 400
    assert answer.body["error_msg"].startswith("routes_conf_version must be ")
    assert whole.admin.call("POST", "/configs/validate", {"routes_conf_version": count}).status == 400


def test_what_is_served_already_is_not_judged_again_but_its_times_are(whole: Set) -> None:
    whole.put(SET)
    timed = {**SET, "upstreams": [{**SET["upstreams"][0], "create_time": "x"}]}
    assert 'property "create_time" validation failed' in whole.put(timed).body["error_msg"]
    # By an older release, say, which took what this one refuses.
    whole.admin.store().put("routes", "odd", {"id": "odd", "uri": "/odd", "unknown": 1, "upstream": UPSTREAM})
    sent = {name: values for name, values in whole.get().body.items() if isinstance(values, list)}
    assert whole.put(sent).status == 202
    sent["routes"][2]["uri"] = "/other"
    assert whole.put(sent).status == 400


def test_if_match(whole: Set) -> None:
    whole.put(SET)
    seen = whole.admin.call("PUT", "/configs?dry_run=true", {}).headers["ETag"]
    assert seen == whole.get().headers["ETag"]
    whole.admin.call("PUT", "/routes/z", {"uri": "/z", "plugins": {}})
    late = whole.put({}, **{"If-Match": seen})
    assert (late.status, late.body["error_msg"][:19]) == (412, "precondition failed")
    assert len(whole.objects()["routes"]) == 3
    assert whole.put({}, **{"If-Match": whole.get().headers["ETag"]}).status == 202


# ---- between objects ----------------------------------------------------------------------------


def test_an_unchanged_object_must_not_be_left_without_what_it_needs(whole: Set) -> None:
    whole.put(SET)
    without = {**SET, "upstreams": []}
    text = "failed to fetch upstream info by upstream id [u], response code: 404"
    assert whole.put(without).body["error_msg"] == f"invalid routes at index 0, err: {text}"
    ownerless = {**SET, "consumers": SET["consumers"][1:]}
    assert whole.put(ownerless).body["error_msg"] == "invalid consumers at index 0, err: consumer not found"
    # Nor by a set that leaves the routes alone.
    alone = whole.put({name: whole.get().body[name] for name in ("routes_conf_version", "consumers_conf_version")})
    assert (alone.status, alone.body["error_msg"]) == (400, f"route [b]: {text}")
    assert whole.objects() == SET


def test_keys_may_change_hands_within_a_set(whole: Set) -> None:
    """No order of single writes could do this."""

    def keyed(john: str, jane: str) -> dict[str, Any]:
        keys = {"john": john, "jane": jane}
        return {"consumers": [{"username": name, "plugins": {"key-auth": {"key": key}}} for name, key in keys.items()]}

    whole.put(keyed("1", "2"))
    assert whole.put(keyed("2", "1")).status == 202
    assert whole.follower.objects["consumers", "john"]["plugins"]["key-auth"]["key"] == "2"


# ---- rehearsal and validation --------------------------------------------------------------------


def test_a_rehearsal_tells_all_and_writes_nothing(whole: Set) -> None:
    whole.put(SET)
    revision, before = whole.admin.store().revision(), whole.get().body
    plan = whole.plan(
        {
            "routes": [{**SET["routes"][0], "labels": {"v": "2"}}, route("new")],
            "upstreams": SET["upstreams"],
            "consumers": [SET["consumers"][0], {**SET["consumers"][1], "plugins": {"key-auth": {"key": "another-key"}}}],
        }
    )
    assert plan == {
        "routes": {
            "created": ["new"],
            "updated": [{"id": "b", "changes": [{"path": "labels", "after": {"v": "2"}}]}],
            "deleted": ["a"],
        },
        "upstreams": {"unchanged": ["u"]},
        "consumers": {
            "updated": [{"id": "john/credentials/c", "changes": [{"path": "plugins.key-auth.key"}]}],
            "unchanged": ["john"],
        },
    }
    assert whole.admin.store().revision() == revision
    assert whole.get().body == before


def test_validation_of_a_good_set(whole: Set) -> None:
    for sent in (SET, {"routes": [{"id": "r", "uri": "/r", "upstream_id": "gone"}]}, {"routes_conf_version": 1}, {"protos": []}):
        answer = whole.admin.call("POST", "/configs/validate", sent)
        assert (answer.status, answer.body) == (200, {})
    raw = yaml.safe_dump(SET).encode()
    assert whole.admin.call("POST", "/configs/validate", raw, headers={"Content-Type": "application/yaml"}).status == 200
    assert "routes" not in whole.admin.call("GET", "/configs").body


# ---- crash ---------------------------------------------------------------------------------------


def test_killed_in_the_middle_of_an_apply_it_is_all_or_nothing(make_admin: Callable[..., Admin]) -> None:
    """Killed at moments that are spread over the time a set takes, and in the last turn not before it is answered."""
    admin = make_admin()
    count, turns, took = 300, 6, 0.0
    for turn in range(turns):
        wanted = {"routes": [route(f"r{n}", desc=f"turn {turn}") for n in range(count)]}
        statuses: list[int] = []

        def put(wanted: Any = wanted, turn: int = turn, statuses: list[int] = statuses) -> None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                statuses.append(admin.call("PUT", "/configs", wanted, headers={"X-Digest": str(turn)}).status)

        writer, began = threading.Thread(target=put), time.monotonic()
        writer.start()
        first, last = turn == 0, turn == turns - 1
        writer.join(None if first or last else took * turn / (turns - 1))
        took = took or time.monotonic() - began
        admin.process.kill()
        writer.join()
        admin.process.wait(30)
        admin.start()
        rows = admin.call("GET", "/routes").body["list"]
        assert len(rows) == count
        assert len({row["value"]["desc"] for row in rows}) == 1, "half of two sets"
        if statuses:
            assert (statuses, rows[0]["value"]["desc"]) == ([202], f"turn {turn}")
        assert statuses or not (first or last)
