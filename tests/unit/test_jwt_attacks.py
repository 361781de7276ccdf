"""The attack corpus against the core on memory, at a second of the test's choice: each token is refused for the reason named.

Owns: that nothing of the corpus passes whatever the algorithm, with and without remembered headers and tokens, and that no byte
of a token is without effect. Must not know how the room decides; what a running gateway answers is tests/adversity's to say.
"""

from __future__ import annotations

import random

import pytest

from fastgw import _core
from fastgw.plugins.jwt_keys import verifier
from tests.corpus.tokens import Attack, attacks
from tests.support.judge import GOOD, NOW, Judge, credential, judge
from tests.support.signers import HS, SIGNERS, Signer

OK = "jwt.ok"


def against(signer: Signer) -> list[Attack]:
    return attacks(signer, NOW, soon=NOW + 1)


def good(signer: Signer, exp: int = NOW + 3600) -> bytes:
    return signer.token(payload=signer.payload(exp=exp))


def verify(signer: Signer, text: bytes, headers: bool = False) -> tuple[str, bytes | None]:
    """By the jwt room alone, which knows no other credential."""
    return _core._test_jwt_verify(text, signer.alg, signer.private, NOW, headers=headers)


def secret(signer: Signer) -> _core.SecretKey:
    if signer.family == "HS":
        return _core.SecretKey(signer.alg, secret=signer.private)
    return _core.SecretKey(signer.alg, verifier=verifier(signer.alg, signer.public_bytes().decode()))


def all_credentials(entries: int) -> Judge:
    known = [credential(secret(signer), signer.key, name=signer.name.encode()) for signer in SIGNERS.values()]
    return judge(*known, entries=entries)


def asked(by: Judge, token: bytes) -> str:
    return by.send(b"GET /0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n\r\n" % token).reason


@pytest.mark.parametrize("name", SIGNERS)
def test_the_corpus_is_large_and_its_names_are_unique(name: str) -> None:
    found = against(SIGNERS[name])
    assert len(found) > 500
    assert len({attack.name for attack in found}) == len(found)
    assert len({attack.token for attack in found}) > 450


@pytest.mark.parametrize("name", SIGNERS)
def test_each_is_refused_for_the_reason_named(name: str) -> None:
    signer = SIGNERS[name]
    by = all_credentials(entries=64)
    wrong = {}
    for attack in against(signer):
        if not attack.fits_a_header:
            continue
        said = asked(by, attack.token)
        if said != attack.reason:
            wrong[attack.name] = said
        if asked(by, good(signer)) != GOOD:
            wrong[f"good after {attack.name}"] = "refused"
    assert wrong == {}


@pytest.mark.parametrize("name", HS)
def test_each_is_refused_byte_for_byte(name: str) -> None:
    """Also those that no header field could carry."""
    signer = SIGNERS[name]
    wrong = {}
    for attack in against(signer):
        for headers in (False, True):
            said, key = verify(signer, attack.token, headers)
            if key is not None and key != signer.key:  # the caller looks it up, before the algorithm and the signature
                said = attack.reason
            if said != attack.reason:
                wrong[attack.name, headers] = said
    assert wrong == {}
    assert verify(signer, good(signer)) == (OK, signer.key)


def test_neither_remembered_headers_nor_tokens_change_a_verdict() -> None:
    """All algorithms' attacks and good tokens, shuffled, asked of a core that remembers more and of one that remembers less."""
    crowd = [(a.name, a.token, a.reason) for s in SIGNERS.values() for a in against(s)[::7] if a.fits_a_header]
    crowd += [(name, good(signer, NOW + n), GOOD) for name, signer in SIGNERS.items() for n in range(1, 40)]
    crowd *= 2
    random.Random(7).shuffle(crowd)
    for by in (all_credentials(entries=0), all_credentials(entries=16), all_credentials(entries=4096)):
        assert {name: said for name, token, reason in crowd if (said := asked(by, token)) != reason} == {}


@pytest.mark.parametrize("name", SIGNERS)
def test_every_byte_of_a_token_counts(name: str) -> None:
    signer = SIGNERS[name]
    by = all_credentials(entries=64)
    whole = good(signer)
    assert asked(by, whole) == GOOD
    for place in range(len(whole)):
        for change in (1, 2, 0x20, 0x80):
            text = bytearray(whole)
            text[place] ^= change
            if name in HS:
                assert verify(signer, bytes(text), headers=True)[0] != OK, (place, change)
            if all(byte > 32 and byte != 127 for byte in text):
                assert asked(by, bytes(text)) != GOOD, (place, change)


@pytest.mark.parametrize("name", SIGNERS)
def test_every_prefix_of_a_token_is_refused(name: str) -> None:
    by = all_credentials(entries=64)
    whole = good(SIGNERS[name])
    assert asked(by, whole) == GOOD
    assert [length for length in range(len(whole)) if asked(by, whole[:length]) == GOOD] == []


@pytest.mark.parametrize("text", [b"." * 1_000_000, b"A" * 1_000_000, b"{" * 1_000_000])
def test_a_megabyte_is_refused_unread(text: bytes) -> None:
    assert verify(SIGNERS["HS256"], text) == ("jwt.too_large", None)
