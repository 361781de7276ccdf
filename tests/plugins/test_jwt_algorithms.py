"""Every algorithm of jwt-auth from outside: the examples of the RFCs, tokens of two other libraries; each pinned by its key."""

import base64
import hmac
import json
import time
import warnings
from collections.abc import Iterator
from typing import Any

import joserfc.jwt
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from fastgw.plugins.jwt_keys import verifier
from tests.plugins.mirror import ask, consumer
from tests.support.gateway import Gateway
from tests.support.upstreams import Answering

# RFC 7515 appendices A.1 to A.3 sign one payload: {"iss":"joe", "exp":1300819380, …}.
PAYLOAD = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
LEEWAY = 2**31 - 1  # seconds since 2011, by which they are good until 2079
A1 = f"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{PAYLOAD}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
A1_SECRET = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ+EstJQLr/T+1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow=="
A2 = (
    f"eyJhbGciOiJSUzI1NiJ9.{PAYLOAD}."
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQ"
    "jbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqt"
    "FZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
)
A2_MODULUS = (
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_"
    "YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uD"
    "Zlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
)
A3 = f"eyJhbGciOiJFUzI1NiJ9.{PAYLOAD}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
A3_POINT = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
# The payloads of RFC 7515 A.4 and RFC 8037 A.4 are no JSON: no tokens, but signatures all the same.
A4 = (
    "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA",
    "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpR"
    "wcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn",
)
A4_POINT = (
    "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
    "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2",
)
ED25519 = (
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
)
ED25519_POINT = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"

WRONG = b'{"message":"failed to verify jwt"}\n'
SECRET = b"a-secret-that-is-long-enough-for-every-one-of-the-HS-algorithms-"
PRIVATE: dict[str, Any] = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "ES512": ec.generate_private_key(ec.SECP521R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
    "Ed448": ed448.Ed448PrivateKey.generate(),
}
for family in ("RS", "PS"):
    PRIVATE.update({f"{family}{bits}": PRIVATE["RS256"] for bits in (256, 384, 512)})
NAMES = [*(f"HS{bits}" for bits in (256, 384, 512)), *sorted(PRIVATE)]


def b64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def number(text: str) -> int:
    return int.from_bytes(b64(text))


def public(key: Any) -> str:
    text: bytes = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return text.decode()


def point(curve: ec.EllipticCurve, x: str, y: str) -> str:
    return public(ec.EllipticCurvePublicNumbers(number(x), number(y), curve).public_key())


def algorithm(name: str) -> str:
    return "EdDSA" if name.startswith("Ed") else name


def credential(name: str) -> dict[str, Any]:
    key = {"key": name, "algorithm": algorithm(name)}
    return key | ({"secret": SECRET.decode()} if name.startswith("HS") else {"public_key": public(PRIVATE[name].public_key())})


def by_pyjwt(name: str, claims: dict[str, Any]) -> str:
    return jwt.encode(claims, SECRET if name.startswith("HS") else PRIVATE[name], algorithm(name))


def by_joserfc(name: str, claims: dict[str, Any]) -> str:
    key: Any
    if name.startswith("HS"):
        key = OctKey.import_key(SECRET)
    else:
        pem = PRIVATE[name].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        kind: Any = OKPKey if name.startswith("Ed") else ECKey if name.startswith("ES") else RSAKey
        key = kind.import_key(pem)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # RFC 9864 would rather have the curve's name
        return joserfc.jwt.encode({"alg": algorithm(name)}, claims, key, algorithms=[algorithm(name)])


