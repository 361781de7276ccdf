"""Key rings: which key judges a token, and that what was judged once is judged as afresh, whatever became of the ring.

Owns: the choice by kid, the times of keys, rings that are replaced. What one key says of a token is test_jwt's.
"""

from __future__ import annotations

import base64
import hmac
import random
from typing import Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgw import _core
from tests.support.core import chain
from tests.support.judge import GOOD, NOW, PRIVATE, Judge, credential, hs256, public_secret, snapshot

Window = tuple[int | None, int | None]

A, B, OWN = (name * 64 for name in (b"a", b"b", b"o"))
ALWAYS: Window = (None, None)


def signed(secret: bytes, kid: Any = None, algorithm: str = "HS256", **claims: Any) -> bytes:
    """A token; kid None: it has none."""
    headers = {} if kid is None else {"kid": kid}
    return jwt.encode({"key": "john-key", **claims}, secret, algorithm, headers=headers).encode()


def _resigned(header: bytes, payload: bytes, secret: bytes) -> bytes:
    """A token with this header, byte by byte."""
    head = base64.urlsafe_b64encode(header).rstrip(b"=") + b"." + payload
    return head + b"." + base64.urlsafe_b64encode(hmac.digest(secret, head, "sha256")).rstrip(b"=")


def ring(*keys: tuple[bytes, bytes] | tuple[bytes, bytes, Window]) -> _core.KeyRing:
    """HS256 keys by kid, with the times in which they are in force."""
    return _core.KeyRing([(kid, hs256(secret), *(window[0] if window else ALWAYS)) for kid, secret, *window in keys])


def holder(keys: _core.KeyRing | None, own: _core.SecretKey | None = None) -> _core.Credential:
    return _core.Credential(_core.Consumer(b"john", chain()), b"john-key", b"c", secret=own, ring=keys)


def judge(*credentials: _core.Credential) -> Judge:
    return Judge(64, snapshot(credentials))


def test_the_kid_chooses() -> None:
    one = judge(holder(ring((b"a", A), (b"b", B))))
    for _ in range(2):  # verified, and remembered
        assert one.ask(signed(A, "a")).reason == GOOD
        assert one.ask(signed(B, "b")) == (GOOD, "john", "c")
    assert one.ask(signed(A, "b")).reason == "jwt.bad_signature"
    assert one.ask(signed(A, "c")).reason == "jwt.unknown_kid"
    assert one.ask(signed(A, "")).reason == "jwt.unknown_kid"
    assert one.ask(signed(A, "a\0")).reason == "jwt.unknown_kid"
    assert one.ask(signed(A, "A")).reason == "jwt.unknown_kid"
    assert one.ask(signed(A)).reason == "jwt.kid_missing"


def test_a_token_without_a_kid_gets_the_key_that_is_there_without_choice() -> None:
    alone = judge(holder(ring((b"a", A))))
    assert alone.ask(signed(A)).reason == GOOD
    assert alone.ask(signed(B)).reason == "jwt.bad_signature"
    beside = judge(holder(ring((b"a", A), (b"b", B)), hs256(OWN)))
    assert beside.ask(signed(OWN)).reason == GOOD
    assert beside.ask(signed(A)).reason == "jwt.bad_signature"
    assert beside.ask(signed(OWN, "a")).reason == "jwt.bad_signature"
    assert beside.ask(signed(OWN, "own")).reason == "jwt.unknown_kid"
    assert beside.ask(signed(B, "b")).reason == GOOD


def test_without_a_ring_the_kid_means_nothing() -> None:
    one = judge(holder(None, hs256(OWN)))
    for kid in (None, "a", "x" * 1000):
        assert one.ask(signed(OWN, kid)).reason == GOOD


def test_a_credential_without_any_key_refuses() -> None:
    for keys in (None, ring()):
        one = judge(holder(keys))
        assert one.ask(signed(A)).reason == "jwt.kid_missing"
        assert one.ask(signed(A, "a")).reason == "jwt.unknown_kid"


