"""The shape of every kind of object as JSON Schema, and whether a value has it.

Owns: the answers below `schema`. Must not know: other objects, the store; plugins' configurations are not looked at
here, as in APISIX.
"""

from typing import Any, Final

from fastgw.admin import envelope, messages
from fastgw.admin.envelope import Failure, Reply, error
from fastgw.admin.plugins import plugin_schema
from fastgw.admin.resource import MISSING, Call
from fastgw.schema.decode import faults_of
from fastgw.schema.document import struct_schema
from fastgw.schema.env import resolve_object
from fastgw.schema.kinds import KINDS, Kind
from fastgw.store import Store

__all__ = ["BY_NAME", "Schemas", "kind_schema", "kind_schemas"]

BY_NAME: Final = {kind.singular.replace(" ", "_"): kind for kind in KINDS.values()}


class Schemas:
    """Below /apisix/admin/schema."""

    def answer(self, store: Store, call: Call) -> Reply:
        if call.id == "validate":
            return _validate(call)
        if call.method != "GET":
            return error(404, "not found")
        if call.id == "plugins" and len(call.sub) == 1:
            return plugin_schema(call.sub[0], call.query)
        if call.id not in BY_NAME or call.sub:
            raise Failure(400, f"not found schema: {'/'.join([call.id or '', *call.sub])}")
        return envelope.document(kind_schema(BY_NAME[call.id]))


def kind_schemas() -> dict[str, Any]:
    """The schemas of all kinds, by their names in the singular."""
    return {name: kind_schema(kind) for name, kind in BY_NAME.items()}


def kind_schema(kind: Kind) -> dict[str, Any]:
    """The JSON Schema of one kind."""
    if kind.types:
        return {"anyOf": [struct_schema(type_) for type_ in kind.types.values()]}
    return struct_schema(kind.type)


def _validate(call: Call) -> Reply:
    if call.method != "POST" or len(call.sub) != 1:
        return error(404, "not found")
    (name,) = call.sub
    kind = KINDS.get(name)
    if kind is None:
        return error(404, f"Unsupported resource type: {name}")
    if not isinstance(call.body, dict):
        found = "nil" if call.body is MISSING else messages.type_name(call.body)
        return error(400, f"wrong type: expected object, got {found}")
    value, unresolved = resolve_object(kind.name, call.body)
    at_fault = {fault.path for fault in unresolved}  # a reference stands for a value that is not to be judged here
    for fault in faults_of(value, kind.type_of(call.body))[1]:
        if fault.path not in at_fault:
            return error(400, messages.reason(fault, kind.name))
    return Reply(200)
