"""An attack corpus: every way to forge, confuse or blow up a token that hardening rules 26 to 30 name.

Owns: tokens that must be refused, and the reason the log gives. Each is refused with and without the header
cache, and the honest token it was made from is accepted beside it. Must not know how the room decides.
"""

import base64
import hashlib
import hmac
import json
import random

import pytest

from fastgw import _core

SECRET = b"an-hs256-secret-of-enough-bytes!"
NOW = 1_700_000_000
HEADER = b'{"alg":"HS256","typ":"JWT"}'
PAYLOAD = b'{"key":"john-key","exp":1700003600}'
# The confusion: an attacker knows the public key and signs with its text as if it were a shared secret.
PUBLIC_PEM = b"-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAK\n-----END PUBLIC KEY-----\n"


def b64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def sign(signing_input: bytes, secret: bytes = SECRET, digest: str = "sha256") -> bytes:
    return signing_input + b"." + b64(hmac.digest(secret, signing_input, digest))


def token(header: bytes = HEADER, payload: bytes = PAYLOAD, secret: bytes = SECRET) -> bytes:
    """A token whose HS256 signature is right, whatever its parts say."""
    return sign(b64(header) + b"." + b64(payload), secret)


def verify(text: bytes, headers: bool = False, **options: int) -> tuple[str, bytes | None]:
    return _core._test_jwt_verify(text, "HS256", SECRET, NOW, headers=headers, **options)


GOOD = token()
HEAD, BODY, SIGNATURE = GOOD.split(b".")
attacks: list[tuple[str, bytes, str]] = []


def attack(name: str, text: bytes, reason: str) -> None:
    attacks.append((name, text, "jwt." + reason))


# Algorithm: none in every casing, with and without a signature; other families; not a string.
for case in range(16):
    word = "".join(c.upper() if case >> i & 1 else c for i, c in enumerate("none"))
    attack(f"alg {word}", b64(b'{"alg":"%s"}' % word.encode()) + b"." + BODY + b".", "bad_alg")
    attack(f"alg {word} signed", token(b'{"alg":"%s"}' % word.encode()), "bad_alg")
for other in [
    "HS384",
    "HS512",
    "RS256",
    "RS384",
    "RS512",
    "ES256",
    "ES384",
    "ES512",
    "PS256",
    "PS384",
    "PS512",
    "EdDSA",
    "ES256K",
    "dir",
    "A128KW",
]:
    attack(f"alg {other}", token(b'{"alg":"%s"}' % other.encode()), "bad_alg")
for other in [
    "hs256",
    "Hs256",
    "HS256 ",
    " HS256",
    "HS-256",
    "HS2560",
    "HS25",
    "",
    "HMACSHA256",
    "SHA256",
    "HS256,none",
]:
    attack(f"alg {other!r}", token(b'{"alg":"%s"}' % other.encode()), "bad_alg")
attack("alg with a zero byte", token(rb'{"alg":"HS256\u0000"}'), "bad_alg")
attack("alg with a full-width letter", token(rb'{"alg":"\uff28S256"}'), "bad_alg")
for value in [b"null", b"true", b"false", b"256", b"[]", b'["HS256"]', b"{}", b'{"alg":"HS256"}']:
    attack(f"alg is {value.decode()}", token(b'{"alg":' + value + b"}"), "bad_header")
attack("alg missing", token(b'{"typ":"JWT"}'), "bad_header")
attack("alg under another casing", token(b'{"ALG":"HS256"}'), "bad_header")
attack("alg only inside", token(b'{"x":{"alg":"HS256"}}'), "bad_header")
attack("public key as secret", token(b'{"alg":"HS256","typ":"JWT"}', secret=PUBLIC_PEM), "bad_signature")
attack("RS256 signed by public key", token(b'{"alg":"RS256"}', secret=PUBLIC_PEM), "bad_alg")

# Header parameters that change what is signed, or bring a key along.
for value in [b"[]", b'["exp"]', b'["b64"]', b"null", b'"exp"', b"{}"]:
    attack(f"crit is {value.decode()}", token(b'{"alg":"HS256","crit":' + value + b"}"), "unsupported")
for value in [b"false", b"true", b"null", b'"false"']:
    attack(f"b64 is {value.decode()}", token(b'{"alg":"HS256","b64":' + value + b"}"), "unsupported")
