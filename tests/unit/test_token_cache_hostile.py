"""The token cache under attack: a remembered token helps nobody but its bearer, and nobody pushes it out with bad ones.

Owns: forged and spoilt tokens beside remembered ones, and tokens at the edges of what an entry holds.
"""

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from fastgw import _core
from tests.corpus.tokens import attacks
from tests.support.judge import GOOD, JOHN, NOW, OTHER, PRIVATE, SECRET, credential, hs256, judge, public_secret, token
from tests.support.signers import SIGNERS

TEXT = 2032  # bytes of an entry


# -- bad tokens ------------------------------------------------------------------------------------


def attacked() -> tuple[_core.Credential, bytes]:
    """The credential that the corpus is against, and an honest token of its."""
    signer = SIGNERS["HS256"]
    known = credential(_core.SecretKey("HS256", secret=signer.private), signer.key)
    return known, signer.token(payload=signer.payload(exp=NOW + 3600))


def test_no_attack_is_better_off_beside_a_remembered_token() -> None:
    known, honest = attacked()
    warm, cold = judge(known), judge(known, entries=0)
    for attack in attacks(SIGNERS["HS256"], NOW, soon=NOW + 1):
        assert warm.ask(honest).reason == GOOD
        if attack.fits_a_header:
            found = warm.ask(b"Bearer " + attack.token)
            assert found == cold.ask(b"Bearer " + attack.token), attack.name
            assert found.reason != GOOD, attack.name


def test_every_byte_of_a_remembered_token_counts() -> None:
    known, honest = attacked()
    one = judge(known)
    for place in range(len(honest)):
        for change in (1, 2, 0x20):
            text = bytearray(honest)
            text[place] ^= change
            assert one.ask(honest).reason == GOOD
            assert one.ask(bytes(text)).reason != GOOD, (place, change)
    for length in range(len(honest)):
        assert one.ask(honest[:length]).reason != GOOD, length
        assert one.ask(honest[length + 1 :]).reason != GOOD, length


@pytest.mark.parametrize("name", PRIVATE)
def test_another_signature_under_a_remembered_payload(name: str) -> None:
    one = judge(credential(public_secret(name, [])))
    text = token(name)
    assert one.ask(text) == JOHN
    head, signature = text.rsplit(b".", 1)
    stranger = token(name, sub="x").rsplit(b".", 1)[1]
    for wrong in (stranger, signature[::-1], signature[:-4], signature + b"AAAA", b"A" * len(signature)):
        assert one.ask(head + b"." + wrong).reason in ("jwt.bad_signature", "jwt.malformed"), wrong
    assert one.counts() == (0, 6)
    assert one.ask(text) == JOHN


def test_the_second_good_signature_of_ecdsa_is_verified_for_itself() -> None:
    """(r, n - s) is as good as (r, s) to every library; it is another token, never the remembered one."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    asked: list[int] = []
    one, text = judge(credential(public_secret("ES256", asked))), token("ES256")
    head, signature = text.rsplit(b".", 1)
    raw = jwt.utils.base64url_decode(signature)
    r, s = decode_dss_signature(encode_dss_signature(int.from_bytes(raw[:32], "big"), order - int.from_bytes(raw[32:], "big")))
    twin = head + b"." + jwt.utils.base64url_encode(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
    assert [one.ask(text), one.ask(twin), one.ask(text), one.ask(twin)] == [JOHN] * 4
    assert (len(asked), one.counts()) == (2, (2, 2))


def test_a_flood_of_bad_tokens_pushes_nobody_out() -> None:
    one = judge(entries=4)
    good = [token(jti=i) for i in range(4)]
    for text in good:
        one.ask(text)
    for i in range(500):
        one.ask(token(OTHER, jti=i))
        one.ask(token(jti=i, exp=NOW))
        one.ask(good[0][:-8] + b"%08d" % i)
    assert all(one.hit(text) for text in good)


# -- at the edges ----------------------------------------------------------------------------------


@pytest.mark.parametrize("over", [0, 1])
def test_only_what_fits_is_remembered(over: int) -> None:
    key = "j" * 100

    def of(size: int) -> bytes:
        return jwt.encode({"key": key, "x": "y" * size}, SECRET, "HS256").encode()

    size = next(size for size in range(1200, 1600) if len("key") + len(of(size)) + len(key) >= TEXT - 1)
    claim = "key"
    while len(claim) + len(of(size)) + len(key) < TEXT + over:  # base64 makes steps, the name of the claim does not
        claim += "y"
    text = jwt.encode({claim: key, "x": "y" * (size - len(claim) + 3)}, SECRET, "HS256").encode()
    assert len(claim) + len(text) + len(key) == TEXT + over
    one = judge(credential(hs256(), key.encode()), steps=[_core.JwtAuthStep(key_claim=claim)])
    assert one.ask(text).reason == GOOD
    assert one.hit(text) is not bool(over)


def test_long_tokens_and_keys_are_judged_all_the_same() -> None:
    keys = ["k" * n for n in (1, 1000, 1500, 2048, 2049, 3000)]
    one = judge(*(credential(hs256(), key.encode()) for key in keys))
    for key in keys:
        text = jwt.encode({"key": key}, SECRET, "HS256").encode()
        assert [one.ask(text).reason, one.ask(text).reason] == [GOOD, GOOD]
    assert one.counts() == (1, 11)
    assert one.ask(token(x="y" * 8192)).reason == "jwt.too_large"


@pytest.mark.parametrize("length", [TEXT - 300, TEXT - 1, TEXT, TEXT + 1, 3 * TEXT])
def test_long_names_of_the_key_claim(length: int) -> None:
    name = "n" * length
    one = judge(steps=[_core.JwtAuthStep(key_claim=name), _core.JwtAuthStep(key_claim=name[:-1])])
    text = jwt.encode({name: "john-key"}, SECRET, "HS256").encode()
    for route, reason in [(0, GOOD), (1, "jwt.no_key_claim"), (0, GOOD)]:
        assert one.ask(text, route).reason == (reason if len(text) <= 8192 else "jwt.too_large")
    short = token(key="x")
    assert [one.ask(short, 0).reason, one.ask(short, 1).reason] == ["jwt.no_key_claim"] * 2


def test_the_key_claim_may_hold_any_bytes() -> None:
    """A zero byte ends nothing: john's key is not the beginning of another's."""
    plain, longer = credential(hs256()), credential(hs256(), b"john-key\0x", name=b"jane")
    one = judge(plain, longer)
    for _ in range(2):
        assert one.ask(token()).consumer == "john"
        assert one.ask(jwt.encode({"key": "john-key\0x"}, SECRET, "HS256").encode()).consumer == "jane"
        assert one.ask(jwt.encode({"key": "john-key\0"}, SECRET, "HS256").encode()).reason == "jwt.unknown_key"
    assert one.counts() == (2, 4)