def test_kids_are_compared_by_their_bytes_after_unescaping() -> None:
    one = judge(holder(ring(("é/\n".encode(), A), (b"b", B))))
    for header in (rb'{"alg":"HS256","kid":"\u00e9\/\n"}', '{"alg":"HS256","\\u006bid":"é/\\u000a"}'.encode()):
        assert one.ask(_resigned(header, signed(A).split(b".")[1], A)).reason == GOOD
    decomposed = '{"alg":"HS256","kid":"e\u0301/\\n"}'.encode()
    assert one.ask(_resigned(decomposed, signed(A).split(b".")[1], A)).reason == "jwt.unknown_kid"
    for value in (b"1", b"null", b"true", b'["b"]', b'{"b":1}'):
        header = b'{"alg":"HS256","kid":%b}' % value
        assert one.ask(_resigned(header, signed(B).split(b".")[1], B)).reason == "jwt.bad_header"
    twice = b'{"alg":"HS256","kid":"b","kid":"b"}'
    assert one.ask(_resigned(twice, signed(B).split(b".")[1], B)).reason == "jwt.bad_header"


def test_the_longest_kid_and_one_byte_more() -> None:
    longest = b"k" * 256
    one = judge(holder(ring((longest, A), (b"b", B))))
    assert one.ask(signed(A, longest.decode())).reason == GOOD
    assert one.ask(signed(A, longest.decode() + "k")).reason == "jwt.unknown_kid"
    for kid in (b"", longest + b"k"):
        with pytest.raises(ValueError, match="kid: expected 1 to 256 bytes"):
            ring((kid, A))
    with pytest.raises(ValueError, match="expected each kid once"):
        ring((b"a", A), (b"a", B))
    with pytest.raises(TypeError, match="found None"):
        _core.KeyRing([(b"a", None, None, None)])  # type: ignore[list-item]
    assert len(ring(*((b"%d" % i, A) for i in range(64)))) == 64
    with pytest.raises(ValueError, match="expected at most 64, found 65"):
        ring(*((b"%d" % i, A) for i in range(65)))


def test_the_algorithm_is_the_keys_own() -> None:
    asked: list[int] = []
    keys = [(b"hs", hs256(A), None, None), (b"hs512", _core.SecretKey("HS512", B), None, None)]
    keys += [(name.encode(), public_secret(name, asked), None, None) for name in ("RS256", "ES256", "EdDSA")]
    one = judge(holder(_core.KeyRing(keys)))
    for name in ("RS256", "ES256", "EdDSA"):
        good = jwt.encode({"key": "john-key"}, PRIVATE[name], name, headers={"kid": name}).encode()
        for _ in range(2):
            assert one.ask(good).reason == GOOD
    assert len(asked) == 3
    assert one.ask(signed(B, "hs512", "HS512")).reason == GOOD
    assert one.ask(signed(B, "hs512", "HS256")).reason == "jwt.bad_alg"
    assert one.ask(signed(A, "hs", "HS512")).reason == "jwt.bad_alg"
    assert one.ask(signed(A, "RS256")).reason == "jwt.bad_alg"
    assert len(asked) == 3


def test_the_time_of_a_key_is_judged_at_each_use() -> None:
    one = judge(holder(ring((b"a", A, (NOW, NOW + 10)), (b"b", B, (None, NOW + 20)))))
    for now, a, b in (
        (NOW - 1, "jwt.key_not_in_force", GOOD),
        (NOW, GOOD, GOOD),
        (NOW + 9, GOOD, GOOD),
        (NOW + 10, "jwt.key_not_in_force", GOOD),
        (NOW + 19, "jwt.key_not_in_force", GOOD),
        (NOW + 20, "jwt.key_not_in_force", "jwt.key_not_in_force"),
        (NOW + 5, GOOD, GOOD),  # a clock that was set back
    ):
        for _ in range(2):
            assert (one.at(now).ask(signed(A, "a")).reason, one.ask(signed(B, "b")).reason) == (a, b), now