attack("b64 false and critical", token(b'{"alg":"HS256","crit":["b64"],"b64":false}'), "unsupported")
attack("b64 spelled by escapes", token(rb'{"alg":"HS256","\u00624":1,"b\u0036\u0034":false}'), "unsupported")
attack("b64 detached", sign(b64(b'{"alg":"HS256","crit":["b64"],"b64":false}') + b"."), "unsupported")
attack("zip", token(b'{"alg":"HS256","zip":"DEF"}'), "unsupported")
attack("enc", token(b'{"alg":"HS256","enc":"A128GCM"}'), "unsupported")
attack("crit spelled by escapes", token(rb'{"alg":"HS256","\u0063rit":["exp"]}'), "unsupported")
for cty in [b"JWT", b"jwt", b"application/jwt", b"APPLICATION/JWT", rb"J\u0057T", rb"application\/jwt"]:
    attack(f"nested by cty {cty.decode()}", token(b'{"alg":"HS256","cty":"' + cty + b'"}'), "unsupported")
for name in ["typ", "cty", "kid"]:
    for value in [b"1", b"null", b'["JWT"]', b'{"alg":"none"}']:
        attack(
            f"{name} is {value.decode()}",
            token(b'{"alg":"HS256","%s":%s}' % (name.encode(), value)),
            "bad_header",
        )
stranger = b"the-attacker's-own-key-of-32-bytes"
jwk = b'{"kty":"oct","k":"%s"}' % b64(stranger)
for name, value in [
    (b"jwk", jwk),
    (b"jku", b'"https://evil.example/jwks"'),
    (b"x5u", b'"https://evil.example/c"'),
]:
    header = b'{"alg":"HS256","%s":%s}' % (name, value)
    attack(f"key brought along by {name.decode()}", token(header, secret=stranger), "bad_signature")
attack("x5c", token(b'{"alg":"HS256","x5c":["MIIB"]}', secret=stranger), "bad_signature")
attack("kid as a path", token(b'{"alg":"HS256","kid":"../../dev/null"}', secret=b""), "bad_signature")

# Segments.
for name, text in [
    ("empty", b""),
    ("one segment", HEAD),
    ("one dot", b"."),
    ("two dots", b".."),
    ("three dots", b"..."),
    ("two segments", HEAD + b"." + BODY),
    ("four segments", GOOD + b".x"),
    ("trailing dot", GOOD + b"."),
    ("leading dot", b"." + GOOD),
    ("no header", b"." + BODY + b"." + SIGNATURE),
    ("doubled", GOOD + b"." + GOOD),
    ("doubled dot", HEAD + b".." + BODY + b"." + SIGNATURE),
    ("word", b"somewrongkey"),
    ("five segments", HEAD + b"." + BODY + b"." + SIGNATURE + b"." + SIGNATURE + b"." + SIGNATURE),
    ("JSON serialisation", json.dumps({"payload": BODY.decode(), "signatures": []}).encode()),
    ("comma list", GOOD + b"," + GOOD),
    ("quoted", b'"' + GOOD + b'"'),
    ("scheme inside", b"Bearer " + GOOD),
]:
    attack(name, text, "malformed")
attack("no payload", sign(HEAD + b"."), "bad_payload")
sealed = [b64(b'{"alg":"dir","enc":"A128GCM"}'), b"", b64(bytes(12)), BODY, b64(bytes(16))]
attack("encrypted", b".".join(sealed), "unsupported")

# base64url in any spelling but the canonical one.
for name, byte in [
    ("newline", b"\n"),
    ("CRLF", b"\r\n"),
    ("space", b" "),
    ("tab", b"\t"),
    ("zero byte", b"\0"),
    ("padding", b"="),
    ("high byte", b"\xff"),
    ("UTF-8", "é".encode()),
]:
    attack(f"{name} after", GOOD + byte, "malformed")
    attack(f"{name} before", byte + GOOD, "malformed")
    attack(f"{name} in the payload", sign(HEAD + b"." + BODY[:8] + byte + BODY[8:]), "malformed")
    attack(f"{name} in the signature", GOOD[:-8] + byte + GOOD[-8:], "malformed")
last = SIGNATURE[-1:]
alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
for bits in (1, 2, 3):
    other_last = alphabet[alphabet.index(last) ^ bits : (alphabet.index(last) ^ bits) + 1]
    attack(f"signature's unused bits {bits}", GOOD[:-1] + other_last, "malformed")
attack("header's unused bits", sign(b64(b'{"alg":"HS256"}')[:-2] + b"h." + BODY), "malformed")
plain = base64.b64encode(b'{"key":"john-key","x":"\xc3\xbf\xc3\xbe???>>>"}').rstrip(b"=")
attack("plain base64 alphabet", sign(HEAD + b"." + plain), "malformed")
attack("segment of impossible length", sign(HEAD + b"." + BODY + b"A" * (5 - len(BODY) % 4)), "malformed")

