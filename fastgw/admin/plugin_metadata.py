"""Where plugin metadata differs: its id is a plugin's name, and it carries no time stamps.

Owns: those rules. Must not know: what a plugin does with its metadata.
"""

from fastgw.admin import validate
from fastgw.admin.envelope import Failure
from fastgw.admin.resource import Call, Object, Resource
from fastgw.plugins import order

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
