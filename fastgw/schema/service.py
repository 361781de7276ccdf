"""A service: what several routes share.

Owns its fields. Must not know how a route inherits them.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any

from msgspec import Meta

from fastgw.errors import Fault
from fastgw.schema.base import Described, Host, Id, Plugins, unique
from fastgw.schema.rules import unsupported
from fastgw.schema.upstream import Upstream

__all__ = ["Service"]


class Service(Described, frozen=True, kw_only=True):
    """What several routes share; a route's own members win.

    plugins: plugin name to its configuration
    upstream: where requests go
    upstream_id: an upstream by id; wins over `upstream`
    enable_websocket: whether connections may be upgraded
    hosts: hosts of the routes that name none
    script: not supported
    """

    plugins: Plugins | None = None
    upstream: Upstream | None = None
    upstream_id: Id | None = None
    enable_websocket: bool | None = None
    hosts: Annotated[tuple[Host, ...], Meta(min_length=1), unique] | None = None
    script: Any = None

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """Nothing is required; only Lua is refused."""
        yield from unsupported(present, script="Lua source cannot run in this gateway; use plugins")
