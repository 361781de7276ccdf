"""Where plugin metadata differs: its id is a plugin's name, and answers hold nothing but what was sent.

Owns: those rules. Must not know: what a plugin does with its metadata. Tools compare these answers as a whole with
what they would send, so that an `id` would be a difference each time.
"""

from fastgw.admin import validate
from fastgw.admin.envelope import Failure
from fastgw.admin.resource import Call, Object, Resource
from fastgw.plugins import order
from fastgw.store import Row

__all__ = ["PluginMetadata"]


class PluginMetadata(Resource):
    """Settings of a plugin as a whole, wherever it is used."""

    def settle(self, call: Call, value: Object, *, patched: bool = False) -> tuple[str, Object]:
        name = call.id if call.id is not None else value.get("id")
        if not name:
            raise Failure(400, "missing plugin name")
        if order.get(name) is None:
            raise Failure(400, "invalid plugin name")
        value = {**value, "id": name}
        validate.check(self.kind, value)
        return str(name), value

    def shown(self, row: Row, call: Call) -> Row:
        row = super().shown(row, call)
        return row._replace(value={name: member for name, member in row.value.items() if name != "id"})
