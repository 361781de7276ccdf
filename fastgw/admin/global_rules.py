"""Where global rules differ: a plugin may be in one of them only.

Owns: that check. Must not know: what a plugin does.
"""

from fastgw.admin.envelope import Failure
from fastgw.admin.resource import Object, Resource
from fastgw.store import View

__all__ = ["GlobalRules"]


class GlobalRules(Resource):
    """Rules that hold for every request; two with the same plugin would have no order."""

    def check(self, view: View, id: str, value: Object) -> None:
        super().check(view, id, value)
        for row in view.list(self.kind):
            shared = value.get("plugins", {}).keys() & row.value.get("plugins", {}).keys()
            if row.id != id and shared:
                raise Failure(400, f"plugin '{min(shared)}' already exists in global rule with id '{row.id}'")
