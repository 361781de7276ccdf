"""real-ip: take the client's address from what a proxy in front says.

Owns the configuration. Must not know how an address is read (native/real_ip), nor who asks for the client's.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any

from msgspec import Meta

from fastgw import _core
from fastgw.errors import Fault
from fastgw.plugins.contract import Env, Plugin, PluginConf
from fastgw.schema.base import IpRange, Text
from fastgw.schema.decode import nearest
from fastgw.schema.rules import broken

__all__ = ["Conf", "RealIp"]


class Conf(PluginConf, frozen=True, kw_only=True):
    """real-ip: where the address is said, and whose word counts.

    source: the variable that has it, without $: http_x_real_ip, arg_realip, …; of http_x_forwarded_for its last address
    trusted_addresses: addresses and ranges whose word counts, by the connection or what an earlier real-ip found; anybody's does
        when left out
    recursive: whether addresses in trusted_addresses are passed over in http_x_forwarded_for, from the last one on
    """

    source: Text
    trusted_addresses: Annotated[tuple[IpRange, ...], Meta(min_length=1)] | None = None
    recursive: bool = False

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """A variable that there is when the plugin runs, and that no body has to be read for."""
        if "source" in good:
            known = [name for name in _core.variable_names(True) if not name.startswith(("post_arg", "graphql"))]
            source = good["source"]
            if not _core.variable_known(source, True) or source.startswith(("post_arg", "graphql")):
                yield broken("source", nearest("variable", source, known))


class RealIp(Plugin):
    """Finds out whose request it is."""

    name = "real-ip"
    version = 0.1
    # Whose request is it. Before all that may ask.
    priority = 23000
    phases = ("rewrite",)
    conf = Conf

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """One native step."""
        return [_core.RealIpStep(conf.source, conf.trusted_addresses, recursive=conf.recursive)]
