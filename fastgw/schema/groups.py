"""Objects that only carry plugins: consumer groups, plugin configs, global rules and plugin metadata.

Owns their fields. Must not know in which order plugins of several objects are merged.
"""

from typing import Annotated

from msgspec import Meta

from fastgw.schema.base import Described, Id, Object, Plugins, Schema

__all__ = ["ConsumerGroup", "GlobalRule", "PluginConfig", "PluginMetadata"]


class ConsumerGroup(Described, frozen=True, kw_only=True):
    """Plugins that consumers share.

    plugins: plugin name to its configuration
    """

    plugins: Plugins


class PluginConfig(Described, frozen=True, kw_only=True):
    """Plugins that routes share.

    name: a name for people
    plugins: plugin name to its configuration
    """

    name: Annotated[str, Meta()] | None = None
    plugins: Plugins


class GlobalRule(Object, frozen=True, kw_only=True):
    """Plugins that run on every request, also on one that no route takes.

    plugins: plugin name to its configuration
    """

    plugins: Plugins


class PluginMetadata(Schema, frozen=True, kw_only=True):
    """What all uses of one plugin share. Further members are the plugin's own.

    id: the plugin's name
    """

    id: Id | None = None