def test_a_replaced_ring_is_in_force_at_once() -> None:
    one = judge(holder(ring((b"a", A))))
    old, new = signed(A, "a"), signed(B, "b")
    assert [one.hit(old), one.hit(old)] == [False, True]
    one.install(snapshot([holder(ring((b"a", A), (b"b", B)))]))
    assert (one.ask(old).reason, one.ask(new).reason) == (GOOD, GOOD)
    assert [one.hit(old), one.hit(new)] == [True, True]
    one.install(snapshot([holder(ring((b"b", B)))]))
    assert (one.ask(old).reason, one.ask(new).reason) == ("jwt.unknown_kid", GOOD)
    one.install(snapshot([holder(ring((b"a", B), (b"b", A)))]))
    assert (one.ask(old).reason, one.ask(new).reason) == ("jwt.bad_signature", "jwt.bad_signature")
    one.install(snapshot([holder(None)]))
    assert (one.ask(old).reason, one.ask(new).reason) == ("jwt.unknown_kid", "jwt.unknown_kid")


def test_keys_that_a_new_ring_calls_by_other_names_are_not_taken_for_the_old_ones() -> None:
    a, b = hs256(A), hs256(B)
    one = judge(holder(_core.KeyRing([(b"a", a, None, None)])))
    bare = signed(A)
    assert [one.hit(bare), one.hit(bare), one.ask(bare).reason] == [False, True, GOOD]
    one.install(snapshot([holder(_core.KeyRing([(b"a", a, None, None), (b"b", b, None, None)]))]))
    assert one.ask(bare).reason == "jwt.kid_missing"  # the same keys, but now there is a choice
    named = signed(A, "a")
    assert [one.hit(named), one.hit(named)] == [False, True]
    one.install(snapshot([holder(_core.KeyRing([(b"b", a, None, None), (b"a", b, None, None)]))]))
    assert one.ask(named).reason == "jwt.bad_signature"


def test_a_credential_that_changes_hands_from_ring_to_key_and_back() -> None:
    key = hs256(A)
    one = judge(holder(None, key))
    named = signed(A, "a")
    assert [one.hit(named), one.hit(named)] == [False, True]
    one.install(snapshot([holder(_core.KeyRing([(b"b", hs256(B), None, None)]), hs256(OWN))]))
    assert one.ask(named).reason == "jwt.unknown_kid"
    one.install(snapshot([credential(key)]))
    assert one.ask(named).reason == GOOD


def model(keys: dict[bytes, bytes], own: bytes | None, kid: str | None, secret: bytes) -> str:
    """What a credential of these keys says of a token that names this kid and was signed by this secret."""
    if kid is not None:
        if kid.encode() not in keys:
            return "jwt.unknown_kid"
        chosen = keys[kid.encode()]
    elif own is not None:
        chosen = own
    elif len(keys) == 1:
        (chosen,) = keys.values()
    else:
        return "jwt.kid_missing"
    return GOOD if chosen == secret else "jwt.bad_signature"


@settings(max_examples=60)
@given(st.integers())
def test_rings_at_random_say_what_the_model_says_with_a_cache_and_without(seed: int) -> None:
    chance = random.Random(seed)
    kids = ["a", "b", "c", "é", "\U0001f600"]
    judges = [Judge(entries, snapshot([holder(ring())])) for entries in (0, 64)]
    keys: dict[bytes, bytes] = {}
    own: bytes | None = None
    for _ in range(60):
        change = chance.random()
        if change < 0.2:
            keys = {kid.encode(): chance.choice([A, B]) for kid in chance.sample(kids, chance.randrange(len(kids) + 1))}
        elif change < 0.3:
            own = chance.choice([None, A, B, OWN])
        if change < 0.3:
            new = snapshot([holder(ring(*keys.items()), None if own is None else hs256(own))])
            for one in judges:
                one.install(new)
        kid, secret = chance.choice([None, *kids]), chance.choice([A, B, OWN])
        expected = model(keys, own, kid, secret) if keys or own or kid else "jwt.kid_missing"
        assert [one.ask(signed(secret, kid)).reason for one in judges] == [expected] * 2