# Signature.
attack("signature empty", HEAD + b"." + BODY + b".", "bad_signature")
attack(
    "signature short",
    HEAD + b"." + BODY + b"." + b64(base64.urlsafe_b64decode(SIGNATURE + b"=")[:31]),
    "bad_signature",
)
attack(
    "signature long",
    HEAD + b"." + BODY + b"." + b64(base64.urlsafe_b64decode(SIGNATURE + b"=") + b"\0"),
    "bad_signature",
)
attack("signature of zeros", HEAD + b"." + BODY + b"." + b64(bytes(32)), "bad_signature")
attack("signature of another secret", token(secret=SECRET + b"!"), "bad_signature")
attack("signature of the empty secret", token(secret=b""), "bad_signature")
attack(
    "plain digest",
    HEAD + b"." + BODY + b"." + b64(hashlib.sha256(HEAD + b"." + BODY).digest()),
    "bad_signature",
)
attack(
    "signature of another payload",
    HEAD + b"." + b64(PAYLOAD.replace(b"john", b"jane")) + b"." + SIGNATURE,
    "bad_signature",
)
attack("signature of another header", b64(b'{"alg":"HS256"}') + b"." + BODY + b"." + SIGNATURE, "bad_signature")
attack("HS512 signature", sign(HEAD + b"." + BODY, digest="sha512"), "bad_signature")
for bit in (0, 100, 255):
    flipped = bytearray(base64.urlsafe_b64decode(SIGNATURE + b"="))
    flipped[bit // 8] ^= 1 << bit % 8
    attack(f"signature's bit {bit}", HEAD + b"." + BODY + b"." + b64(bytes(flipped)), "bad_signature")

# JSON, in the header and in the payload.
for name, text in [
    ("empty", b""),
    ("array", b"[]"),
    ("string", b'"x"'),
    ("number", b"1"),
    ("null", b"null"),
    ("cut", b'{"key":"john-key"'),
    ("single quotes", b"{'key':'john-key','alg':'HS256'}"),
    ("BOM", b"\xef\xbb\xbf" + PAYLOAD),
    ("comment", PAYLOAD + b"//"),
    ("UTF-16", PAYLOAD.decode().encode("utf-16")),
    ("trailing zero", PAYLOAD + b"\0"),
    ("two documents", PAYLOAD * 2),
    ("comma at the end", PAYLOAD[:-1] + b",}"),
    ("NaN", b'{"key":"john-key","x":NaN}'),
    ("bytes", b"\xff\xfe\xfd"),
    ("duplicate", b'{"alg":"none","alg":"HS256","key":"jane-key","key":"john-key"}'),
    ("duplicate by escape", rb'{"alg":"HS256","\u0061lg":"none","key":"john-key","\u006bey":"jane-key"}'),
    ("duplicate inside", b'{"alg":"HS256","key":"john-key","x":{"a":1,"a":2}}'),
    ("duplicate name nobody asked for", b'{"alg":"HS256","key":"john-key","x":1,"x":1}'),
    ("lone surrogate", rb'{"alg":"HS256","key":"john-key","x":"\ud800"}'),
    ("lone surrogate in a name", rb'{"alg":"HS256","key":"john-key","\udc00":1}'),
    ("surrogates as UTF-8", b'{"alg":"HS256","key":"john-key","x":"\xed\xa0\x80\xed\xb0\x80"}'),
    ("over-long UTF-8", b'{"alg":"HS256","key":"john\xc0\xad"}'),
    ("control byte", b'{"alg":"HS256","key":"john\nkey"}'),
    ("raw Latin-1", b'{"alg":"HS256","key":"j\xf6hn"}'),
    ("unknown escape", rb'{"alg":"HS256","key":"\x6aohn"}'),
    ("deep arrays", b'{"alg":"HS256","key":"john-key","x":' + b"[" * 1500 + b"]" * 1500 + b"}"),
    ("deep objects", b'{"alg":"HS256","key":"john-key","x":' + b'{"x":' * 900 + b"1" + b"}" * 901),
    ("open arrays", b'{"alg":"HS256","key":"john-key","x":' + b"[" * 3000),
    ("integer of 5000 digits", b'{"alg":"HS256","key":"john-key","x":' + b"9" * 5000 + b"}"),
    ("fraction of 5000 digits", b'{"alg":"HS256","key":"john-key","x":0.' + b"9" * 5000 + b"}"),
    (
        "crowd of members",
        json.dumps({"alg": "HS256", "key": "john-key"} | {f"{i:x}": 0 for i in range(300)}).encode(),
    ),
]:
    attack(f"header: {name}", token(text, b"{}"), "malformed" if text == b"" else "bad_header")
    attack(f"payload: {name}", token(HEADER, text), "bad_payload")

# The key claim.
attack("no key claim", token(payload=b'{"exp":1700003600}'), "no_key_claim")
attack("empty payload object", token(payload=b"{}"), "no_key_claim")
attack("key claim inside", token(payload=b'{"x":{"key":"john-key"}}'), "no_key_claim")
attack("key claim under another casing", token(payload=b'{"Key":"john-key"}'), "no_key_claim")
attack("key claim with a space", token(payload=b'{"key ":"john-key"}'), "no_key_claim")
for value in [
    b"null",
    b"true",
    b"false",
    b"1",
    b"0",
    b"1.5",
    b"[]",
    b'["john-key"]',
    b"{}",
    b'{"key":"john-key"}',
    b'""',
]:
    attack(f"key claim is {value.decode()}", token(payload=b'{"key":' + value + b"}"), "bad_key_claim")

# exp and nbf.
NOT_TIMES = [
    b'"1700003600"',
    b'""',
    b"null",
    b"true",
    b"false",
    b"[]",
    b"[1700003600]",
    b"{}",
    b"1e400",
    b"-1e400",
    b"1e99999",
    b"9007199254740993",
    b"-9007199254740993",
    b"9" * 400,
    b"9007199254740992.5",
    b"18446744073709551617",
]
for claim in (b"exp", b"nbf"):
    for value in NOT_TIMES:
        text = token(payload=b'{"key":"john-key","%s":%s}' % (claim, value))
        attack(f"{claim.decode()} is {value[:24].decode()}", text, "bad_claim")
    for value in [b"NaN", b"Infinity", b"-Infinity", b"+1", b"01", b"0x7fffffff", b"1_000", b".5", b"1."]:
        text = token(payload=b'{"key":"john-key","%s":%s}' % (claim, value))
        attack(f"{claim.decode()} is {value.decode()}", text, "bad_payload")
for value in [
    b"0",
    b"-0",
    b"-1",
    b"-1e15",
    b"1",
    b"1700000000",
    b"1699999999.999",
    b"17e8",
    b"1.7e9",
    b"1e-400",
]:
    attack(f"expired at {value.decode()}", token(payload=b'{"key":"john-key","exp":' + value + b"}"), "expired")
for value in [b"1700000001", b"1700000000.001", b"17000000001e-1", b"9007199254740992", b"1e15"]:
    attack(f"not before {value.decode()}", token(payload=b'{"key":"john-key","nbf":' + value + b"}"), "not_yet")
attack("expired and never lawful", token(payload=b'{"key":"john-key","exp":1,"nbf":9999999999}'), "expired")

# Size.
attack("over 8 KiB", token(payload=b'{"key":"john-key","x":"' + b"x" * 6200 + b'"}'), "too_large")
attack("a megabyte of dots", b"." * 1_000_000, "too_large")
attack("a megabyte of letters", b"A" * 1_000_000, "too_large")
attack("8 KiB of dots", b"." * 8192, "malformed")
attack("8 KiB of letters", b"A" * 8192, "malformed")


def test_the_corpus_is_large_and_its_names_are_unique() -> None:
    assert len(attacks) > 120
    assert len({name for name, _, _ in attacks}) == len(attacks)


@pytest.mark.parametrize(("text", "reason"), [(t, r) for _, t, r in attacks], ids=[name for name, _, _ in attacks])
def test_refused_for_the_reason_named(text: bytes, reason: str) -> None:
    assert verify(GOOD) == ("jwt.ok", b"john-key")
    assert verify(text)[0] == reason
    assert verify(text, headers=True)[0] == reason


def test_the_header_cache_changes_no_verdict() -> None:
    crowd = [*attacks, *(("good", token(b'{"alg":"HS256","kid":"%d"}' % i), "jwt.ok") for i in range(40))] * 2
    random.Random(7).shuffle(crowd)
    for name, text, reason in crowd:
        assert verify(text, headers=True)[0] == reason, name


def test_every_byte_of_a_token_counts() -> None:
    for place in range(len(GOOD)):
        for change in (1, 2, 0x20, 0x80):
            text = bytearray(GOOD)
            text[place] ^= change
            for headers in (False, True):
                assert verify(bytes(text), headers)[0] != "jwt.ok", (place, change)


def test_every_prefix_of_a_token_is_refused() -> None:
    for length in range(len(GOOD)):
        assert verify(GOOD[:length])[0] != "jwt.ok", length
