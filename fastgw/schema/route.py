"""A route: which requests it takes and what is done with them.

Owns the conditions and links of a route. Must not know how routes are compiled or matched.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta

from fastgw.errors import Fault, Path
from fastgw.schema.base import Described, Host, Id, IpRange, Method, Plugins, Timeout, Uri, unique
from fastgw.schema.expression import expression_faults
from fastgw.schema.rules import any_of, at_most_one, exactly_one, unsupported
from fastgw.schema.upstream import Upstream

__all__ = ["Route"]

_LUA = "Lua source cannot run in this gateway"


class Route(Described, frozen=True, kw_only=True):
    """Takes the requests that meet all its conditions.

    uri: the path; exact, or a prefix that ends in '*'
    uris: several paths
    priority: higher wins among routes of equal path
    methods: the methods taken; any when left out or empty
    host: the host taken; '*' as first character stands for any prefix
    hosts: several hosts
    remote_addr: the client address or range taken
    remote_addrs: several addresses or ranges
    vars: an expression over the request that must hold
    plugins: plugin name to its configuration
    plugin_config_id: a plugin_config whose plugins are added
    upstream: where requests go
    upstream_id: an upstream by id; wins over `upstream`
    service_id: a service whose members are inherited
    enable_websocket: whether connections may be upgraded; the service's word when left out
    timeout: wins over the upstream's
    status: 1: in use, 0: not
    filter_func: not supported
    script: not supported
    script_id: not supported
    """

    uri: Uri | None = None
    uris: Annotated[tuple[Uri, ...], Meta(min_length=1), unique] | None = None
    priority: int = 0
    methods: Annotated[tuple[Method, ...], unique] = ()
    host: Host | None = None
    hosts: Annotated[tuple[Host, ...], Meta(min_length=1), unique] | None = None
    remote_addr: IpRange | None = None
    remote_addrs: Annotated[tuple[IpRange, ...], Meta(min_length=1), unique] | None = None
    vars: list[Any] | None = None
    plugins: Plugins | None = None
    plugin_config_id: Id | None = None
    upstream: Upstream | None = None
    upstream_id: Id | None = None
    service_id: Id | None = None
    enable_websocket: bool | None = None
    timeout: Timeout | None = None
    status: Literal[0, 1] = 1
    filter_func: Any = None
    script: Any = None
    script_id: Any = None

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """One path or several, a place to send requests to, and no Lua."""
        yield from exactly_one(present, "uri", "uris")
        yield from at_most_one(present, "host", "hosts")
        yield from at_most_one(present, "remote_addr", "remote_addrs")
        yield from any_of(present, "plugins", "upstream", "upstream_id", "service_id")
        instead = {
            "filter_func": f"{_LUA}; say it in vars",
            "script": f"{_LUA}; use plugins",
            "script_id": f"{_LUA}; use plugins",
        }
        yield from unsupported(present, **instead)
        if "vars" in good:
            yield from (fault.under(Path(("vars",))) for fault in expression_faults(good["vars"]))
