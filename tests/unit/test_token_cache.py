"""The token cache: what is remembered, for how long, and that no answer differs for it.

Owns: its lawful side, rule by rule; test_token_cache_hostile has the other, test_token_cache_model both at random.
"""

import asyncio
import json
import os
from typing import Any

import jwt
import pytest

from fastgw import _core
from tests.support.core import OK, chain, upstream
from tests.support.judge import (
    GOOD,
    JOHN,
    NOW,
    OTHER,
    PRIVATE,
    SECRET,
    Verdict,
    credential,
    hs256,
    judge,
    public_secret,
    snapshot,
    token,
)

ENTRIES = 64


# -- what a hit spares -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRIVATE)
def test_a_hit_never_enters_the_interpreter(name: str) -> None:
    asked: list[int] = []
    text = token(name, exp=NOW + 60)
    one = judge(credential(public_secret(name, asked)))
    assert [one.ask(text) for _ in range(5)] == [JOHN] * 5
    assert (len(asked), one.counts()) == (1, (4, 1))
    assert one.at(NOW + 60).ask(text) == Verdict("jwt.expired")
    assert (len(asked), one.counts()) == (1, (5, 1))


def test_without_entries_nothing_is_remembered_nor_counted() -> None:
    asked: list[int] = []
    text = token("EdDSA")
    one = judge(credential(public_secret("EdDSA", asked)), entries=0)
    assert [one.ask(text) for _ in range(3)] == [JOHN] * 3
    assert (len(asked), one.counts()) == (3, (0, 0))


def test_the_place_it_came_from_does_not_matter() -> None:
    one, text = judge(), token()
    requests = [
        b"GET /0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n\r\n",
        b"GET /0 HTTP/1.1\r\nHost: x\r\nAuthorization: %b\r\n\r\n",
        b"GET /0?a=b&jwt=%b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /0 HTTP/1.1\r\nHost: x\r\nCookie: a=b; jwt=%b\r\n\r\n",
    ]
    assert [one.send(request % text) for request in requests] == [JOHN] * 4
    assert one.counts() == (3, 1)


def test_the_upstream_cannot_tell_a_hit() -> None:
    """Identity headers and hidden tokens are the same, wherever the token stood."""
    hiding = _core.Plan(b"r", chain(_core.JwtAuthStep(hide_credentials=True)), upstream())
    places = [
        b"GET /a?x=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n\r\n",
        b"GET /a?x=1&jwt=%b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /a?x=1 HTTP/1.1\r\nHost: x\r\nCookie: a=b; jwt=%b\r\n\r\n",
    ]
    for place in places:
        region = _core.Region.create(1024)
        config = _core.Snapshot([(hiding, b"", b"/*")], {"jwt": [credential(hs256())]}, chain())
        wire = _core.Wire(config, region=region, token_cache=ENTRIES)
        client, sent = wire.open(), []
        for _ in range(2):
            wire.push(client, place % token())
            sent.append(wire.pull(1))
            wire.push(1, OK)
        assert b"X-Consumer-Username: john\r\n" in sent[0]
        assert token() not in sent[0]
        assert sent[0] == sent[1]
        assert region.metrics()["token_cache_hits"] == 1


# -- time ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leeway", [0, 1, 3600, 2**62])
@pytest.mark.parametrize(
    "claims",
    [
        {"exp": NOW + 3},
        {"exp": NOW + 2.5},
        {"nbf": NOW - 2},
        {"nbf": NOW - 2.5},
        {"nbf": NOW - 2, "exp": NOW + 2},
        {"exp": 2**53},
        {"nbf": -(2**53), "exp": 2**53 - 0.5},
        {},
    ],
    ids=str,
)
def test_every_second_is_judged_as_without(claims: dict[str, float], leeway: int) -> None:
    text = token(**claims)
    john = credential(hs256(), leeway=leeway)
    warm, cold = judge(john), judge(john, entries=0)
    assert warm.ask(text) == JOHN
    seconds = [edge + side * slack + step for edge in (NOW, NOW + 3, NOW - 2) for side in (-1, 1)
               for slack in (0, min(leeway, 2**40)) for step in range(-3, 4)]  # fmt: skip
    extremes = [0, -1, 2**31, 2**32, 2**33, 2**53, -(2**53), 2**62, -(2**62)]
    for now in seconds + extremes:  # the clock may also be set back
        assert warm.at(now).ask(text) == cold.at(now).ask(text), now
    assert warm.counts() == (len(seconds + extremes), 1)


def test_a_token_that_is_not_yet_or_no_longer_good_is_not_remembered() -> None:
    one = judge()
    for text, reason in [(token(nbf=NOW + 5), "jwt.not_yet"), (token(exp=NOW), "jwt.expired"), (token(exp="x"), "jwt.bad_claim")]:
        assert [one.ask(text).reason, one.ask(text).reason] == [reason, reason]
    assert one.counts() == (0, 6)
    assert one.at(NOW + 5).ask(token(nbf=NOW + 5)) == JOHN


