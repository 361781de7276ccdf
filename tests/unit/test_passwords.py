"""Hashed passwords: published answers, what is a hash and what a password in clear, and what one may cost."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgw.plugins.passwords import is_hash, verifier
from tests.support.passwords import argon2id, bare, scrypt

SALT, HASH = "c2FsdHNhbHQ", "A" * 43  # 8 bytes, 32 bytes
# RFC 7914 section 12, the third vector; the reference implementation's test of argon2id (phc-winner-argon2, test.c).
SODIUM = (
    "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
    "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887"
)
PUBLISHED = [
    (f"$scrypt$ln=14,r=8,p=1${bare(b'SodiumChloride')}${bare(bytes.fromhex(SODIUM))}", b"pleaseletmein"),
    ("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", b"password"),
]


@pytest.mark.parametrize(("text", "password"), PUBLISHED, ids=["scrypt", "argon2id"])
def test_published_hashes(text: str, password: bytes) -> None:
    judge = verifier(text)
    assert judge(password)
    assert not judge(password + b"\0")
    assert not judge(b"")


passwords = st.text(st.characters(exclude_characters="\0"), max_size=40)


@settings(max_examples=25)
@given(password=passwords, other=passwords)
def test_a_hash_knows_its_password(password: str, other: str) -> None:
    raw, wrong = password.encode(errors="replace"), other.encode(errors="replace")
    for text in (argon2id(raw.decode()), scrypt(raw.decode())):
        assert is_hash(text)
        judge = verifier(text)
        assert judge(raw)
        assert judge(wrong) == (wrong == raw)


@pytest.mark.parametrize(
    "text",
    [
        f"$argon2id$v=16$m=64,t=1,p=1${SALT}${HASH}",  # an older version of the algorithm
        f"$argon2i$v=19$m=64,t=1,p=1${SALT}${HASH}",
        f"$argon2d$v=19$m=64,t=1,p=1${SALT}${HASH}",
        f"$argon2id$m=64,t=1,p=1${SALT}${HASH}",
        f"$argon2id$v=19$t=1,m=64,p=1${SALT}${HASH}",
        f"$argon2id$v=19$m=64,t=1,p=1,keyid=x${SALT}${HASH}",
        f"$argon2id$v=19$m=64,t=1,p=1${SALT}",
        f"$argon2id$v=19$m=64,t=1,p=1${SALT}${HASH}$",
        f"$argon2id$v=19$m=64,t=1,p=1${SALT}${HASH}=",
        f"$argon2id$v=19$m=64,t=1,p=1${SALT}${HASH[:-1]}B",  # bits beyond the last byte
        f"$argon2id$v=19$m=64,t=1,p=1$c2FsdA${HASH}",  # 4 bytes of salt
        f"$argon2id$v=19$m=64,t=1,p=1${SALT}$AAAA",
        f"$argon2id$v=19$m=7,t=1,p=1${SALT}${HASH}",
        f"$argon2id$v=19$m=64,t=0,p=1${SALT}${HASH}",
        f"$argon2id$v=19$m=64,t=1,p=0${SALT}${HASH}",
        f"$argon2id$v=19$m=131073,t=1,p=1${SALT}${HASH}",
        f"$argon2id$v=19$m=131072,t=5,p=1${SALT}${HASH}",
        f"$argon2id$v=19$m=1024,t=1,p=17${SALT}${HASH}",
        f"$argon2id$v=19$m=999999999,t=999999999,p=1${SALT}${HASH}",
        f"$scrypt$ln=0,r=8,p=1${SALT}${HASH}",
        f"$scrypt$ln=4,r=0,p=1${SALT}${HASH}",
        f"$scrypt$ln=4,r=8,p=0${SALT}${HASH}",
        f"$scrypt$ln=18,r=8,p=1${SALT}${HASH}",
        f"$scrypt$ln=17,r=8,p=5${SALT}${HASH}",
        f"$scrypt$ln=99,r=8,p=1${SALT}${HASH}",
        f"$scrypt$n=16,r=8,p=1${SALT}${HASH}",
        "$2b$12$abcdefghijklmnopqrstuv",
        "{SSHA}x",
    ],
)
def test_a_hash_that_is_none_of_those(text: str) -> None:
    assert is_hash(text)
    with pytest.raises(ValueError) as raised:
        verifier(text)
    assert HASH not in str(raised.value)


@pytest.mark.parametrize("text", ["", "password", "$ecret", "$2", "{x}", "$argon2", "argon2id$v=19$m=64,t=1,p=1$a$b"])
def test_a_password_in_clear(text: str) -> None:
    assert not is_hash(text)


def test_the_dearest_that_is_taken() -> None:
    for text in (f"$argon2id$v=19$m=131072,t=4,p=16${SALT}${HASH}", f"$scrypt$ln=17,r=8,p=4${SALT}${HASH}"):
        assert not verifier(text)(b"x")
