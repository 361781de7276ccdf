"""Where consumers differ: they are known by username, and no two may share a key.

Owns: the username rules, and the one check that a key (of jwt-auth, key-auth, …) leads to one consumer,
which credentials use too. Must not know: how requests are authenticated.
"""

from typing import Final

from fastgw.admin import validate
from fastgw.admin.envelope import Failure
from fastgw.admin.resource import Call, Object, Resource, forbid_times
from fastgw.plugins import order
from fastgw.store import Row, View

__all__ = ["KEYS", "Consumers", "forbid_shared_keys"]

KEYS: Final = {plugin.name: plugin.key_field for plugin in order.SHIPPED if plugin.key_field is not None}
"""Of each auth plugin the member of a consumer's conf that a request names it by."""


class Consumers(Resource):
    """PUT takes the identity from the body; the path may repeat it."""

    def settle(self, call: Call, value: Object, *, patched: bool = False) -> tuple[str, Object]:
        if call.id is not None and call.id != value.get("username", call.id):
            raise Failure(400, "wrong username")
        forbid_times(value)
        validate.check(self.kind, value)
        return value["username"], value

    def check(self, view: View, id: str, value: Object) -> None:
        super().check(view, id, value)
        forbid_shared_keys(view, self.kind, id, value)

    def check_return(self, view: View, back: Row) -> None:
        super().check_return(view, back)
        for row in view.list("credentials", owner=back.id):
            forbid_shared_keys(view, row.kind, row.id, row.value)


def forbid_shared_keys(view: View, kind: str, id: str, value: Object) -> None:
    """No other consumer or credential may have a key of this one; runs inside the write's transaction."""
    for plugin, conf in (value.get("plugins") or {}).items():
        attribute = KEYS.get(plugin)
        if attribute is None or not isinstance(conf.get(attribute), str):
            continue
        key = conf[attribute]
        field = ("plugins", plugin, attribute)
        for row in (*view.find("consumers", field, key), *view.find("credentials", field, key)):
            if (row.kind, row.id) != (kind, id):
                raise Failure(400, f"duplicate {attribute} of plugin {plugin} found with {_holder(row)}")


def _holder(row: Row) -> str:
    if row.kind == "consumers":
        return f"consumer: {row.id}"
    owner, _, own = row.id.partition("/")
    return f"credential: {own} of consumer: {owner}"
