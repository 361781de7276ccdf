"""A request that somebody asks about: what may be said of it, and the bytes that it would be.

Owns: its members and their defaults, the request head made of them. Must not know: what becomes of it.
"""

import ipaddress
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Final

from msgspec import Meta

from fastgw.errors import Fault, Path
from fastgw.schema.base import HeaderName, Schema, secret, whole

__all__ = ["Question"]

# Members of a head that frame a body or are of one connection: what is asked about has neither.
LEFT_OUT: Final = frozenset(
    {"connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)

# A target and fields may carry a token: they are repeated in no fault.
Target = Annotated[
    str, Meta(min_length=1, max_length=65536, pattern=whole(r"^/[\x21-\x7E]*$"), title="a path, with its query if any"), secret
]
FieldValue = Annotated[str, Meta(max_length=65536, pattern=whole(r"^[\x20-\x7E]*$"), title="printable ASCII"), secret]


class Question(Schema, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request to explain.

    method: its method
    host: host or host:port, as in Host
    uri: its path, and its query behind '?'
    headers: its header fields
    remote_addr: the address it comes from
    """

    method: Annotated[str, Meta(pattern=whole(r"^[A-Z-]{1,32}$"), title="a method in capital letters")] = "GET"
    host: Annotated[str, Meta(max_length=256, pattern=whole(r"^[\x21-\x7E]*$"), title="host or host:port")] = "127.0.0.1"
    uri: Target
    headers: dict[HeaderName, FieldValue] = {}
    remote_addr: str = "127.0.0.1"

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """A client has one address, not a range of them."""
        try:
            ipaddress.ip_address(good.get("remote_addr", "127.0.0.1"))
        except ValueError:
            yield Fault(Path(("remote_addr",)), "expected an IPv4 or IPv6 address", "format")

    @property
    def path(self) -> str:
        """The target but for its query, which may hold a token."""
        return self.uri.partition("?")[0]

    def head(self) -> bytes:
        """As a client would send it."""
        fields = [f"{name}: {value}" for name, value in self.headers.items() if name.lower() not in LEFT_OUT]
        return "\r\n".join((f"{self.method} {self.uri} HTTP/1.1", f"Host: {self.host}", *fields, "", "")).encode()
