"""A revocation: tokens and credentials that are accepted no longer, although nothing else is wrong with them.

Owns its fields. Must not know what a token is, nor how a request is told that it is revoked.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any

from msgspec import Meta

from fastgw.errors import Fault
from fastgw.schema.base import Described, whole
from fastgw.schema.rules import any_of, at_most_one

__all__ = ["Revocation"]

Subject = Annotated[str, Meta(min_length=1, max_length=1024)]
CredentialName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=321,
        pattern=whole(r"^[a-zA-Z0-9_\-]+(?:/[a-zA-Z0-9-_.]+)?$"),
        title="'<consumer>/<credential id>', or '<consumer>' for what stands in the consumer itself",
    ),
]
Moment = Annotated[int, Meta(ge=0, le=2**53)]


class Revocation(Described, frozen=True, kw_only=True):
    """What is accepted no longer. Without a jti, sub or credential: every token that was issued before a time.

    jti: tokens with this claim
    sub: tokens with this claim
    credential: what proves itself by this credential: <consumer>/<credential id>, or <consumer> for what stands in the consumer
    issued_before: of these, only tokens whose claim iat is earlier or missing; seconds since 1970
    expires: from then on it counts no more, and goes by itself; seconds since 1970
    """

    jti: Subject | None = None
    sub: Subject | None = None
    credential: CredentialName | None = None
    issued_before: Moment | None = None
    expires: Moment | None = None

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """One thing at a time is revoked."""
        yield from at_most_one(present, "jti", "sub", "credential")
        yield from any_of(present, "jti", "sub", "credential", "issued_before")
