"""Who is let in: address, key, role, and the key the gateway makes for itself."""

import http.client
import logging
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from fastgw.admin.auth import ENV, Gate, Key, keys_of, own_key
from fastgw.admin.failures import Failures
from fastgw.schema.settings import Admin as Settings
from fastgw.schema.settings import AdminKey
from tests.support.waiting import until

from .conftest import KEY, VIEWER, Admin, Answer

FAILURES = Failures(10, 100, 10)

MISSING = {"error_msg": "failed to check token", "description": "missing apikey"}
WRONG = {"error_msg": "failed to check token", "description": "wrong apikey"}


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "HEAD"])
@pytest.mark.parametrize("path", ["", "/routes", "/nothing", "/schema/validate/routes"])
def test_every_admin_path_asks_for_a_key(admin: Admin, method: str, path: str) -> None:
    answer = admin.call(method, path, key=None)
    if (method, path) == ("HEAD", ""):
        assert answer.status == 200, "the probe that APISIX answers without a key"
        return
    assert answer.status == 401
    assert method == "HEAD" or answer.body == MISSING
    assert answer.headers["X-API-VERSION"] is None


@pytest.mark.parametrize("key", ["wrong", VIEWER + "x", VIEWER[:-1], "\xff", " "])
def test_wrong_key(admin: Admin, key: str) -> None:
    answer = admin.call("GET", "/routes", key=key)
    assert (answer.status, answer.body) == (401, MISSING if key == " " else WRONG)


@pytest.mark.parametrize(
    ("path", "headers", "place"),
    [
        (f"/routes?api_key={VIEWER}", {}, "the query"),
        (f"/routes?page=1&api_key={VIEWER}", {}, "the query"),
        ("/routes", {"Cookie": f"a=b; x_api_key={VIEWER}"}, "a cookie"),
        ("/routes", {"Authorization": VIEWER}, None),
        ("/routes?my_api_key=x", {"Cookie": "my_x_api_key=y"}, None),
    ],
)
def test_a_key_counts_in_its_header_only(admin: Admin, path: str, headers: dict[str, str], place: str | None) -> None:
    answer = admin.call("GET", path, key=None, headers=headers)
    told = f"missing apikey: expected in the header X-API-KEY, found in {place}" if place else "missing apikey"
    assert (answer.status, answer.body) == (401, {**MISSING, "description": told})


def test_two_key_headers_are_no_key(admin: Admin) -> None:
    connection = admin.connect()
    connection.putrequest("GET", "/apisix/admin/routes")
    connection.putheader("X-API-KEY", VIEWER)
    connection.putheader("X-API-KEY", VIEWER)
    connection.endheaders()
    assert connection.getresponse().status == 401
    connection.close()


def test_a_viewer_reads_and_does_not_write(admin: Admin) -> None:
    assert admin.call("GET", "/routes", key=VIEWER).status == 200
    for method in ("PUT", "POST", "PATCH", "DELETE"):
        answer = admin.call(method, "/routes/v", {"uri": "/"}, key=VIEWER)
        assert answer.status == 403
        assert answer.body == {"error_msg": "failed to check token", "description": "invalid method for role viewer"}
    assert admin.call("GET", "/routes/v").status == 404


def test_secrets_are_for_admins(admin: Admin) -> None:
    conf = {"key": "k", "secret": "very-secret", "sercet": "misspelt-secret"}
    admin.call("PUT", "/consumers", {"username": "sam", "desc": "x"})
    admin.call("PUT", "/consumers/sam/credentials/c", {"plugins": {"jwt-auth": conf}})
    path = "/consumers/sam/credentials"
    assert admin.call("GET", f"{path}/c").body["value"]["plugins"]["jwt-auth"] == conf
    seen = admin.call("GET", f"{path}/c", key=VIEWER).body["value"]
    assert seen["plugins"] == {"jwt-auth": {"key": "k"}}
    assert admin.call("GET", path, key=VIEWER).body["list"][0]["value"] == seen
    assert admin.call("GET", "/consumers/sam", key=VIEWER).body["value"]["desc"] == "x"


