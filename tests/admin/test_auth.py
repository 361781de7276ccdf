"""Who is let in: address, key, role, and the key the gateway makes for itself."""

import http.client
import logging
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from fastgw.admin.auth import ENV, Gate, Key, own_key

from .conftest import VIEWER, Admin

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


def test_a_key_counts_in_its_header_only(admin: Admin) -> None:
    for path, headers in (
        (f"/routes?api_key={VIEWER}", {}),
        ("/routes", {"Cookie": f"x_api_key={VIEWER}"}),
        ("/routes", {"Authorization": VIEWER}),
    ):
        assert admin.call("GET", path, key=None, headers=headers).body == MISSING


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
        ("127.0.0.1", ["unix:", "127.0.0.1"], True),
    ],
)
def test_allow_list(peer: str | None, allow: list[str] | None, passes: bool) -> None:
    assert (Gate([Key("a", "k")], allow).refuse_address(peer) is None) is passes


def test_a_gate_without_keys_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="at least one key"):
        Gate([], None)


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


def test_an_empty_key_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "admin.key").touch()
    with pytest.raises(ValueError, match=r"admin\.key: expected an admin key"):
        own_key(None, tmp_path, {})


def test_keys_stay_out_of_the_log(admin: Admin) -> None:
    admin.call("PUT", "/consumers", {"username": "logged"})
    admin.call("GET", f"/routes?api_key={VIEWER}", key="tried-and-wrong")
    text = admin.log.read_text()
    assert "PUT /apisix/admin/consumers by key admin from 127.0.0.1: 201" in text
    assert VIEWER not in text
    assert "tried-and-wrong" not in text
