"""The kinds of objects there are: their Structs, their identities, and what they refer to.

Owns the one table that the file, the store and the Admin API share; a new kind is a new line here. Must not
know how any of them is stored, checked beyond its Struct, or run.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from fastgw.schema.base import Schema
from fastgw.schema.consumer import Consumer, Credential
from fastgw.schema.groups import ConsumerGroup, GlobalRule, PluginConfig, PluginMetadata
from fastgw.schema.proto import Proto
from fastgw.schema.revocation import Revocation
from fastgw.schema.route import Route
from fastgw.schema.secrets import MANAGERS, Manager
from fastgw.schema.service import Service
from fastgw.schema.ssl import Ssl
from fastgw.schema.upstream import Upstream

__all__ = ["EACH", "FETCHED", "KINDS", "Kind", "Reference", "object_id"]

EACH: Final = "*"


class Reference(NamedTuple):
    """A member by which an object names another one."""

    path: tuple[str, ...]
    """Names of members; EACH stands for every item of a list."""
    kind: str
    noun: str
    """How APISIX calls the target in messages."""

    @property
    def plugin(self) -> str | None:
        """The plugin in whose configuration it stands."""
        return self.path[1] if self.path[0] == "plugins" else None


SchemaType = type[Schema]


class Kind(NamedTuple):
    """One kind of object."""

    name: str
    """As in the file and in the Admin API's paths."""
    singular: str
    """As in the Admin API's messages."""
    type: SchemaType
    id_field: str = "id"
    references: tuple[Reference, ...] = ()
    types: Mapping[str, SchemaType] = {}
    """The Structs by the first part of the id, where it decides."""
    served: bool = True
    """Whether workers compile it. What is only kept is of no interest to them, and what is revoked they find in shared memory."""
    bounded: bool = False
    """Whether there may only be so many, as `shared_memory.<name>` says."""

    def type_of(self, value: Mapping[str, Any]) -> SchemaType:
        """The Struct of a raw object."""
        return self.types.get(str(value.get(self.id_field)).partition("/")[0], self.type) if self.types else self.type


_UPSTREAM = Reference(("upstream_id",), "upstreams", "upstream")
_CLIENT_CERT = Reference(("upstream", "tls", "client_cert_id"), "ssls", "ssl")
_SERVICE = Reference(("service_id",), "services", "service")
_PLUGIN_CONFIG = Reference(("plugin_config_id",), "plugin_configs", "plugin config")
_SHARE = Reference(
    ("plugins", "traffic-split", "rules", EACH, "weighted_upstreams", EACH, "upstream_id"), "upstreams", "upstream"
)

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("routes", "route", Route, "id", (_UPSTREAM, _CLIENT_CERT, _SERVICE, _PLUGIN_CONFIG, _SHARE)),
        Kind("services", "service", Service, "id", (_UPSTREAM, _CLIENT_CERT, _SHARE)),
        Kind("upstreams", "upstream", Upstream, "id", (Reference(("tls", "client_cert_id"), "ssls", "ssl"),)),
        Kind(
            "consumers",
            "consumer",
            Consumer,
            "username",
            (Reference(("group_id",), "consumer_groups", "consumer group"), _SHARE),
        ),
        Kind("credentials", "credential", Credential),
        Kind("consumer_groups", "consumer group", ConsumerGroup, "id", (_SHARE,)),
        Kind("plugin_configs", "plugin config", PluginConfig, "id", (_SHARE,)),
        Kind("global_rules", "global rule", GlobalRule, "id", (_SHARE,)),
        Kind("plugin_metadata", "plugin_metadata", PluginMetadata),
        Kind("ssls", "ssl", Ssl),
        Kind("secrets", "secret", Manager, types=MANAGERS, served=False),
        Kind("protos", "proto", Proto, served=False),
        Kind("revocations", "revocation", Revocation, served=False, bounded=True),
    )
}
"""Every kind by name. A credential's identity in the store is `<consumer>/<credential id>`; a secret's is `<manager>/<id>`, also
in its member `id`."""


FETCHED = "fetched"
"""No kind of object that anybody writes: what the gateway itself has fetched, kept in the store so that every process has it."""


def object_id(kind: Kind, value: dict[str, Any]) -> str | None:
    """The identity a raw object claims, as text; None when it claims none. 1 and "1" are one identity."""
    claimed = value.get(kind.id_field)
    if isinstance(claimed, bool) or not isinstance(claimed, str | int):
        return None
    return str(claimed)