# -- what the route demands ------------------------------------------------------------------------


def test_each_route_judges_by_its_own_claims() -> None:
    steps = [
        _core.JwtAuthStep(),
        _core.JwtAuthStep(claims=("exp",)),
        _core.JwtAuthStep(claims=("nbf",)),
        _core.JwtAuthStep(claims=("exp", "nbf")),
    ]
    texts = [
        token(),
        token(exp=NOW + 9),
        token(nbf=NOW - 9),
        token(exp=NOW + 9, nbf=NOW - 9),
        token(exp="soon", nbf=NOW - 9),  # good where exp is not looked at
        token(exp=NOW - 9, nbf=NOW - 9),
    ]
    warm, cold = judge(steps=steps), judge(entries=0, steps=steps)
    for first in range(len(steps)):  # whichever route let it in
        for text in texts:
            for route in (first, *range(len(steps))):
                assert warm.ask(text, route) == cold.ask(text, route), (text, route)
    assert warm.counts()[0] > warm.counts()[1]


def test_a_route_with_another_key_claim_remembers_for_itself() -> None:
    """One token, whose two claims name two consumers with one secret: it is each one's where that claim counts."""
    secret = hs256()
    people = credential(secret), credential(secret, b"jane-key", name=b"jane")
    one = judge(*people, steps=[_core.JwtAuthStep(), _core.JwtAuthStep(key_claim="sub"), _core.JwtAuthStep(key_claim="no")])
    text = token(sub="jane-key")
    for _ in range(3):
        assert one.ask(text, 0) == JOHN
        assert one.ask(text, 1) == Verdict(GOOD, "jane", "of-jane-key")
        assert one.ask(text, 2) == Verdict("jwt.no_key_claim")
    assert one.counts() == (4, 5)


def test_name_and_token_are_not_run_together() -> None:
    """The bytes of two entries are the same in a row; where the name ends is part of what is compared."""
    text = token(k="john-key")
    one = judge(steps=[_core.JwtAuthStep(key_claim="k"), _core.JwtAuthStep(key_claim="k" + text.decode()[:1])])
    assert one.ask(text, 0) == JOHN
    assert one.ask(text[1:], 1).reason != GOOD


# -- the configuration changes ---------------------------------------------------------------------


def test_another_secret_under_the_same_key() -> None:
    one, text = judge(), token()
    assert one.ask(text) == JOHN
    one.install(snapshot([credential(hs256(OTHER))]))
    assert [one.ask(text).reason for _ in range(2)] == ["jwt.bad_signature"] * 2
    assert one.ask(token(OTHER)) == JOHN
    one.install(snapshot([credential(hs256())]))
    assert one.ask(text) == JOHN
    assert one.ask(token(OTHER)).reason == "jwt.bad_signature"


def test_a_deleted_credential_and_one_made_anew() -> None:
    one, text = judge(), token()
    assert one.ask(text) == JOHN
    one.install(snapshot([]))
    assert [one.ask(text).reason for _ in range(2)] == ["jwt.unknown_key"] * 2
    one.install(snapshot([credential(hs256(), name=b"jack")]))
    assert one.ask(text) == Verdict(GOOD, "jack", "of-john-key")
    assert one.counts() == (0, 4)


def test_a_key_that_moves_to_another_consumer() -> None:
    """Also with the very same SecretKey: what is remembered is that the signature is good, not whose it is."""
    secret = hs256()
    one, text = judge(credential(secret)), token()
    assert one.ask(text) == JOHN
    one.install(snapshot([credential(secret, name=b"jane")]))
    assert one.ask(text) == Verdict(GOOD, "jane", "of-john-key")
    one.install(snapshot([credential(secret, b"jane-key", name=b"jane")]))
    assert one.ask(text) == Verdict("jwt.unknown_key")


def test_another_algorithm_under_the_same_key() -> None:
    one, text = judge(), token()
    assert one.ask(text) == JOHN
    one.install(snapshot([credential(_core.SecretKey("HS384", secret=SECRET))]))
    assert one.ask(text) == Verdict("jwt.bad_alg")


def test_another_leeway_counts_at_once() -> None:
    secret, text = hs256(), token(exp=NOW + 1)
    one = judge(credential(secret))
    assert one.ask(text) == JOHN
    assert one.at(NOW + 5).ask(text).reason == "jwt.expired"
    one.install(snapshot([credential(secret, leeway=10)]))
    assert one.ask(text) == JOHN
    one.install(snapshot([credential(secret, leeway=1)]))
    assert one.ask(text).reason == "jwt.expired"
    assert one.counts() == (3, 1)


def test_a_change_elsewhere_keeps_what_is_remembered() -> None:
    john = credential(hs256())
    one = judge(john)
    one.ask(token())
    one.install(snapshot([john, credential(hs256(OTHER), b"jane-key", name=b"jane")]))
    assert one.hit(token())