def test_private_keys_are_for_nobody(admin: Admin) -> None:
    store = admin.store()
    store.put("ssls", "1", {"id": "1", "sni": "a.test", "cert": "c", "key": "k", "certs": ["c"], "keys": ["k"]})
    store.close()
    for value in (admin.call("GET", "/ssls/1").body["value"], admin.call("GET", "/ssls").body["list"][0]["value"]):
        assert value == {"id": "1", "sni": "a.test", "cert": "c", "certs": ["c"]}


def test_an_address_that_is_not_allowed_is_refused_before_its_key(make_admin: Callable[..., Admin]) -> None:
    admin = make_admin(allow=["10.0.0.0/8"])
    for key in (None, VIEWER):
        answer = admin.call("GET", "/routes", key=key)
        assert (answer.status, answer.body) == (403, {"error_msg": "address 127.0.0.1 is not in admin.allow"})


def test_a_unix_socket_is_guarded_by_its_file_mode(make_admin: Callable[..., Admin]) -> None:
    admin = make_admin(allow=["10.0.0.0/8"])
    connection = http.client.HTTPConnection("localhost", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(admin.unix)
    assert admin.call("GET", "/routes", connection=connection).body == {"total": 0, "list": []}
    connection.close()


@pytest.mark.parametrize(
    ("peer", "allow", "passes"),
    [
        ("127.0.0.1", ["127.0.0.0/8"], True),
        ("::ffff:127.0.0.1", ["127.0.0.0/8"], True),
        ("::1", ["127.0.0.0/8"], False),
        ("fe80::1%eth0", ["fe80::/10"], True),
        ("127.0.0.1", [], False),
        ("127.0.0.1", ["::/0"], False),
        ("8.8.8.8", None, True),
        (None, [], True),
        ("::ffff:10.1.2.3", ["::ffff:10.0.0.0/104"], True),
        ("10.1.2.3", ["::ffff:10.0.0.0/104"], True),
        ("11.1.2.3", ["::ffff:10.0.0.0/104"], False),
        ("10.1.2.3", ["::/64"], False),
    ],
)
def test_allow_list(peer: str | None, allow: list[str] | None, passes: bool) -> None:
    assert (Gate([Key("a", "k")], allow, FAILURES).refuse_address(peer) is None) is passes


def test_a_gate_without_keys_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="at least one key"):
        Gate([], None, FAILURES)


def test_key_from_environment_then_config_then_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    data = tmp_path / "data"
    assert own_key("configured", data, {ENV: "from-env"}) == "from-env"
    assert own_key("configured", data, {ENV: ""}) == "configured"
    assert not data.exists()
    made = own_key(None, data, {})
    assert len(made) >= 32
    assert own_key(None, data, {}) == made
    assert stat.S_IMODE((data / "admin.key").stat().st_mode) == 0o600
    assert list(data.iterdir()) == [data / "admin.key"]
    assert str(data / "admin.key") in caplog.text
    assert made not in caplog.text


@pytest.mark.parametrize("text", ["", "fifteen-letters"])
def test_a_key_file_that_will_not_do_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "admin.key").write_text(text)
    with pytest.raises(ValueError, match=r"admin\.key: expected an admin key of 16 characters or more, found") as caught:
        own_key(None, tmp_path, {})
    assert not text or text not in str(caught.value)


def test_a_key_is_made_only_where_none_may_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENV, raising=False)
    ops, eye = (AdminKey(name=role, key=role * 4, role=role) for role in ("admin", "viewer"))
    assert keys_of(Settings(keys=(ops, eye)), tmp_path) == [Key("admin", "admin" * 4), Key("viewer", "viewer" * 4, "viewer")]
    assert not list(tmp_path.iterdir())
    made, _ = keys_of(Settings(viewer_key="viewer" * 4), tmp_path)
    assert (made.name, made.role, made.value) == ("admin", "admin", (tmp_path / "admin.key").read_text().strip())


