"""`fastgw token`: another implementation (PyJWT) accepts what it prints, with the right key only."""

import os
import subprocess
import sys
import time
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from fastgw import tokens
from tests.support.processes import ROOT

SECRET = "a-secret-that-is-long-enough-for-every-algorithm-of-the-hmac-family-512-bits"
CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
RSA_KEY = rsa.generate_private_key(65537, 2048)


def fastgw(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fastgw", *arguments],
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=60,
    )


def printed(*arguments: str, env: dict[str, str] | None = None) -> str:
    done = fastgw("token", *arguments, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    return done.stdout.strip()


def pem_file(directory: Path, key: tokens.Key) -> str:
    assert not isinstance(key, bytes)
    path = directory / "key.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(path)


def private_key_for(algorithm: str) -> tokens.Key:
    if algorithm in CURVES:
        return ec.generate_private_key(CURVES[algorithm])
    return ed25519.Ed25519PrivateKey.generate() if algorithm == "EdDSA" else RSA_KEY


@pytest.mark.parametrize("algorithm", [a for a in tokens.ALGORITHMS if a.startswith("HS")])
def test_a_secret_signs(algorithm: str) -> None:
    made = printed("--key", "john-key", "--secret", SECRET, "--algorithm", algorithm)
    assert jwt.decode(made, SECRET, algorithms=[algorithm]) == {"key": "john-key"}


@pytest.mark.parametrize("algorithm", [a for a in tokens.ALGORITHMS if not a.startswith("HS")])
def test_a_private_key_signs(tmp_path: Path, algorithm: str) -> None:
    key = private_key_for(algorithm)
    assert not isinstance(key, bytes)
    made = printed("--key", "k", "--private-key", pem_file(tmp_path, key), "--algorithm", algorithm)
    assert jwt.decode(made, key.public_key(), algorithms=[algorithm]) == {"key": "k"}


@pytest.mark.parametrize("algorithm", ["HS256", "RS256", "ES384", "EdDSA"])
def test_the_algorithm_follows_from_the_key(tmp_path: Path, algorithm: str) -> None:
    if algorithm == "HS256":
        made = printed("--secret", SECRET)
    else:
        made = printed("--private-key", pem_file(tmp_path, private_key_for(algorithm)))
    assert jwt.get_unverified_header(made) == {"alg": algorithm, "typ": "JWT"}


def test_ed448_signs() -> None:
    key = ed448.Ed448PrivateKey.generate()
    made = tokens.make({"a": 1}, key, tokens.default_algorithm(key))
    assert jwt.decode(made, key.public_key(), algorithms=["EdDSA"]) == {"a": 1}


def test_times_claims_and_header_fields() -> None:
    before = int(time.time())
    made = printed(
        *("--secret", SECRET, "--expires", "1h", "--not-before", "1700000000"),
        *("--claim", "sub=bob", "--claim", 'roles=["a","b"]', "--claim", "n=7", "--claim", "text=a=b"),
        *("--header", "kid=7", "--header", 'x={"y":1}'),
    )
    claims = jwt.decode(made, SECRET, algorithms=["HS256"])
    assert before + 3600 <= claims.pop("exp") <= int(time.time()) + 3600
    assert claims == {"nbf": 1700000000, "sub": "bob", "roles": ["a", "b"], "n": 7, "text": "a=b"}
    assert jwt.get_unverified_header(made) == {"alg": "HS256", "typ": "JWT", "kid": "7", "x": {"y": 1}}


def test_an_expired_token_can_be_made() -> None:
    made = printed("--secret", SECRET, "--expires=-1h")
    with pytest.raises(jwt.ExpiredSignatureError):
        jwt.decode(made, SECRET, algorithms=["HS256"])


def test_the_secret_from_a_file_from_the_environment_and_in_base64(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET + "\n")
    direct = printed("--secret", SECRET)
    assert printed("--secret-file", str(tmp_path / "secret")) == direct
    assert printed("--secret-env", "TOKEN_SECRET", env={"TOKEN_SECRET": SECRET}) == direct
    encoded = "YS1zZWNyZXQ="
    assert printed("--secret", encoded, "--base64-secret") == printed("--secret", "a-secret")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("30s", 1030), ("5m", 1300), ("1h", 4600), ("2d", 173800), ("-1h", -2600), ("0s", 1000), ("123", 123)],
)
def test_moments(text: str, expected: int) -> None:
    assert tokens.moment(text, now=1000.9) == expected


@pytest.mark.parametrize("text", ["", "h", "1w", "-5", "1.5h", "1h30m", " 1h", "+1h", "1H", "\u0661h"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(tokens.TokenError, match="expected a duration like 30s") as refused:
        tokens.moment(text)
    assert repr(text) in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "one of the arguments --secret --secret-env --secret-file --private-key is required"),
        (["--secret", "s", "--expires", "1w"], "argument --expires: expected a duration like 30s"),
        (["--secret", "s", "--claim", "novalue"], "argument --claim: expected name=value, found 'novalue'"),
        (["--secret", "hush-hush", "--algorithm", "RS256"], "RS256 cannot be made with a secret"),
        (["--secret", "hush-hush", "--algorithm", "none"], "algorithm: expected one of HS256"),
        (["--secret", "hush-hush!", "--base64-secret"], "the secret is not base64"),
        (["--secret-env", "NO_SUCH_VARIABLE"], "the environment has no variable NO_SUCH_VARIABLE"),
        (["--secret-file", "no/such/file"], "no/such/file: No such file or directory"),
        (["--private-key", "README.md"], "README.md: expected an unencrypted private key in PEM form"),
    ],
)
def test_faults_are_one_line_and_code_2(arguments: list[str], told: str) -> None:
    done = fastgw("token", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert done.stderr.startswith("fastgw token: ")
    assert done.stderr.count("\n") == 1
    assert "hush-hush" not in done.stderr


def test_a_key_does_not_sign_for_another_algorithm(tmp_path: Path) -> None:
    path = pem_file(tmp_path, ec.generate_private_key(ec.SECP256R1()))
    for algorithm in ("ES384", "RS256", "EdDSA", "HS256"):
        done = fastgw("token", "--private-key", path, "--algorithm", algorithm)
        assert done.returncode == 2
        assert f"{algorithm} cannot be made with this private key" in done.stderr
