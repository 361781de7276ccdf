"""Attacks by the compact form: how many segments, which characters, how long."""

from __future__ import annotations

import base64
import json

from tests.corpus.tokens.made import Found, Target
from tests.support.signers import b64

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
BYTES = {
    "newline": b"\n",
    "CRLF": b"\r\n",
    "space": b" ",
    "tab": b"\t",
    "zero byte": b"\0",
    "padding": b"=",
    "double padding": b"==",
    "high byte": b"\xff",
    "UTF-8": "é".encode(),
    "zero width space": "\u200b".encode(),
    "plus": b"+",
    "slash": b"/",
    "percent": b"%41",
    "tilde": b"~",
    "comma": b",",
    "star": b"*",
}


def attacks(t: Target) -> Found:
    yield from shapes(t)
    yield from spellings(t)
    yield from sizes(t)


def shapes(t: Target) -> Found:
    head, body, signature = t.parts
    good = t.good
    for name, text in {
        "empty": b"",
        "one segment": head,
        "one dot": b".",
        "two dots": b"..",
        "three dots": b"...",
        "two segments": head + b"." + body,
        "four segments": good + b".x",
        "trailing dot": good + b".",
        "two trailing dots": good + b"..",
        "leading dot": b"." + good,
        "no header": b"." + body + b"." + signature,
        "doubled": good + b"." + good,
        "doubled dot": head + b".." + body + b"." + signature,
        "word": b"somewrongkey",
        "five segments": b".".join([head, body, signature, signature, signature]),
        "six segments": b".".join([head, body, signature] * 2),
        "JSON serialisation": json.dumps({"payload": body.decode(), "signatures": []}).encode(),
        "comma list": good + b"," + good,
        "quoted": b'"' + good + b'"',
        "scheme inside": b"Bearer " + good,
        "scheme in capitals": b"BEARER " + good,
        "another scheme": b"JWT " + good,
        "brackets": b"<" + good + b">",
        "parts as they are": t.signer.header + b"." + t.payload + b"." + signature,
        "colons for dots": good.replace(b".", b":"),
        "encoded dots": good.replace(b".", b"%2E"),
        "encoded once more": b64(good),
    }.items():
        yield name, text, "malformed"
    yield "no payload", t.signer.seal(head + b"."), "bad_payload"
    yield "parts exchanged", t.signer.seal(body + b"." + head), "bad_header"
    yield "header for payload", t.signer.seal(head + b"." + head), "no_key_claim"
    sealed = [b64(b'{"alg":"dir","enc":"A128GCM"}'), b"", b64(bytes(12)), body, b64(bytes(16))]
    yield "encrypted", b".".join(sealed), "unsupported"
    sealed[0] = b64(b'{"alg":"RSA-OAEP-256","enc":"A256GCM"}')
    yield "encrypted to the public key", b".".join([sealed[0], b64(bytes(256)), *sealed[2:]]), "unsupported"
    plain = [head, b64(bytes(16)), b64(bytes(12)), body, b64(bytes(16))]
    yield "five parts under a signer's header", b".".join(plain), "malformed"
    yield "nested token as payload", t.signer.token(payload=good), "bad_payload"


def spellings(t: Target) -> Found:
    """base64url in any spelling but the canonical one (RFC 7515 section 2, RFC 4648 section 3.5)."""
    head, body, signature = t.parts
    for name, byte in BYTES.items():
        yield f"{name} after", t.good + byte, "malformed"
        yield f"{name} before", byte + t.good, "malformed"
        yield f"{name} in the header", t.signer.seal(head[:8] + byte + head[8:] + b"." + body), "malformed"
        yield f"{name} in the payload", t.signer.seal(head + b"." + body[:8] + byte + body[8:]), "malformed"
        yield f"{name} in the signature", t.good[:-8] + byte + t.good[-8:], "malformed"
        yield f"{name} before the dot", t.signer.seal(head + byte + b"." + body), "malformed"
    unused = {2: 15, 3: 3, 0: 0}[len(signature) % 4]
    for bits in sorted({1, 2, 3, 15} & set(range(1, unused + 1))):
        other = ALPHABET[ALPHABET.index(signature[-1:]) ^ bits]
        yield f"signature's unused bits {bits}", t.good[:-1] + bytes([other]), "malformed"
    long_enough = next(h for n in range(3) if len(h := b'{"alg":"%s"%b}' % (t.signer.alg.encode(), b" " * n)) % 3 == 2)
    odd = b64(long_enough)
    last = ALPHABET[ALPHABET.index(odd[-1:]) ^ 1]
    yield "header's unused bits", t.signer.seal(odd[:-1] + bytes([last]) + b"." + body), "malformed"
    plain = base64.b64encode(b'{"key":"%b","x":"\xc3\xbf\xc3\xbe???>>>"}' % t.signer.key).rstrip(b"=")
    assert b"+" in plain or b"/" in plain
    yield "plain base64 alphabet", t.signer.seal(head + b"." + plain), "malformed"
    yield "payload padded", t.signer.seal(head + b"." + body + b"=" * (-len(body) % 4 or 4)), "malformed"
    yield "segment of impossible length", t.signer.seal(head + b"." + body + b"A" * (5 - len(body) % 4)), "malformed"
    yield "hexadecimal", head.hex().encode() + b"." + body.hex().encode() + b"." + signature, "bad_header"


def sizes(t: Target) -> Found:
    yield "payload over 8 KiB", t.claims(b'"x":"' + b"x" * 6200 + b'"'), "too_large"
    yield "header over 8 KiB", t.says(b'"x":"' + b"x" * 6200 + b'"'), "too_large"
    yield "signature over 8 KiB", t.good + b"A" * 8192, "too_large"
    yield "16 KiB of dots", b"." * 16384, "too_large"
    yield "8 KiB of dots", b"." * 8192, "malformed"
    yield "8 KiB of letters", b"A" * 8192, "malformed"
