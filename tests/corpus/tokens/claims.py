"""Attacks by the claims: whose token it says to be, and when it is good."""

from __future__ import annotations

from tests.corpus.tokens.made import Found, Target
from tests.support.signers import SIGNERS, Signer

NOT_KEYS = [b"null", b"true", b"false", b"1", b"0", b"-0", b"1.5", b"1e400", b"[]", b"{}", b'""']
NOT_TIMES = [
    *(b'"1700003600"', b'"9999999999"', b'""', b"null", b"true", b"false", b"[]", b"[1700003600]", b"{}"),
    *(b"1e400", b"-1e400", b"1e99999", b"9007199254740993", b"-9007199254740993", b"9" * 400, b"-" + b"9" * 400),
    *(b"9007199254740992.5", b"18446744073709551617", b"9223372036854775808"),
]
NOT_NUMBERS = [b"NaN", b"Infinity", b"-Infinity", b"+1", b"01", b"0x7fffffff", b"1_000", b".5", b"1.", b"1e", b"--1", b"1e+"]


def attacks(t: Target) -> Found:
    yield from keys(t)
    yield from times(t)


def keys(t: Target) -> Found:
    key = t.signer.key
    end = b'","exp":%d}' % (t.soon + 3600)
    yield "no key claim", t.only(b'{"exp":%d}' % (t.soon + 3600)), "no_key_claim"
    yield "empty payload object", t.only(b"{}"), "no_key_claim"
    yield "key claim inside", t.only(b'{"x":{"key":"%b"}}' % key), "no_key_claim"
    yield "key claim under another casing", t.only(b'{"Key":"%b"}' % key), "no_key_claim"
    yield "key claim with a space", t.only(b'{"key ":"%b"}' % key), "no_key_claim"
    yield "key claim in the header", t.signer.token(t.signer.header[:-1] + b',"key":"%b"}' % key, b"{}"), "no_key_claim"
    yield "key claim with a zero byte", t.only(rb'{"key\u0000":"%b"}' % key), "no_key_claim"
    yield "key claim by a full-width letter", t.only('{"\uff4bey":"'.encode() + key + b'"}'), "no_key_claim"
    for value in [*NOT_KEYS, b'["%b"]' % key, b'{"key":"%b"}' % key]:
        yield f"key claim is {value.decode()}", t.only(b'{"key":' + value + b"}"), "bad_key_claim"
    for name, value in {
        "of nobody": b"nobody",
        "in capitals": key.upper(),
        "with a space behind": key + b" ",
        "with a space before": b" " + key,
        "cut": key[:-1],
        "doubled": key * 2,
        "with a zero byte behind": key + rb"\u0000",
        "with a zero byte and more behind": key + rb"\u0000x",
        "as a pattern": b".*",
        "as SQL": b"' OR '1'='1",
        "as a path": b"../" + key,
        "with a combining mark": key + "\u0301".encode(),
        "in full-width letters": bytes(key[:1]).decode().translate({c: c + 0xFEE0 for c in range(33, 127)}).encode() + key[1:],
        "as the environment": b"$env://HOME",
        "as a number in text": b"0",
        "long": b"k" * 4000,
    }.items():
        yield f"key {name}", t.only(b'{"key":"' + value + end), "unknown_key"
    for other in SIGNERS.values():
        if other.name != t.signer.name:
            token = t.signer.token(payload=other.payload(exp=t.soon + 3600))
            yield f"says to be {other.name}", token, "bad_alg" if other.alg != t.signer.alg else "bad_signature"


def times(t: Target) -> Found:
    for claim in (b"exp", b"nbf"):
        for value in NOT_TIMES:
            shown = value.decode() if len(value) < 30 else f"{value[:4].decode()}… of {len(value)} characters"
            yield f"{claim.decode()} is {shown}", t.claims(b'"%b":%b' % (claim, value)), "bad_claim"
        for value in NOT_NUMBERS:
            yield f"{claim.decode()} is {value.decode()}", t.claims(b'"%b":%b' % (claim, value)), "bad_payload"
    at = t.now
    for name, value in {
        "at this second": b"%d" % at,
        "a second ago": b"%d" % (at - 1),
        "a millisecond ago": b"%d.999" % (at - 1),
        "a year ago": b"%d" % (at - 365 * 86400),
        "a second ago, with an exponent": b"%de0" % (at - 1),
        "a second ago, in tenths": b"%d0e-1" % (at - 1),
        "at 0": b"0",
        "at -0": b"-0",
        "at -1": b"-1",
        "at -1e15": b"-1e15",
        "at 1e-400": b"1e-400",
        "at 17e8": b"17e8",
    }.items():
        yield f"expired {name}", t.claims(b'"exp":' + value), "expired"
    soon = t.soon
    for name, value in {
        "soon": b"%d" % soon,
        "a millisecond beyond": b"%d.001" % (soon - 1),
        "in tenths": b"%d1e-1" % (soon - 1),
        "at 2^53": b"9007199254740992",
        "at 1e15": b"1e15",
    }.items():
        yield f"not before: {name}", t.claims(b'"nbf":' + value), "not_yet"
    yield "expired, spelled by escapes", t.claims(rb'"\u0065xp":1'), "expired"
    yield "not yet, spelled by escapes", t.claims(rb'"n\u0062f":9999999999'), "not_yet"
    yield "expired and never lawful", t.claims(b'"exp":1,"nbf":9999999999'), "expired"
    yield "not yet and good for long", t.claims(b'"exp":9999999999,"nbf":%d' % soon), "not_yet"
    yield "expired, with a good time inside", t.claims(b'"exp":1,"x":{"exp":9999999999}'), "expired"
    yield "expired, with another in capitals", t.claims(b'"exp":1,"EXP":9999999999'), "expired"
    old: Signer = t.signer
    yield "expired a second ago, signature of another", old.seal(b".".join(t.parts[:2]))[:-8] + b"AAAAAAAA", "bad_signature"
