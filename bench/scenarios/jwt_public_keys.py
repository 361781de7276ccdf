"""Tokens signed by private keys: verified each time (cold), and remembered. Only peers that know the algorithm take part.

Cold is many tokens in rotation: of one that many requests bear at once a slow signature is verified once.
"""

from __future__ import annotations

from dataclasses import replace

from bench.keypairs import ALGORITHMS
from bench.peers.base import Job
from bench.requests import Asking
from bench.scenarios.base import WITH_GATEWAYS, Entry, Scenario, at_most, entries
from bench.scenarios.jwt_limit_cached import REMEMBERING
from bench.tokens import LIMITED, ORDINARY, Consumer, good

PEERS = {  # besides fastgw; HAProxy 2.6 knows no EdDSA
    "RS256": "nginx-plain haproxy-jwt envoy-jwt",
    "ES256": "nginx-plain haproxy-jwt envoy-jwt",
    "EdDSA": "nginx-plain envoy-jwt",
}
COLD = 1024  # tokens in rotation: no two of 64 requests at once bear the same
TOLD = {"RS256": "RS256 (2,048 bits)", "ES256": "ES256 (P-256)", "EdDSA": "EdDSA (Ed25519)"}


def signing(consumer: Consumer, algorithm: str) -> Consumer:
    """The same consumer with a key pair instead of its secret."""
    return replace(consumer, algorithm=algorithm)


def job(usual: Job, algorithm: str) -> Job:
    return replace(usual, consumers=tuple(signing(one, algorithm) for one in (ORDINARY, LIMITED)))


def asking(algorithm: str, tokens: int = 1) -> Asking:
    return Asking(tokens=lambda: [good(signing(ORDINARY, algorithm), jti=f"{n:04}") for n in range(tokens)])


def cold(algorithm: str) -> Scenario:
    peers = PEERS[algorithm]
    others = [name for name in peers.split() if name != "nginx-plain"]
    return Scenario(
        name=f"jwt-{algorithm.lower()}",
        about=f"as jwt-limit, with {COLD:,} tokens of {TOLD[algorithm]} in rotation, verified each time",
        entries=entries(f"fastgw {peers}", job(WITH_GATEWAYS, algorithm), asking(algorithm, COLD)),
        targets=tuple(at_most(name, None) for name in ("nginx-plain", *others)),
    )


def remembered(algorithm: str) -> Scenario:
    asks = asking(algorithm)
    usual = job(WITH_GATEWAYS, algorithm)
    return Scenario(
        name=f"jwt-{algorithm.lower()}-cached",
        about=f"as jwt-{algorithm.lower()}, of one token, fastgw and Envoy remembering it; fastgw-uncached: not",
        entries=(
            Entry("fastgw", "fastgw", job(REMEMBERING, algorithm), asks),
            Entry("fastgw-uncached", "fastgw", usual, asks),
            *entries("nginx-plain envoy-jwt-cached", usual, asks),
        ),
        targets=(at_most("nginx-plain", 1.00), at_most("fastgw-uncached", None)),
    )


SCENARIOS = tuple(make(algorithm) for algorithm in ALGORITHMS for make in (cold, remembered))
