"""The shapes of Admin answers: APISIX's envelopes around objects, and its ways to say no.

Owns: keys (`/apisix/routes/1`), envelopes, error bodies, the headers that tell a layer. Must not know:
sockets, the store's workings, which objects there are. APISIX dashboards and controllers parse these.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from fastgw.store import OWNER_OF, Row

__all__ = [
    "Failure",
    "Reply",
    "deleted",
    "document",
    "error",
    "key_of",
    "listing",
    "momentary",
    "node",
    "not_found",
    "not_modified",
    "one",
    "plain",
    "tagged",
    "written",
]

PREFIX: Final = "/apisix"
_VERSION: Final = (("X-API-VERSION", "v3"),)
_OF_THE_MOMENT: Final = (("Cache-Control", "no-store"),)


class Reply(NamedTuple):
    """One answer; revision is set by a write, and is live in every worker before the answer goes out."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/json"
    revision: int | None = None
    changes: int = 1
    """How many objects a write has changed; every worker has to compile them."""


class Failure(Exception):  # noqa: N818 (what the client is told, not what broke)
    """A request that is refused; ends a transaction without a trace."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def key_of(kind: str, id: str) -> str:
    """The object's name in APISIX's store, which its clients know objects by."""
    owner = OWNER_OF.get(kind)
    if owner is None:
        return f"{PREFIX}/{kind}/{id}"
    owner_id, _, own_id = id.partition("/")
    return f"{PREFIX}/{owner}/{owner_id}/{kind}/{own_id}"


def one(row: Row) -> Reply:
    return _json(200, node(row), _source(row))


def listing(rows: Sequence[Row], total: int) -> Reply:
    return _json(200, {"total": total, "list": [node(row) for row in rows]})


def written(row: Row, *, created: bool) -> Reply:
    body = {"key": key_of(row.kind, row.id), "value": row.value}
    return _json(201 if created else 200, body, _source(row), row.modified)


def deleted(kind: str, id: str, back: Row | None, revision: int) -> Reply:
    """`deleted` is a text in APISIX; back is the config file's object that is in force again."""
    return _json(200, {"key": key_of(kind, id), "deleted": "1"}, _source(back) if back else (), revision)


def document(body: object) -> Reply:
    """What is told of no object of the store, as a schema."""
    return _json(200, body)


def momentary(body: object) -> Reply:
    """What is true now and may be a client's secret, as the keys of limits: nothing between us and the client keeps it."""
    return _json(200, body, _OF_THE_MOMENT)


def not_found() -> Reply:
    return _json(404, {"message": "Key not found"})


def tagged(reply: Reply, tag: str) -> Reply:
    return reply._replace(headers=(*reply.headers, ("ETag", tag)))


def not_modified(reply: Reply) -> Reply:
    """The client has this reply already."""
    return Reply(304, headers=reply.headers)


def refusal(failure: Failure) -> Reply:
    """What a resource answers; `error` is for what fails before there is a resource."""
    return _json(failure.status, {"error_msg": failure.message})


def error(status: int, message: str, **more: str) -> Reply:
    return Reply(status, msgspec.json.encode({"error_msg": message, **more}) + b"\n")


def plain(status: int, text: str, *, versioned: bool = True) -> Reply:
    """A bare text, which some answers of APISIX are; there it is called JSON, which it is not."""
    return Reply(status, text.encode(), _VERSION if versioned else (), "text/plain")


def node(row: Row) -> dict[str, Any]:
    """An object as it stands in answers to GET."""
    return {
        "key": key_of(row.kind, row.id),
        "value": row.value,
        "createdIndex": row.created,
        "modifiedIndex": row.modified,
    }


def _source(row: Row) -> tuple[tuple[str, str], ...]:
    source = (("X-Fastgw-Source", row.layer),)
    return (*source, ("X-Fastgw-Overrides", "file")) if row.overrides else source


def _json(status: int, body: object, headers: tuple[tuple[str, str], ...] = (), revision: int | None = None) -> Reply:
    return Reply(status, msgspec.json.encode(body) + b"\n", _VERSION + headers, revision=revision)