@pytest.fixture(scope="module")
def gateway(up: Answering, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    node = {"nodes": {str(up.address): 1}}
    confs: dict[str, dict[str, Any]] = {"own": {}, "rfc": {"key_claim_name": "iss"}}
    config = {
        "consumers": [consumer("ann", *((name, {"jwt-auth": credential(name)}) for name in NAMES)), {"username": "joe"}],
        "routes": [{"id": n, "uri": f"/{n}", "upstream": node, "plugins": {"jwt-auth": conf}} for n, conf in confs.items()],
    }
    with Gateway(tmp_path_factory.mktemp("algorithms"), config) as running:
        yield running


@pytest.mark.parametrize(
    ("text", "conf"),
    [
        (A1, {"secret": A1_SECRET, "base64_secret": True}),
        (A2, {"algorithm": "RS256", "public_key": public(rsa.RSAPublicNumbers(65537, number(A2_MODULUS)).public_key())}),
        (A3, {"algorithm": "ES256", "public_key": point(ec.SECP256R1(), *A3_POINT)}),
    ],
    ids=["HS256", "RS256", "ES256"],
)
def test_the_examples_of_rfc_7515(gateway: Gateway, text: str, conf: dict[str, Any]) -> None:
    place, key = "consumers/joe/credentials/c", {"key": "joe", **conf}
    gateway.put(place, {"plugins": {"jwt-auth": {**key, "lifetime_grace_period": LEEWAY}}})
    assert "X-Consumer-Username: joe\r\n" in ask(gateway, "/rfc", f"Authorization: {text}").sent
    gateway.put(place, {"plugins": {"jwt-auth": key}})
    assert ask(gateway, "/rfc", f"Authorization: {text}").body == WRONG  # expired in 2011


def test_the_signatures_of_rfc_7515_a_4_and_rfc_8037_a_4() -> None:
    edwards = public(ed25519.Ed25519PublicKey.from_public_bytes(b64(ED25519_POINT)))
    for name, key, (signed, signature) in (
        ("ES512", point(ec.SECP521R1(), *A4_POINT), A4),
        ("EdDSA", edwards, ED25519),
    ):
        judge = verifier(name, key)
        good = b64(signature)
        assert judge(signed.encode(), good)
        assert not judge(signed.encode() + b"x", good)
        for spoilt in (good[:-1], good + b"\0", b"", bytes(len(good)), bytes([good[0] ^ 1]) + good[1:]):
            assert not judge(signed.encode(), spoilt)


@pytest.mark.parametrize("name", NAMES)
def test_tokens_of_other_libraries(gateway: Gateway, name: str) -> None:
    claims = {"key": name, "exp": int(time.time()) + 1000}
    for text in (by_pyjwt(name, claims), by_joserfc(name, claims)):
        for _ in range(2):  # verified, and remembered
            answer = ask(gateway, "/own", f"Authorization: {text}")
            assert (answer.status, f"X-Credential-Identifier: {name}\r\n" in answer.sent) == (200, True)
        head, payload, signature = text.split(".")
        middle = len(signature) // 2
        changed = "A" if signature[middle] != "A" else "B"
        for spoilt in (
            f"{signature[:middle]}{changed}{signature[middle + 1 :]}",
            signature[: middle & ~3],
            signature + "AAAA",
            "",
        ):
            refused = ask(gateway, "/own", f"Authorization: {head}.{payload}.{spoilt}")
            assert (refused.status, refused.body) == (401, WRONG), spoilt


@pytest.mark.parametrize("name", NAMES)
def test_no_other_algorithm_serves_in_its_place(gateway: Gateway, name: str) -> None:
    for other in NAMES:
        if other == name:
            continue
        answer = ask(gateway, "/own", f"Authorization: {by_pyjwt(other, {'key': name})}")
        assert (answer.status, answer.body) == (401, WRONG), other


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("HS")])
def test_the_text_of_a_public_key_is_no_shared_secret(gateway: Gateway, name: str) -> None:
    head = ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in ({"alg": "HS256"}, {"key": name})
    )
    for secret in (public(PRIVATE[name].public_key()), public(PRIVATE[name].public_key()).strip()):
        signature = base64.urlsafe_b64encode(hmac.digest(secret.encode(), head.encode(), "sha256")).rstrip(b"=").decode()
        assert ask(gateway, "/own", f"Authorization: {head}.{signature}").body == WRONG


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"algorithm": "ES256", "public_key": public(PRIVATE["ES384"].public_key())}, "missing valid public key"),
        ({"algorithm": "ES384", "public_key": public(PRIVATE["ES256"].public_key())}, "missing valid public key"),
        ({"algorithm": "ES512", "public_key": public(PRIVATE["ES384"].public_key())}, "missing valid public key"),
        ({"algorithm": "RS256", "public_key": public(PRIVATE["ES256"].public_key())}, "missing valid public key"),
        ({"algorithm": "PS512", "public_key": public(PRIVATE["Ed25519"].public_key())}, "missing valid public key"),
        ({"algorithm": "EdDSA", "public_key": public(PRIVATE["RS256"].public_key())}, "missing valid public key"),
        (
            {"algorithm": "RS256", "public_key": public(rsa.generate_private_key(65537, 1024).public_key())},
            "missing valid public key",
        ),
        (
            {"algorithm": "HS256", "secret": public(PRIVATE["RS256"].public_key())},
            "failed to check the configuration of plugin jwt-auth",
        ),
        (
            {"secret": "Subject: x\n" + public(PRIVATE["RS256"].public_key())},
            'property "secret" validation failed: expected a shared secret, found the text of a key or certificate',
        ),
        (
            {
                "secret": base64.b64encode(b"\xef\xbb\xbf" + public(PRIVATE["Ed25519"].public_key()).encode()).decode(),
                "base64_secret": True,
            },
            'property "secret" validation failed: expected a shared secret, found the text of a key or certificate',
        ),
        ({"algorithm": "ES256K", "secret": "s"}, 'property "algorithm" validation failed'),
        ({"algorithm": "Ed448", "secret": "s"}, 'property "algorithm" validation failed'),
    ],
)
def test_keys_that_do_not_fit(gateway: Gateway, conf: dict[str, Any], message: str) -> None:
    answer = gateway.api("PUT", "consumers/joe/credentials/bad", {"plugins": {"jwt-auth": {"key": "bad", **conf}}})
    assert (answer.status, message in answer.json()["error_msg"]) == (400, True), answer.body