def test_several_keys_are_told_apart(make_admin: Callable[..., Admin]) -> None:
    admin = make_admin(keys=[["a", "a" * 16, "admin"], ["b", "b" * 16, "admin"], ["v", "v" * 16, "viewer"]])
    assert admin.call("PUT", "/consumers", {"username": "x"}, key="a" * 16).status == 201
    assert admin.call("PUT", "/consumers", {"username": "x"}, key="b" * 16).status == 200
    assert admin.call("PUT", "/consumers", {"username": "x"}, key="v" * 16).status == 403
    assert admin.call("GET", "/consumers/x", key="v" * 16).status == 200
    assert [entry["key"] for entry in admin.call("GET", "/audit", key="a" * 16).body["list"]] == ["a", "b"]


def test_a_viewer_is_told_no_secret_by_a_refusal(admin: Admin) -> None:
    """Its bodies are not looked at, so nothing of them, and nothing of what they would have met, comes back."""
    admin.call("PUT", "/consumers", {"username": "taken", "plugins": {"key-auth": {"key": "a-secret-that-is-taken"}}})
    for body in (b'{"secret-of-mine', {"username": "me", "plugins": {"key-auth": {"key": "a-secret-that-is-taken"}}}):
        answer = admin.call("PUT", "/consumers", body, key=VIEWER)
        assert answer.body == {"error_msg": "failed to check token", "description": "invalid method for role viewer"}
    answer = admin.call("POST", "/explain", b'{"uri": "/?jwt=secret-of-mine', key=VIEWER)
    assert answer.status == 400
    assert "secret-of-mine" not in str(answer.body)


# ---- addresses -----------------------------------------------------------------------------------


def from_address(admin: Admin, source: str, key: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", admin.port, timeout=10, source_address=(source, 0))
    try:
        return admin.call("GET", "/routes", key=key, connection=connection)
    finally:
        connection.close()


def test_addresses_of_the_same_machine_are_told_apart(make_admin: Callable[..., Admin]) -> None:
    admin = make_admin(allow=["127.0.0.0/30", "127.0.0.9"])
    statuses = {source: from_address(admin, source, KEY).status for source in ("127.0.0.2", "127.0.0.4", "127.0.0.9")}
    assert statuses == {"127.0.0.2": 200, "127.0.0.4": 403, "127.0.0.9": 200}


def test_a_client_with_too_many_wrong_keys_has_to_wait(make_admin: Callable[..., Admin]) -> None:
    admin = make_admin(wrong_keys={"count": 3, "total": 1000, "window": 3600})
    for _ in range(3):
        assert from_address(admin, "127.0.0.2", "wrong").body == WRONG
    for key in ("wrong", KEY):  # the right one looks the same
        answer = from_address(admin, "127.0.0.2", key)
        assert answer.status == 429
        assert answer.body == {"error_msg": "failed to check token", "description": "too many wrong apikeys from this address"}
        assert 3500 < int(answer.headers["Retry-After"]) <= 3600
    assert from_address(admin, "127.0.0.3", KEY).status == 200
    assert admin.call("GET", "/routes").status == 200
    assert "too many wrong keys from 127.0.0.2" in admin.log.read_text()


def test_a_right_key_is_let_in_after_the_wait(make_admin: Callable[..., Admin]) -> None:
    admin = make_admin(wrong_keys={"count": 1, "total": 1000, "window": 1})
    assert from_address(admin, "127.0.0.2", "wrong").status == 401
    until(lambda: from_address(admin, "127.0.0.2", KEY).status == 200, "the window's end")


def test_wrong_keys_of_many_addresses(make_admin: Callable[..., Admin]) -> None:
    """Each gets one more guess, and whoever made none is let in."""
    admin = make_admin(wrong_keys={"count": 3, "total": 3, "window": 3600})
    for source in ("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"):
        assert from_address(admin, source, "wrong").status == 401
    for source in ("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"):
        assert from_address(admin, source, "wrong").status == 429
    assert from_address(admin, "127.0.0.6", KEY).status == 200


def test_keys_stay_out_of_the_logs(admin: Admin) -> None:
    admin.call("PUT", "/consumers", {"username": "logged"})
    admin.call("GET", f"/routes?api_key={VIEWER}", key="tried-and-wrong")
    text = admin.log.read_text() + (admin.directory / "audit.log").read_text()
    assert "/apisix/admin/consumers" in text
    assert VIEWER not in text
    assert "tried-and-wrong" not in text
