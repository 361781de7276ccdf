"""JSON Web Tokens verified (RFC 7515, RFC 7519, RFC 8725), for programs of your own.

Owns: the shape of a verifier as they make one. The checks, their order and their names are native (native/jwt_verifier).
"""

from collections.abc import Collection, Mapping, Sequence

from fastgw import _core
from fastgw.core.revocations import Revocations
from fastgw.core.signatures import Key

__all__ = ["JWTVerifier"]

_MOST_BYTES = 8192


class JWTVerifier(_core.TokenVerifier):
    """Verifies tokens in compact form: `verify(token, now=None)` gives the claims of a good one as a dict, else raises a
    TokenError whose `reason` is one of those in docs/embedding.md. Immutable; for any number of threads.

    keys: one Key, by which every token is judged whatever it says of keys; or Keys by the names that tokens call them by
    key_claim: the name of the claim in which a token names its key; None: it does so in `kid` of its header
    leeway: seconds of grace for `exp`, `nbf`, `iat`
    required: claims that must be there; `exp` and `nbf` are judged whenever they are
    issuers: values of `iss` that are admitted; None: any, or none
    audiences: values of `aud`, one of which must be among the token's; None: any, or none
    max_age: seconds since `iat`, which then must be there; None: any
    max_bytes: longer tokens are refused unread; at most 32768
    revocations: where it stands what is revoked; None: nothing is
    ValueError, TypeError: name the argument that is wrong.

    >>> JWTVerifier(Key("HS256", b"a secret of thirty-two bytes ....")).verify("no.token")
    Traceback (most recent call last):
    fastgw._core.MalformedTokenError: jwt.malformed
    """

    def __init__(
        self,
        keys: Key | Mapping[str, Key],
        *,
        key_claim: str | None = None,
        leeway: int = 0,
        required: Collection[str] = (),
        issuers: Sequence[str] | None = None,
        audiences: Sequence[str] | None = None,
        max_age: int | None = None,
        max_bytes: int = _MOST_BYTES,
        revocations: Revocations | None = None,
    ) -> None:
        for name, values in (("required", required), ("issuers", issuers), ("audiences", audiences)):
            if isinstance(values, str):
                raise TypeError(f"{name}: expected several strings, found one")
            if values is not None and name != "required" and not values:
                raise ValueError(f"{name}: expected at least one, found none")
        if max_age is not None and max_age < 1:
            raise ValueError(f"max_age: expected at least 1 second, found {max_age}")
        named = {} if isinstance(keys, Key) else {name: key.native for name, key in keys.items()}
        rules = None
        if issuers is not None or audiences is not None or max_age is not None:
            rules = _core.JwtClaims(issuers=issuers, audiences=audiences, max_age=max_age or 0)
        super().__init__(
            {None: keys.native} if isinstance(keys, Key) else named,
            claim=key_claim,
            required=required,
            leeway=leeway,
            rules=rules,
            max_bytes=max_bytes,
            region=None if revocations is None else revocations.table.region,
        )
