"""Types that several objects share, and the base of every Struct a user can fill in.

Owns ids, names, hosts, addresses of clients, timeouts and the like, with APISIX's limits. Must not know any
one object. Struct docstrings are an interface: lines of the form `field: text` become the descriptions in
the JSON Schema (document.py), and a test asks for one per field.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from fastgw.errors import Fault

__all__ = [
    "Address",
    "Cookie",
    "Desc",
    "DnsServer",
    "FromEnv",
    "HeaderName",
    "Host",
    "Id",
    "IpRange",
    "Labels",
    "Name",
    "Nested",
    "Object",
    "Plugins",
    "Port",
    "Positive",
    "Realm",
    "Schema",
    "Timeout",
    "Timestamp",
    "Uri",
    "unique",
    "whole",
]


def whole(regex: str) -> str:
    """The regex with `$` taken at its word: alone, `$` would also match before a final line feed."""
    return f"{regex}(?!\\n)"


unique = Meta(extra_json_schema={"uniqueItems": True})
"""Marks an array whose items must differ."""

secret = Meta(extra_json_schema={"writeOnly": True})
"""Marks a text that must never be shown, neither in a fault nor in a log."""


def text_format(name: str, title: str) -> Meta:
    """Marks a text that must pass the check of this name in formats.py."""
    return Meta(title=title, extra_json_schema={"format": name})


Text = Annotated[str, Meta(min_length=1)]
Secret = Annotated[str, Meta(min_length=1), secret]
Id = (
    Annotated[
        str,
        Meta(
            min_length=1,
            max_length=64,
            pattern=whole(r"^[a-zA-Z0-9-_.]+$"),
            title="an id of letters, digits, '-', '_' or '.'",
        ),
    ]
    | Annotated[int, Meta(ge=1)]
)
Name = Annotated[str, Meta(min_length=1, max_length=256)]
Desc = Annotated[str, Meta(max_length=256)]
LabelValue = Annotated[str, Meta(min_length=1, max_length=256, pattern=whole(r"^\S+$"), title="a value without white space")]
Labels = dict[str, LabelValue]
Host = Annotated[
    str,
    Meta(
        pattern=whole(r"^\*$|^\*?[0-9a-zA-Z-._\[\]:]+$"),
        title="a host name, with '*' as first character only",
    ),
]
IpRange = Annotated[str, text_format("ip-range", "an IPv4 or IPv6 address, or a CIDR range of them")]
Address = Annotated[str, text_format("address", "'host:port', '[ipv6]:port' or 'unix:/path'")]
DnsServer = Annotated[str, text_format("dns-server", "an IP address, with or without a port")]
HeaderName = Annotated[str, text_format("header-name", "a header name")]
Cookie = Annotated[str, text_format("header-name", "a cookie name")]
Realm = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128,
        pattern=whole(r"^[\x20-\x21\x23-\x5B\x5D-\x7E]+$"),
        title="printable ASCII without '\"' and '\\'",
    ),
]
Uri = Annotated[str, Meta(min_length=1, max_length=4096)]
Port = Annotated[int, Meta(ge=1, le=65535)]
Positive = Annotated[float, Meta(gt=0)]
Timestamp = int
Plugins = dict[str, dict[str, Any]]
Method = Literal["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE", "PURGE"]


class FromEnv(str):
    """A text that stands in the environment and not in the file: taken for a secret, never shown."""

    __slots__ = ()


class Schema(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every Struct a user can fill in. `null` is refused everywhere: optional means left out."""

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """The faults that concern several members at once, with paths relative to this object.

        `good` holds the members as written that have no fault of their own; `present` names all of them.
        """
        yield from ()


class Nested(Schema, frozen=True, kw_only=True):
    """An object inside another: unknown members pass, as in APISIX."""


class Object(Schema, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole APISIX object: unknown members are faults.

    id: its identity among the objects of its kind; text or a whole number from 1
    create_time: seconds since 1970 when it was first written, kept by the Admin API
    update_time: seconds since 1970 when it was last written, kept by the Admin API
    """

    id: Id | None = None
    create_time: Timestamp | None = None
    update_time: Timestamp | None = None


class Described(Object, frozen=True, kw_only=True):
    """A whole object that people can name and label.

    name: a name for people
    desc: a text for people
    labels: names and values to find it by
    """

    name: Name | None = None
    desc: Desc | None = None
    labels: Labels | None = None


class Timeout(Nested, frozen=True, kw_only=True):
    """How long an upstream may take, in seconds.

    connect: to accept a connection
    send: between two successful writes of the request
    read: between two successful reads of the answer
    """

    connect: Positive
    send: Positive
    read: Positive
