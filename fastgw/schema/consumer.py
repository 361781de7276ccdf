"""Consumers, and the credentials by which they are known.

Owns their fields. Must not know what an auth plugin's part in a credential looks like: that is checked by the
plugin (plugins/check.py).
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Final

from msgspec import Meta

from fastgw.errors import Fault
from fastgw.schema.base import Described, Id, Plugins, whole
from fastgw.schema.rules import broken

__all__ = ["CUSTOM_ID", "ConfigConsumer", "Consumer", "Credential"]

Username = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=256,
        pattern=whole(r"^[a-zA-Z0-9_\-]+$"),
        title="a username of letters, digits, '_' or '-'",
    ),
]

CUSTOM_ID: Final = "custom_id"
_CONTROL: Final = re.compile(r"[\x00-\x1F\x7F]")


class Consumer(Described, frozen=True, kw_only=True):
    """Someone who sends requests.

    username: its identity; letters, digits, '_' and '-'
    group_id: the consumer_group it belongs to
    plugins: plugin name to its configuration; of auth plugins, the consumer's side
    """

    username: Username
    group_id: Id | None = None
    plugins: Plugins | None = None

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """One label goes upstream in a header."""
        if _CONTROL.search(good.get("labels", {}).get(CUSTOM_ID, "")):
            yield broken("labels", f"expected no control characters in {CUSTOM_ID}, which is sent to upstreams in a header")


class Credential(Described, frozen=True, kw_only=True):
    """One way to know a consumer.

    plugins: the auth plugin it is for, one only, to the consumer's side of its configuration
    """

    plugins: Annotated[dict[str, dict[str, Any]], Meta(max_length=1)] | None = None


class ConfigConsumer(Consumer, frozen=True, kw_only=True):
    """A consumer in the configuration file, where its credentials stand with it.

    credentials: the ways to know it
    """

    credentials: tuple[Credential, ...] = ()
