"""Key rings of jwt-auth from outside: rotation by the Admin API, what is written, shown, kept and refused."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.plugins.mirror import Answer, ask, consumer, mirror
from tests.support.gateway import Gateway
from tests.support.tokens import token
from tests.support.upstreams import Answering

OLD, NEW, OWN = ("old-secret-" * 4, "new-secret-" * 4, "own-secret-" * 4)
WRONG = b'{"message":"failed to verify jwt"}\n'
PLACE = "consumers/john/credentials/j"
VIEWER = "a-viewer-key-for-tests-only"


def pair(private: Any) -> tuple[str, str]:
    """A private key and its public half, PEM."""
    text = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return text, private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


RSA = pair(rsa.generate_private_key(65537, 2048))
EC = pair(ec.generate_private_key(ec.SECP256R1()))
ED = pair(ed25519.Ed25519PrivateKey.generate())


@pytest.fixture(scope="module")
def gateway(up: Answering, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("rings")
    config = {
        "consumers": [consumer("john")],
        "routes": [{"id": "r", "uri": "/*", "plugins": {"jwt-auth": {}}, "upstream": {"nodes": {str(up.address): 1}}}],
        "admin": {"viewer_key": VIEWER},
        "access_log": {"path": str(directory / "access.log")},
        "workers": 2,
    }
    with Gateway(directory, config, env={"RING_SECRET": NEW}) as running:
        yield running


def conf(*keys: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"plugins": {"jwt-auth": {"key": "john-key", "keys": list(keys), **members}}}


def get(gateway: Gateway, secret: str, kid: Any = None, algorithm: str = "HS256") -> Answer:
    text = token("john-key", secret, algorithm=algorithm, headers=None if kid is None else {"kid": kid})
    return ask(gateway, "/", f"Authorization: {text}")


def refusal(gateway: Gateway) -> str:
    return str(json.loads((gateway.directory / "access.log").read_text().splitlines()[-1])["refused"])


def test_a_rotation_overlaps(gateway: Gateway) -> None:
    """Issuers sign with the old key, then some with the one and some with the other, then with the new one."""
    old, new = {"kid": "2025", "secret": OLD}, {"kid": "2026", "secret": NEW}
    gateway.put(PLACE, conf(old))
    assert get(gateway, OLD, "2025").status == 200
    assert get(gateway, OLD).status == 200  # the only key
    assert (get(gateway, NEW, "2026").status, get(gateway, NEW, "2026").body) == (401, WRONG)
    gateway.put(PLACE, conf(old, new))
    for _ in range(8):  # both workers, fresh and remembered
        assert "X-Credential-Identifier: j\r\n" in get(gateway, OLD, "2025").sent
        assert "X-Credential-Identifier: j\r\n" in get(gateway, NEW, "2026").sent
    assert get(gateway, OLD).status == 401
    gateway.put(PLACE, conf(new))
    for _ in range(4):
        assert get(gateway, OLD, "2025").status == 401
        assert get(gateway, NEW, "2026").status == 200


def test_what_the_log_says(directory: Path) -> None:
    now = int(time.time())
    keys = [{"kid": "a", "secret": OLD}, {"kid": "b", "secret": NEW}, {"kid": "c", "secret": OLD, "expires": now - 5}]
    keys.append({"kid": "d", "secret": OLD, "not_before": now + 5000, "expires": now + 5001})
    log = directory / "access.log"
    with mirror() as upstream:
        config = {
            "consumers": [consumer("john", ("j", conf(*keys)["plugins"]))],
            "routes": [{"id": "r", "uri": "/*", "plugins": {"jwt-auth": {}}, "upstream": {"nodes": {str(upstream.address): 1}}}],
            "access_log": {"path": str(log)},
        }
        with Gateway(directory, config) as running:
            for secret, kid in ((OLD, None), (OLD, "z"), (NEW, "a"), (OLD, "c"), (OLD, "d"), (OLD, ""), (OLD, "a")):
                answer = get(running, secret, kid)
                assert (answer.status, answer.body) == (401, WRONG) or kid == "a"
            assert (get(running, OLD, "a").status, get(running, NEW, "a").status) == (200, 401)
        lines = [json.loads(line).get("refused") for line in log.read_text().splitlines()]
        names = ["kid_missing", "unknown_kid", "bad_signature", "key_not_in_force", "key_not_in_force", "unknown_kid"]
        assert lines == [*(f"jwt.{name}" for name in names), None, None, "jwt.bad_signature"]
        assert OLD not in log.read_text() + running.log()


def test_a_ring_beside_a_key(gateway: Gateway) -> None:
    gateway.put(PLACE, conf({"kid": "a", "secret": OLD}, {"kid": "b", "secret": NEW}, secret=OWN))
    assert [get(gateway, OWN).status, get(gateway, OLD, "a").status, get(gateway, NEW, "b").status] == [200, 200, 200]
    assert [get(gateway, OLD).status, get(gateway, OWN, "a").status, get(gateway, OWN, "own").status] == [401, 401, 401]


def test_algorithms_side_by_side_each_pinned_by_its_key(gateway: Gateway) -> None:
    ring = conf(
        {"kid": "hs", "secret": OLD, "algorithm": "HS512"},
        {"kid": "rs", "public_key": RSA[1]},
        {"kid": "ps", "public_key": RSA[1], "algorithm": "PS256"},
        {"kid": "es", "public_key": EC[1], "algorithm": "ES256"},
        {"kid": "ed", "public_key": ED[1], "algorithm": "EdDSA"},
        {"kid": "b64", "secret": "AAEC/w==", "base64_secret": True, "algorithm": "HS256"},
        algorithm="RS256",
    )
    gateway.put(PLACE, ring)
    good = [
        (OLD, "hs", "HS512"),
        (RSA[0], "rs", "RS256"),
        (RSA[0], "ps", "PS256"),
        (EC[0], "es", "ES256"),
        (ED[0], "ed", "EdDSA"),
    ]
    for secret, kid, algorithm in good:
        assert get(gateway, secret, kid, algorithm).status == 200
        for _, other, _ in good:
            assert (get(gateway, secret, other, algorithm).status == 200) == (other == kid)
    assert get(gateway, bytes([0, 1, 2, 255]), "b64").status == 200  # type: ignore[arg-type]
    assert get(gateway, OLD, "hs", "HS256").status == 401
    assert get(gateway, RSA[0], "rs", "PS256").status == 401
    public = RSA[1].removesuffix("\n")
    gateway.put(PLACE, conf({"kid": "hs", "secret": public.replace("-----BEGIN", "x")}))  # what confusion would need is refused
    refused = gateway.api("PUT", PLACE, conf({"kid": "hs", "secret": public}))
    assert (refused.status, public in refused.body.decode()) == (400, False)


def test_secrets_come_from_the_environment(gateway: Gateway) -> None:
    gateway.put(PLACE, conf({"kid": "a", "secret": "$env://RING_SECRET"}, {"kid": "b", "secret": OLD}))
    assert get(gateway, NEW, "a").status == 200
    assert get(gateway, "$env://RING_SECRET", "a").status == 401
    shown = gateway.api("GET", PLACE).json()["value"]["plugins"]["jwt-auth"]["keys"][0]
    assert shown == {"kid": "a", "secret": "$env://RING_SECRET"}
    gateway.put(PLACE, conf({"kid": "a", "secret": "$env://NO_SUCH_THING"}, {"kid": "b", "secret": OLD}))
    assert [get(gateway, OLD, "b").status, get(gateway, "$env://NO_SUCH_THING", "a").status] == [401, 401]


def test_secrets_are_shown_to_who_may_see_them_and_sealed_on_the_disk(gateway: Gateway) -> None:
    gateway.put(
        PLACE, conf({"kid": "a", "secret": OLD, "expires": 2**40}, {"kid": "b", "algorithm": "ES256", "public_key": EC[1]})
    )
    viewer = gateway.api("GET", PLACE, key=VIEWER)
    keys = viewer.json()["value"]["plugins"]["jwt-auth"]["keys"]
    assert keys == [{"kid": "a", "expires": 2**40}, {"kid": "b", "algorithm": "ES256", "public_key": EC[1]}]
    assert OLD in gateway.api("GET", PLACE).body.decode()
    assert OLD not in gateway.api("GET", "audit").body.decode()
    stored = [path.read_bytes() for path in (gateway.directory / "data").iterdir() if path.is_file()]
    assert stored
    assert not any(OLD.encode() in content for content in stored)


def test_a_consumers_own_ring(gateway: Gateway) -> None:
    ring = conf({"kid": "a", "secret": OLD}, {"kid": "b", "secret": NEW})
    ring["plugins"]["jwt-auth"]["key"] = "own-key"
    gateway.put("consumers/ann", {"username": "ann", **ring})
    text = token("own-key", NEW, headers={"kid": "b"})
    sent = ask(gateway, "/", f"Authorization: {text}").sent
    assert "X-Consumer-Username: ann\r\n" in sent
    assert "X-Credential-Identifier" not in sent


A = {"kid": "a", "secret": OLD}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({}, 'property "secret" is required when using HS based algorithms'),
        ({"keys": []}, "expect array to have at least 1 items"),
        ({"keys": {}}, "wrong type: expected array, got table"),
        ({"keys": [A] * 65}, "expect array to have at most 64 items"),
        ({"keys": [{"secret": OLD}]}, 'property "kid" is required'),
        ({"keys": [{"kid": "", "secret": OLD}]}, "kid"),
        ({"keys": [{"kid": 7, "secret": OLD}]}, "kid"),
        ({"keys": [{"kid": "k" * 257, "secret": OLD}]}, "kid"),
        ({"keys": [{"kid": "é" * 129, "secret": OLD}]}, "kid"),
        ({"keys": [{"kid": "a"}]}, 'property "secret" is required when using HS based algorithms'),
        ({"keys": [{"kid": "a", "public_key": EC[1]}]}, 'property "secret" is required when using HS based algorithms'),
        ({"keys": [{"kid": "a", "algorithm": "RS256"}]}, "missing valid public key"),
        ({"keys": [{"kid": "a", "algorithm": "RS256", "public_key": EC[1]}]}, "missing valid public key"),
        ({"keys": [{"kid": "a", "secret": OLD}], "algorithm": "RS256"}, "missing valid public key"),
        ({"keys": [{"kid": "a", "secret": OLD, "algorithm": "none"}]}, "algorithm"),
        (
            {"keys": [{"kid": "a", "secret": "a b", "base64_secret": True}]},
            "base64_secret required but the secret is not in base64 format",
        ),
        ({"keys": [A, {"kid": "b", "secret": NEW}, {"kid": "a", "secret": NEW}]}, "kid"),
        ({"keys": [{"kid": "a", "secret": OLD, "not_before": 5, "expires": 5}]}, "expires"),
        ({"keys": [{"kid": "a", "secret": OLD, "not_before": -1}]}, "not_before"),
        ({"keys": [A], "public_key": EC[1]}, 'property "secret" is required when using HS based algorithms'),
    ],
)
def test_rings_that_are_refused(gateway: Gateway, members: dict[str, Any], message: str) -> None:
    answer = gateway.api("PUT", "consumers/john/credentials/bad", {"plugins": {"jwt-auth": {"key": "bad-key", **members}}})
    text = answer.json().get("error_msg", "")
    assert (answer.status, message in text) == (400, True), text
    assert not any(secret in text for secret in (OLD, NEW, EC[1]))
    assert gateway.api("GET", "consumers/john/credentials/bad").status == 404


def test_bounds_that_are_accepted(gateway: Gateway) -> None:
    for kid in ("k" * 256, "é" * 128, " ", "a/b c\n"):
        gateway.put(PLACE, conf({"kid": kid, "secret": OLD, "not_before": 0, "expires": 2**53}))
        assert get(gateway, OLD, kid).status == 200
    gateway.put(PLACE, conf(*({"kid": str(i), "secret": OLD + str(i)} for i in range(64))))
    assert [get(gateway, OLD + str(i), str(i)).status for i in (0, 1, 62, 63, 64)] == [200, 200, 200, 200, 401]
