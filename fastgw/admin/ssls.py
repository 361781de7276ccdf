"""Where certificates differ: their private keys go in and never come out.

Owns: what is left out of an answer, for every caller, also of a write. Must not know: TLS.
"""

from fastgw.admin.resource import Call, Resource
from fastgw.store import Row

__all__ = ["Ssls"]

PRIVATE = ("key", "keys")


class Ssls(Resource):
    """Server and client certificates."""

    def shown(self, row: Row, call: Call) -> Row:
        value = {name: each for name, each in row.value.items() if name not in PRIVATE}
        return super().shown(row._replace(value=value), call)
