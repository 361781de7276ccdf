"""The shipped plugins in running order, and the registry by name, into which those of users go.

Owns the order: that of APISIX's priorities. Which plugins there are, the files of this package say; each says beside its priority
why it runs there. Must not know what any plugin does. A test fails when two share a priority.
"""

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from fastgw.plugins.contract import Plugin

__all__ = ["MOST", "SHIPPED", "get", "group_fields", "key_fields", "names", "number", "shipped", "use"]


def _found() -> Iterator[type[Plugin]]:
    """Each class with a name of its own that a module of the package defines."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)], f"{__package__}."):
        for each in vars(importlib.import_module(module.name)).values():
            if isinstance(each, type) and issubclass(each, Plugin) and each.__module__ == module.name and hasattr(each, "name"):
                yield each


SHIPPED: Final[tuple[type[Plugin], ...]] = tuple(sorted(_found(), key=lambda plugin: -plugin.priority))

MOST: Final = 256  # numbers there are in a chain (native/plan)
_SHIPPED: Final = [plugin() for plugin in SHIPPED]
_BY_NAME: Final[dict[str, Plugin]] = {plugin.name: plugin for plugin in _SHIPPED}


def use(own: Iterable[Plugin]) -> None:
    """Puts plugins of users where their priorities put them, behind shipped ones of the same, in place of those before: in a
    process that has compiled nothing, for a plugin's number is its place."""
    running = sorted([*_SHIPPED, *own], key=lambda plugin: -plugin.priority)
    _BY_NAME.clear()
    _BY_NAME.update((plugin.name, plugin) for plugin in running)


def get(name: str) -> Plugin | None:
    """The plugin of this name, None where there is none."""
    return _BY_NAME.get(name)


def number(name: str) -> int:
    """The plugin's number in the native chain, the same for all its configurations."""
    return tuple(_BY_NAME).index(name)


def shipped(plugin: Plugin) -> bool:
    """Whether it came with the gateway."""
    return type(plugin) in SHIPPED


def names() -> tuple[str, ...]:
    """The names of all plugins, in running order."""
    return tuple(_BY_NAME)


def key_fields() -> dict[str, str]:
    """Of each auth plugin by which consumers are found, the member of its configuration that is the key."""
    return {name: plugin.key_field for name, plugin in _BY_NAME.items() if plugin.key_field}


def group_fields() -> dict[str, str]:
    """Of each plugin whose configurations can share state, the member that says which do."""
    return {name: plugin.group_field for name, plugin in _BY_NAME.items() if plugin.group_field}
