"""Where secret managers differ: they lie below the name of their kind, and that is part of their id.

Owns: the identity rules of `secrets/<manager>/<id>`. Must not know: what a manager is asked, or how.
"""

from fastgw.admin import validate
from fastgw.admin.envelope import Failure, Reply
from fastgw.admin.resource import Call, Object, Resource, forbid_times
from fastgw.schema.secrets import MANAGERS
from fastgw.store import Store

__all__ = ["Secrets"]


class Secrets(Resource):
    """`call.owner` is the manager; in the store and in the value the id is `<manager>/<id>`, as in APISIX."""

    def answer(self, store: Store, call: Call) -> Reply:
        if call.owner is not None and call.owner not in MANAGERS:
            raise Failure(400, f"invalid secret manager: {call.owner}")
        return super().answer(store, call)

    def place(self, call: Call, id: str) -> str:
        return f"{call.owner}/{id}"

    def patch(self, store: Store, call: Call) -> Reply:
        if call.id is None:
            raise Failure(400, "no secret id")
        return super().patch(store, call)

    def settle(self, call: Call, value: Object, *, patched: bool = False) -> tuple[str, Object]:
        if call.owner is None:
            raise Failure(400, "missing secret type")
        if call.id is None:
            raise Failure(400, "missing secret id")
        id = self.place(call, call.id)
        if value.get("id", id) != id:
            raise Failure(400, "wrong secret id")
        if not patched:
            forbid_times(value)
        value = {**value, "id": id}
        validate.check(self.kind, value)
        return id, value
