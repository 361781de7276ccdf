"""Where credentials differ: they lie below a consumer, which must be there, and hold one auth plugin.

Owns: their place in the store, `<consumer>/<id>`. Must not know: how requests are authenticated.
"""

from fastgw.admin import envelope
from fastgw.admin.envelope import Failure, Reply
from fastgw.admin.links import forbid_shared_keys
from fastgw.admin.resource import Call, Object, Resource
from fastgw.store import Store, View

__all__ = ["Credentials"]


class Credentials(Resource):
    """Below /apisix/admin/consumers/<name>/credentials."""

    def place(self, call: Call, id: str) -> str:
        if "/" in (call.owner or ""):  # sent as %2F: what follows it would become a part of the credential's id
            raise Failure(404, "consumer not found")
        return f"{call.owner}/{id}"

    def get(self, store: Store, call: Call) -> Reply:
        if call.id is None and not store.list(self.kind, call.owner):
            return envelope.not_found()  # APISIX has no empty list of credentials
        return super().get(store, call)

    def check(self, view: View, id: str, value: Object) -> None:
        if view.get("consumers", id.partition("/")[0]) is None:
            raise Failure(404, "consumer not found")
        super().check(view, id, value)
        forbid_shared_keys(view, self.kind, id, value)