def test_a_secret_at_the_address_of_one_that_is_gone() -> None:
    """Addresses come back after a free; an entry must not take the new secret for the old one."""
    one = judge(credential(hs256()))
    one.ask(token())
    came_back = 0
    for number in range(50):
        old = hs256()
        address = id(old)
        one.install(snapshot([credential(old)]))
        del old
        assert one.ask(token()) == JOHN
        one.install(snapshot([]))
        several = [hs256(OTHER) for _ in range(8)]  # other objects of its size may have been freed after it
        new = next((each for each in several if id(each) == address), several[0])
        came_back += id(new) == address
        one.install(snapshot([credential(new)]))
        assert one.ask(token()) == Verdict("jwt.bad_signature"), number
    assert came_back or os.environ.get("PYTHONMALLOC") == "malloc"  # the sanitizer holds freed memory back


def test_a_request_that_began_before_a_change_ends_on_what_it_began_with() -> None:
    """It waits before jwt-auth while the secret changes: it is judged by the old one, and teaches nobody about the new."""

    async def play() -> None:
        gate = asyncio.Event()

        async def wait(conf: Any, request: _core.Request) -> None:
            if request.arg("wait") is not None:
                await gate.wait()

        def config(secret: bytes) -> _core.Snapshot:
            steps = chain(_core.PythonStep("wait", "rewrite", wait, None), _core.JwtAuthStep())
            return _core.Snapshot([(_core.Plan(b"r", steps), b"", b"/*")], {"jwt": [credential(hs256(secret))]}, chain())

        wire = _core.Wire(config(SECRET), loop=asyncio.get_running_loop(), token_cache=ENTRIES)
        old, new = wire.open(), wire.open()

        async def ask(line: int, path: bytes, text: bytes) -> bytes:
            wire.push(line, b"GET /%b HTTP/1.1\r\nHost: x\r\nAuthorization: %b\r\n\r\n" % (path, text))
            for _ in range(5):
                await asyncio.sleep(0)
            return wire.pull(line)[9:12]

        assert await ask(old, b"", token()) == b"503"
        assert await ask(old, b"?wait=1", token()) == b""
        wire.install(config(OTHER))
        assert await ask(new, b"", token()) == b"401"
        assert await ask(new, b"", token(OTHER)) == b"503"
        gate.set()
        for _ in range(5):
            await asyncio.sleep(0)
        assert wire.pull(old)[9:12] == b"503"
        assert await ask(new, b"", token()) == b"401"
        assert await ask(new, b"", token(OTHER)) == b"503"

    asyncio.run(play())


# -- room ------------------------------------------------------------------------------------------


def test_the_one_used_longest_ago_gives_way() -> None:
    one = judge(entries=4)
    texts = [token(jti=i) for i in range(5)]
    for i in (0, 1, 2, 3, 1, 0, 3, 3, 1):
        one.ask(texts[i])
    one.ask(texts[4])  # 2 was used longest ago
    assert [one.hit(texts[i]) for i in (0, 1, 3, 4)] == [True] * 4
    assert not one.hit(texts[2])  # and now 0 gave way to it
    assert [one.hit(texts[i]) for i in (1, 3, 4, 2)] == [True] * 4


def test_an_expired_one_gives_way_first() -> None:
    one = judge(credential(hs256(), leeway=5), entries=4)
    short = token(exp=NOW + 1)
    rest = [token(jti=0), token(exp=NOW + 2), token(exp=2**53)]
    for text in (rest[0], short, *rest[1:]):
        one.ask(text)
    one.at(NOW + 6).ask(token(jti=1))  # not the one used longest ago, nor the one that only leeway keeps
    assert all(one.hit(text) for text in rest)
    assert one.ask(short).reason == "jwt.expired"


def test_many_tokens_in_few_entries() -> None:
    """Far more tokens than room, each used several times: only the counts may tell."""
    one = judge(entries=30)  # made 32
    texts = [token(jti=i) for i in range(300)]
    for i in range(3000):
        assert one.ask(texts[i * i % 300]) == JOHN
    hits, misses = one.counts()
    assert hits + misses == 3000
    assert hits > 100
    assert misses >= len({i * i % 300 for i in range(3000)})


def test_settings_that_cannot_be() -> None:
    for entries in (-1, 2**32):
        with pytest.raises(OverflowError):
            _core.Wire(token_cache=entries)


def test_the_bench_hook_hits() -> None:
    text = token(exp=2**40)
    assert json.loads(jwt.utils.base64url_decode(text.split(b".")[1]))["key"] == "john-key"
    _, share = _core._bench_token_cache(snapshot([credential(hs256())]), [text], 16, 1000)
    assert share == 1.0
    with pytest.raises(ValueError, match=r"tokens\[0\]: expected a lawful one"):
        _core._bench_token_cache(snapshot([]), [b"x"], 16, 1)
