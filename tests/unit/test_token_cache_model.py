"""The token cache at random: with it and without, every verdict is the same, whatever happens between two requests.

Owns: random courses of requests, times and edits, played to workers with caches of several sizes, of which none is the model.
"""

import itertools
import random
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgw import _core
from tests.support.judge import NOW, OTHER, SECRET, Judge, credential, hs256, public_secret, snapshot, token

SIZES = (0, 1, 8, 64)  # entries; the first is off
KEYS = ("john-key", "jane-key")
STEPS = (
    _core.JwtAuthStep(),
    _core.JwtAuthStep(claims=("exp",)),
    _core.JwtAuthStep(claims=("nbf",)),
    _core.JwtAuthStep(key_claim="sub"),
    _core.JwtAuthStep(key_claim="sub", claims=("exp", "nbf")),
    _core.JwtAuthStep(rules=_core.JwtClaims(issuers=["a"], max_age=3)),
    _core.JwtAuthStep(rules=_core.JwtClaims(issuers=["b", "a"], headers=[(["sub"], "X-Sub")]), store=True),
)
SIGNERS: tuple[bytes | str, ...] = (SECRET, OTHER, "EdDSA")
TIMES = (None, NOW - 3, NOW - 0.5, NOW, NOW + 2.5, NOW + 5, 2**53, "soon")
DAY = 86400
REVOKED = (
    ("sub", b"john-key", None),
    ("sub", b"jane-key", NOW),
    ("jti", b"john-key", None),
    ("credential", b"john/of-jane-key", None),
    ("credential", b"john/of-john-key", NOW - 5),
    ("all", b"", NOW - 5),
)


def _tokens() -> list[bytes]:
    """Every signer with few claims, and with every pair of times once."""
    found = []
    for signer, key, sub in itertools.product(SIGNERS, KEYS, (None, *KEYS)):
        found.append(token(signer, key=key, **({} if sub is None else {"sub": sub})))
    for exp, nbf in itertools.product(TIMES, TIMES):
        claims = {name: value for name, value in (("exp", exp), ("nbf", nbf)) if value is not None}
        found.append(token(key=KEYS[0], sub=KEYS[1], **claims))
    for iss, iat in itertools.product((None, "a", "b"), TIMES):
        claims = {name: value for name, value in (("iss", iss), ("iat", iat)) if value is not None}
        found.append(token(key=KEYS[0], **claims))
    spoilt = found[0].rsplit(b".", 1)[0] + b"." + found[1].rsplit(b".", 1)[1]
    return [*found, spoilt, found[0][:-1], found[0] + b"A", b"x.y.z", b""]


TOKENS = _tokens()


@dataclass(frozen=True)
class Holder:
    """One credential as an operator sees it."""

    signer: bytes | str = SECRET
    leeway: int = 0
    name: bytes = b"john"


@dataclass
class Course:
    """The workers, and what they are configured with. SecretKeys are shared by all, and made anew when an edit says so."""

    judges: list[Judge] = field(default_factory=list)
    holders: dict[str, Holder] = field(default_factory=lambda: {"john-key": Holder(), "jane-key": Holder(OTHER, name=b"jane")})
    secrets: dict[str, tuple[bytes | str, _core.SecretKey]] = field(default_factory=dict)
    revoked: set[tuple[str, bytes, int | None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        first = self.build()
        self.judges = [Judge(size, first) for size in SIZES]

    def build(self) -> _core.Snapshot:
        credentials = []
        for key, holder in self.holders.items():
            if key not in self.secrets or self.secrets[key][0] != holder.signer:
                secret = public_secret(holder.signer, []) if isinstance(holder.signer, str) else hs256(holder.signer)
                self.secrets[key] = (holder.signer, secret)
            credentials.append(credential(self.secrets[key][1], key.encode(), holder.leeway, holder.name))
        return snapshot(credentials, STEPS)

    def install(self) -> None:
        new = self.build()
        for judge in self.judges:
            judge.install(new)

    def ask(self, text: bytes, route: int) -> None:
        found = [judge.ask(text, route) for judge in self.judges]
        assert len(set(found)) == 1, dict(zip(SIZES, found, strict=True))

    def at(self, now: int) -> None:
        for judge in self.judges:
            judge.at(now)

    def edit(self, key: str, change: tuple[str, object]) -> None:
        what, value = change
        if what == "gone":
            self.holders.pop(key, None)
            self.secrets.pop(key, None)
        elif what == "anew":
            self.secrets.pop(key, None)
            self.holders.setdefault(key, Holder())
        else:
            self.holders[key] = replace(self.holders.get(key, Holder()), **{what: value})
        self.install()

    def revoke(self, what: tuple[str, bytes, int | None]) -> None:
        """Or no longer, where it is."""
        self.revoked ^= {what}
        for judge in self.judges:
            table = _core.Revocations(judge.region)
            table.lock()
            if what in self.revoked:
                table.put(repr(what).encode(), *what)
            else:
                table.drop(repr(what).encode())
            table.unlock(1)


few = st.sampled_from(TOKENS[:8])  # so that courses come back to the same ones
ask = st.tuples(st.just(Course.ask), few | st.sampled_from(TOKENS), st.integers(0, len(STEPS) - 1))
at = st.tuples(st.just(Course.at), st.integers(NOW - 8, NOW + 8) | st.sampled_from([0, NOW + DAY, 2**53 + 1, -(2**60)]))
change = st.one_of(
    st.tuples(st.just("signer"), st.sampled_from(SIGNERS)),
    st.tuples(st.just("leeway"), st.sampled_from([0, 1, 3, DAY, 2**62])),
    st.tuples(st.just("name"), st.sampled_from([b"john", b"jane", b"jack"])),
    st.tuples(st.sampled_from(["gone", "anew"]), st.none()),
)
edit = st.tuples(st.just(Course.edit), st.sampled_from(KEYS), change)
courses = st.lists(
    st.one_of(ask, ask, ask, ask, at, edit, st.tuples(st.just(Course.revoke), st.sampled_from(REVOKED))), max_size=60
)


@settings(max_examples=300)
@given(courses)
def test_no_verdict_differs(course: list[tuple[object, ...]]) -> None:
    play = Course()
    for act, *arguments in course:
        act(play, *arguments)  # type: ignore[operator]


@pytest.mark.parametrize("seed", range(4))
def test_no_verdict_differs_on_a_long_course(seed: int) -> None:
    chance, play = random.Random(seed), Course()
    for _ in range(4000):
        act = chance.random()
        if act < 0.94:
            play.ask(chance.choice(TOKENS[:24] if act < 0.8 else TOKENS), chance.randrange(len(STEPS)))
        elif act < 0.97:
            play.at(NOW + chance.randint(-8, 8))
        elif act < 0.998:
            what = chance.choice(["signer", "leeway", "name", "gone", "anew"])
            values = {"signer": SIGNERS, "leeway": [0, 1, 3, DAY], "name": [b"john", b"jane"]}.get(what, [None])
            play.edit(chance.choice(KEYS), (what, chance.choice(values)))
        else:
            play.revoke(*play.revoked or [chance.choice(REVOKED)])  # one at a time: of many nothing would be remembered
    assert play.judges[-1].counts()[0] > 100


def test_courses_hit() -> None:
    """What the test above compares does happen: a course of its kind is answered from memory."""
    play = Course()
    for text, route in itertools.product(TOKENS * 2, range(len(STEPS))):
        play.ask(text, route)
    hits = [judge.counts()[0] for judge in play.judges]
    assert hits[0] == 0
    assert hits[-1] > hits[1] > 0
