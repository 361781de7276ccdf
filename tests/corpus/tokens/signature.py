"""Attacks by the signature: none, cut, stretched, zero, of something else, in another form, by another key."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from tests.corpus.tokens.made import Found, Target
from tests.support.signers import HASHES, SIGNERS, STRANGERS, Signer, b64, unb64

ORDERS = {  # of the base point, SEC 2 version 2.0
    "ES256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "ES384": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
    "ES512": int("01" + "F" * 65 + "A51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409", 16),
}
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493  # RFC 8032 section 5.1
ED448_ORDER = 2**446 - 13818066809895115352007386748515426880336692474882178609894547503885
SMALL_ORDER = {  # points of small order of Curve25519, and spellings of them that are not canonical
    "the neutral point": "01" + "00" * 31,
    "order 2": "ec" + "ff" * 30 + "7f",
    "order 4": "00" * 32,
    "order 8": "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "the neutral point, not canonical": "ee" + "ff" * 30 + "7f",
    "the neutral point, with a sign": "01" + "00" * 30 + "80",
}


def attacks(t: Target) -> Found:
    for name, signature in forms(t):
        yield f"signature {name}", t.with_signature(signature), "bad_signature"
    head, body, signature = t.parts
    other = t.signer.payload(exp=t.soon + 7200)
    yield "payload exchanged", head + b"." + b64(other) + b"." + signature, "bad_signature"
    yield "header exchanged", b64(t.signer.header[:-1] + b',"x":1}') + b"." + body + b"." + signature, "bad_signature"
    yield "header spelled with a space", b64(b" " + t.signer.header) + b"." + body + b"." + signature, "bad_signature"
    yield "good for a year more", head + b"." + b64(t.signer.payload(exp=t.soon + 10**8)) + b"." + signature, "bad_signature"
    yield "signature empty", head + b"." + body + b".", "bad_signature"
    yield "signed by a stranger", t.stranger.token(payload=t.payload), "bad_signature"


def forms(t: Target) -> Iterator[tuple[str, bytes]]:
    """Signatures under the good header and payload that are not theirs."""
    text = b".".join(t.parts[:2])
    good = unb64(t.parts[2])
    size = len(good)
    yield "of one byte", good[:1]
    yield "a byte short", good[:-1]
    yield "a byte short in front", good[1:]
    yield "a byte long", good + b"\0"
    yield "a byte long in front", b"\0" + good
    yield "half", good[: size // 2]
    yield "doubled", good * 2
    yield "reversed", good[::-1]
    yield "of zeros", bytes(size)
    yield "of ones", b"\xff" * size
    yield "inverted", bytes(255 - byte for byte in good)
    for bit in sorted({0, 7, 100, size * 8 - 1}):
        yield f"with bit {bit} changed", _flipped(good, bit)
    yield "of the payload alone", t.signer.sign(t.parts[1])
    yield "of the header alone", t.signer.sign(t.parts[0])
    yield "of the parts without a dot", t.signer.sign(text.replace(b".", b""))
    yield "of the decoded parts", t.signer.sign(t.signer.header + b"." + t.payload)
    yield "of another token", t.signer.sign(text + b"A")
    yield "of nothing", t.signer.sign(b"")
    yield "a plain digest", hashlib.sha256(text).digest()
    yield "HMAC of no secret", hmac.digest(b"", text, "sha256")
    for name, signer in {**SIGNERS, **{f"stranger {name}": signer for name, signer in STRANGERS.items()}}.items():
        if name != t.signer.name:
            yield f"of {name}", signer.sign(text)
    yield from {"HS": _hmacs, "RS": _rsa, "PS": _rsa, "ES": _ecdsa, "Ed": _eddsa}[t.signer.family](t.signer, text, good)


def _flipped(data: bytes, bit: int) -> bytes:
    out = bytearray(data)
    out[bit // 8] ^= 1 << bit % 8
    return bytes(out)


def _hmacs(signer: Signer, text: bytes, good: bytes) -> Iterator[tuple[str, bytes]]:
    yield "by the secret cut", hmac.digest(signer.private[:-1], text, signer.digest.name)
    yield "by the secret reversed", hmac.digest(signer.private[::-1], text, signer.digest.name)
    yield "by the secret in capitals", hmac.digest(signer.private.upper(), text, signer.digest.name)
    yield "by the secret's digest", hmac.digest(hashlib.sha256(signer.private).digest(), text, signer.digest.name)
    for size in ("256", "384", "512", "1"):
        name = f"sha{size}"
        if name != signer.digest.name:
            yield f"HMAC of {name}", hmac.digest(signer.private, text, name)
    yield "the secret before the text", hashlib.new(signer.digest.name, signer.private + text).digest()
    yield "in hexadecimal", good.hex().encode()


def _rsa(signer: Signer, text: bytes, good: bytes) -> Iterator[tuple[str, bytes]]:
    key, n = signer.private, signer.public.public_numbers().n
    size = len(good)
    pss = signer.family == "PS"
    yield "in the other padding", key.sign(text, padding.PKCS1v15(), signer.digest) if pss else signer.sign_pss(text, 32)
    for bits, digest in HASHES.items():
        if digest.name != signer.digest.name:
            how = padding.PSS(padding.MGF1(digest), digest.digest_size) if pss else padding.PKCS1v15()
            yield f"of a digest of {bits} bits", key.sign(text, how, digest)
    yield "of SHA-1", key.sign(text, padding.PKCS1v15(), hashes.SHA1())
    if pss:
        for salt in (0, 1, signer.digest.digest_size - 1, signer.digest.digest_size + 1, padding.PSS.MAX_LENGTH):
            most = size - signer.digest.digest_size - 2
            yield (
                f"with a salt of {salt if isinstance(salt, int) else most} bytes",
                signer.sign_pss(text, salt if isinstance(salt, int) else most),
            )
        mask = padding.MGF1(hashes.SHA1())
        yield "with another mask", key.sign(text, padding.PSS(mask, signer.digest.digest_size), signer.digest)
    number = int.from_bytes(good, "big")
    for name, value in {"one": 1, "two": 2, "n - 1": n - 1, "n": n, "n + 1": n + 1, "n - s": n - number}.items():
        yield f"of the number {name}", value.to_bytes(size, "big")
    yield "plus n", (number + n).to_bytes(size + 1, "big")  # the same signature to whoever does not compare with n
    if number + n < 1 << 8 * size:
        yield "plus n in the same length", (number + n).to_bytes(size, "big")


def _ecdsa(signer: Signer, text: bytes, good: bytes) -> Iterator[tuple[str, bytes]]:
    half, order = signer.coordinate, ORDERS[signer.name]
    r, s = int.from_bytes(good[:half], "big"), int.from_bytes(good[half:], "big")

    def raw(a: int, b: int, size: int = half) -> bytes:
        return a.to_bytes(size, "big") + b.to_bytes(size, "big")

    yield "as DER", encode_dss_signature(r, s)
    yield "as DER, padded to length", encode_dss_signature(r, s).rjust(2 * half, b"\0")[: 2 * half]
    yield "halves exchanged", raw(s, r)
    yield "of a longer curve's length", raw(r, s, half + 16)
    yield "a zero byte before each half", raw(r, s, half + 1)
    for name, a, b in [  # the first is CVE-2022-21449
        ("r = 0, s = 0", 0, 0), ("r = 0", 0, s), ("s = 0", r, 0), ("r = 1, s = 1", 1, 1), ("r = n, s = n", order, order),
        ("r = n", order, s), ("s = n", r, order), ("r = n, s = 0", order, 0), ("r = n - r", order - r, s),
        ("r = 1", 1, s), ("s = 1", r, 1), ("r = n - 1, s = n - 1", order - 1, order - 1),
    ]:  # fmt: skip
        yield f"with {name}", raw(a, b)
    for name, a, b in [("r + n", r + order, s), ("s + n", r, s + order), ("n - s + n", r, 2 * order - s)]:
        if max(a, b) < 1 << 8 * half:  # always on P-521, whose field has seven bits to spare
            yield f"with {name}", raw(a, b)
    for bits, digest in HASHES.items():
        if digest.name != signer.digest.name:
            yield f"of a digest of {bits} bits", raw(*decode_dss_signature(signer.private.sign(text, ec.ECDSA(digest))))


def _eddsa(signer: Signer, text: bytes, good: bytes) -> Iterator[tuple[str, bytes]]:
    half = len(good) // 2
    order = ED25519_ORDER if half == 32 else ED448_ORDER
    point, s = good[:half], int.from_bytes(good[half:], "little")
    yield "with S = 0", point + bytes(half)
    yield "with S + L", point + (s + order).to_bytes(half, "little")  # RFC 8032 section 5.1.7: S is less than L
    yield "with S = L", point + order.to_bytes(half, "little")
    yield "with L - S", point + (order - s).to_bytes(half, "little")
    yield "halves exchanged", good[half:] + point
    yield "with the sign of R changed", point[:-1] + bytes([point[-1] ^ 0x80]) + good[half:]
    yield "of the text's digest", signer.sign(hashlib.sha512(text).digest())
    if half == 32:
        for name, spelled in SMALL_ORDER.items():
            yield f"with R of small order: {name}", bytes.fromhex(spelled) + good[half:]
            yield f"with R of small order and S = 0: {name}", bytes.fromhex(spelled) + bytes(32)
    else:
        yield "of the length of Ed25519", good[:64]
