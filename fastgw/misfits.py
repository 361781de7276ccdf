"""Objects that plugins refuse which have changed since they were written.

Owns: that question. Must not know where the plugins came from, or what is done about it. Objects are judged when they are
written, by the plugins of then, and those of the file with the file.
"""

from collections.abc import Iterable
from typing import Any

from fastgw.errors import ConfigError, Fault, Path
from fastgw.plugins.check import check_object
from fastgw.schema.kinds import KINDS, Kind
from fastgw.store import View

__all__ = ["refuse_misfits"]


def refuse_misfits(store: View, plugins: Iterable[str], file: str | None = None) -> None:
    """ConfigError with the faults of objects of the Admin API in which one of these plugins stands. file: of those that this
    file declared too, which is not read again."""
    names = set(plugins)
    if not names:
        return
    if file is not None:
        _refuse(((kind, id, value) for kind in KINDS.values() for id, value in store.declared(kind.name).items()), names, file)
    rows = ((kind, row) for kind in KINDS.values() for row in store.list(kind.name))
    _refuse(((kind, row.id, row.value) for kind, row in rows if row.layer != "file"), names, str(store.path))


def _refuse(objects: Iterable[tuple[Kind, str, dict[str, Any]]], names: set[str], source: str) -> None:
    found: list[Fault] = []
    for kind, id, value in objects:
        used = value.get("plugins")
        if names.intersection({id, *(used if isinstance(used, dict) else ())}):
            found += check_object(kind, value, Path((kind.name, id))).faults
    if found:
        raise ConfigError(source, found)
