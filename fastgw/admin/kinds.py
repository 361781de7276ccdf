"""Every resource of the Admin API, as declarations: what there is, what it refers to, what keeps it.

Owns: that table, and the indexes that make its lookups fast. Must not know: how a verb works.
"""

from typing import Any, Final

from fastgw.admin.consumers import Consumers
from fastgw.admin.credentials import Credentials
from fastgw.admin.global_rules import GlobalRules
from fastgw.admin.links import FIELDS
from fastgw.admin.plugin_metadata import PluginMetadata
from fastgw.admin.resource import Resource, User
from fastgw.admin.secrets import Secrets
from fastgw.admin.ssls import Ssls
from fastgw.schema.kinds import KINDS, Kind

__all__ = ["INDEXES", "RESOURCES"]

NO_POST: Final = frozenset({"POST"})
NO_PATCH: Final = frozenset({"PATCH"})
NO_POST_PATCH: Final = frozenset({"POST", "PATCH"})
_PROTO_ID: Final = ("plugins", "grpc-transcode", "proto_id")
PROTO_USERS: Final = (User("routes", "route", _PROTO_ID), User("services", "service", _PROTO_ID))
UNGUARDED: Final = frozenset({"ssls"})  # APISIX deletes a certificate even while an upstream uses it


def _users(kind: str) -> tuple[User, ...]:
    """Who refers to this kind: the references of all kinds, read backwards."""
    if kind in UNGUARDED:
        return ()
    return tuple(
        User(each.name, each.singular if reference.plugin is None else f"plugin in {_holder(each)}", reference.path)
        for each in KINDS.values()
        for reference in each.references
        if reference.kind == kind
    )


def _holder(kind: Kind) -> str:
    """What APISIX calls an object in whose plugin something stands."""
    return kind.name if kind.name == "global_rules" else kind.singular.replace(" ", "_")


def _resource(kind: str, shape: type[Resource] = Resource, **differences: Any) -> Resource:
    given = {"references": KINDS[kind].references, "users": _users(kind), **differences}
    return shape(kind, KINDS[kind].singular, **given)


RESOURCES: Final[dict[str, Resource]] = {
    each.kind: each
    for each in (
        _resource("routes"),
        _resource("services", delete_text="can not delete this service directly"),
        _resource("upstreams"),
        _resource("consumers", Consumers, refuses=NO_POST_PATCH),
        _resource("credentials", Credentials, refuses=NO_POST_PATCH),
        _resource("consumer_groups", refuses=NO_POST),
        _resource("plugin_configs", refuses=NO_POST),
        _resource("global_rules", GlobalRules, refuses=NO_POST),
        _resource("plugin_metadata", PluginMetadata, refuses=NO_POST_PATCH, stamped=False),
        _resource("ssls", Ssls),
        _resource("secrets", Secrets, refuses=NO_POST),
        _resource("protos", refuses=NO_PATCH, users=PROTO_USERS),
        _resource("revocations"),
    )
}

INDEXES: Final = (
    *dict.fromkeys(user.field for resource in RESOURCES.values() for user in resource.users),
    *FIELDS,
)
