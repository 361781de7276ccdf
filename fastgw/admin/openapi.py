"""The OpenAPI document of the Admin API: GET /apisix/admin/openapi.json, and `fastgw schema --openapi`.

Owns: how the document is put together. Must not know: any one operation, kind or schema. It is made of the tables that route
and validate, so what they gain it has.
"""

from functools import cache
from typing import Any, Final

import msgspec

from fastgw import __version__
from fastgw.admin import other_operations
from fastgw.admin.component_schemas import Schemas
from fastgw.admin.envelope import Reply, error
from fastgw.admin.kinds import RESOURCES
from fastgw.admin.operations import ANSWERS, SCHEMAS, SECURITY, Json, Operation
from fastgw.admin.resource import Call
from fastgw.admin.resource_operations import operations_of
from fastgw.schema.kinds import KINDS
from fastgw.store import Store

__all__ = ["OpenApi", "document"]

BASE: Final = "/apisix/admin"
_DESCRIPTION: Final = (
    "The Admin API of fastgw speaks the dialect of Apache APISIX. When a write is answered, every worker serves it. "
    "What concerns several members of an object at once is in no schema: a value that a schema takes may still be refused."
)


class OpenApi:
    """At /apisix/admin/openapi.json."""

    def answer(self, store: Store, call: Call) -> Reply:
        if call.method != "GET" or call.id is not None:
            return error(404, "not found")
        return Reply(200, _encoded())


@cache
def _encoded() -> bytes:
    return msgspec.json.encode(document()) + b"\n"


def document() -> dict[str, Any]:
    """The whole document."""
    schemas = Schemas()
    operations: list[Operation] = []
    for resource in RESOURCES.values():
        kind = KINDS[resource.kind]
        operations += operations_of(resource, schemas.ids, schemas.given(kind), schemas.shown(kind))
    operations += other_operations.operations()
    paths: dict[str, Json] = {}
    for operation in operations:
        paths.setdefault(BASE + operation.path, {})[operation.method] = operation.told()
    kinds = [{"name": kind.name, "description": (kind.type.__doc__ or "").partition("\n\n")[0]} for kind in KINDS.values()]
    others = [{"name": name, "description": text} for name, text in other_operations.TAGS.items()]
    return {
        "openapi": "3.1.0",
        "info": {"title": "fastgw Admin API", "version": __version__, "description": _DESCRIPTION},
        "servers": [{"url": "/"}],
        "security": [{name: []} for name in SECURITY],
        "tags": [*kinds, *others],
        "paths": paths,
        "components": {"schemas": {**SCHEMAS, **schemas.all()}, "responses": ANSWERS, "securitySchemes": SECURITY},
    }
