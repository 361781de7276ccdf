"""SHA-2 and HMAC: published answers, then the standard library as oracle, on both compressions.

Owns: the sha2 room. Must not know tokens.
"""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw import _core

ALGS = (256, 384, 512)
# Every length to 300 covers each padding case of both block sizes; the rest are edges of longer messages.
LENGTHS = [*range(301), 383, 384, 447, 448, 511, 512, 513, 1023, 1024, 1025, 4096, 8191]

portable_or_not = pytest.mark.parametrize("portable", [False, True], ids=["dispatched", "portable"])

# FIPS 180-4 examples as published by NIST (one block, two blocks, empty) and a million times "a".
TWO_BLOCKS = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"
TWO_LONG_BLOCKS = b"".join(bytes(range(first, first + 8)) for first in range(ord("a"), ord("o")))
DIGESTS = [
    (256, b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    (256, b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (256, TWO_BLOCKS, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"),
    (256, b"a" * 1_000_000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
    (
        384,
        b"abc",
        "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
    ),
    (
        384,
        TWO_LONG_BLOCKS,
        "09330c33f71147e83d192fc782cd1b4753111b173b3b05d22fa08086e3b0f712fcc7c71a557e2db966c3e9fa91746039",
    ),
    (
        512,
        b"abc",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
    ),
    (
        512,
        TWO_LONG_BLOCKS,
        "8e959b75dae313da8cf4f72814fc143f8f7779c6eb9f7fa17299aeadb6889018"
        "501d289e4900f7e4331b99dec4b5433ac7d329eeb6dd26545e96e55b874be909",
    ),
]

# RFC 4231 section 4: (test case, key, data, SHA-256, SHA-384, SHA-512).
RFC4231 = [
    (
        1,
        b"\x0b" * 20,
        b"Hi There",
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6",
        "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde"
        "daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
    ),
    (
        2,
        b"Jefe",
        b"what do ya want for nothing?",
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
        "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
        "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
    ),
    (
        3,
        b"\xaa" * 20,
        b"\xdd" * 50,
        "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
        "88062608d3e6ad8a0aa2ace014c8a86f0aa635d947ac9febe83ef4e55966144b2a5ab39dc13814b94e3ab6e101a34f27",
        "fa73b0089d56a284efb0f0756c890be9b1b5dbdd8ee81a3655f83e33b2279d39"
        "bf3e848279a722c806b485a47e67c807b946a337bee8942674278859e13292fb",
    ),
    (
        6,
        b"\xaa" * 131,
        b"Test Using Larger Than Block-Size Key - Hash Key First",
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        "4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c60c2ef6ab4030fe8296248df163f44952",
        "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f352"
        "6b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598",
    ),
]


# RFC 2202 section 3: key, data, HMAC-SHA-1.
RFC2202 = [
    (b"\x0b" * 20, b"Hi There", "b617318655057264e28bc0b6fb378c8ef146be00"),
    (b"Jefe", b"what do ya want for nothing?", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
    (b"\xaa" * 20, b"\xdd" * 50, "125d7342b9ac11cd91a39af48aa17b4f63f175d3"),
    (b"\xaa" * 80, b"Test Using Larger Than Block-Size Key - Hash Key First", "aa4ae5e15272d00e95705637ce8a3b55ed402112"),
]


def pattern(length: int) -> bytes:
    return bytes((7 * i + i // 251) & 0xFF for i in range(length))


@portable_or_not
@pytest.mark.parametrize(("alg", "data", "digest"), DIGESTS)
def test_published_digests(alg: int, data: bytes, digest: str, portable: bool) -> None:
    assert _core._test_sha2(alg, data, portable).hex() == digest


@portable_or_not
@pytest.mark.parametrize("case", RFC4231, ids=lambda case: f"case{case[0]}")
def test_published_hmacs(case: tuple[int, bytes, bytes, str, str, str], portable: bool) -> None:
    _, key, data, *answers = case
    assert [_core._test_hmac(alg, key, data, portable).hex() for alg in ALGS] == answers


@portable_or_not
@pytest.mark.parametrize("alg", ALGS)
def test_every_length_hashes_as_the_standard_library(alg: int, portable: bool) -> None:
    for length in LENGTHS:
        data = pattern(length)
        assert _core._test_sha2(alg, data, portable) == hashlib.new(f"sha{alg}", data).digest(), length


@portable_or_not
@pytest.mark.parametrize("alg", ALGS)
def test_every_length_signs_as_the_standard_library(alg: int, portable: bool) -> None:
    for length in LENGTHS:
        data, key = pattern(length), pattern(length)[::-1]
        assert _core._test_hmac(alg, key, data, portable) == hmac.digest(key, data, f"sha{alg}"), length


@pytest.mark.parametrize(("key", "data", "code"), RFC2202)
def test_published_hmacs_of_sha_1(key: bytes, data: bytes, code: str) -> None:
    assert _core._test_hmac(160, key, data).hex() == code


def test_every_length_signs_by_sha_1_as_the_standard_library() -> None:
    for length in LENGTHS:
        data, key = pattern(length), pattern(length)[::-1]
        assert _core._test_hmac(160, key, data) == hmac.digest(key, data, "sha1"), length


@given(alg=st.sampled_from(ALGS), key=st.binary(max_size=300), data=st.binary(max_size=2000))
def test_both_compressions_agree_with_the_standard_library(alg: int, key: bytes, data: bytes) -> None:
    expected = hmac.digest(key, data, f"sha{alg}")
    assert _core._test_hmac(alg, key, data, False) == expected
    assert _core._test_hmac(alg, key, data, True) == expected


@given(a=st.binary(max_size=80), b=st.binary(max_size=80))
def test_constant_time_compare_is_equality(a: bytes, b: bytes) -> None:
    assert _core._test_ct_equal(a, a)
    if len(a) == len(b):
        assert _core._test_ct_equal(a, b) == (a == b)


def test_constant_time_compare_sees_every_bit() -> None:
    zero = bytes(64)
    for bit in range(512):
        assert not _core._test_ct_equal(zero, (1 << bit).to_bytes(64, "big"))


def test_unknown_algorithm_is_named() -> None:
    with pytest.raises(ValueError, match="expected 256, 384 or 512, found 1"):
        _core._test_sha2(1, b"")
