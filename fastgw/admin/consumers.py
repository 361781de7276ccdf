"""Where consumers differ: they are known by username, and no two may share a key.

Owns: the username rules. Must not know: how requests are authenticated.
"""

from fastgw.admin import validate
from fastgw.admin.envelope import Failure
from fastgw.admin.links import forbid_shared_keys
from fastgw.admin.resource import Call, Object, Resource, forbid_times
from fastgw.store import Row, View

__all__ = ["Consumers"]


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
