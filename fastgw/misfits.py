"""Objects of the Admin API that plugins refuse which have changed since they were written.

Owns: that question. Must not know where the plugins came from, or what is done about it. The file's objects are judged with the
file; these were judged when they were written, by the plugins of then.
"""

from collections.abc import Iterable

from fastgw.errors import ConfigError, Fault, Path
from fastgw.plugins.check import check_object
from fastgw.schema.kinds import KINDS
from fastgw.store import View

__all__ = ["refuse_misfits"]


def refuse_misfits(store: View, plugins: Iterable[str]) -> None:
    """ConfigError with the faults of objects in which one of these plugins stands."""
    names = set(plugins)
    found: list[Fault] = []
    for kind in KINDS.values() if names else ():
        for row in store.list(kind.name):
            used = row.value.get("plugins")
            if row.layer == "file" or not names.intersection({row.id, *(used if isinstance(used, dict) else ())}):
                continue
            found += check_object(kind, row.value, Path((kind.name, row.id))).faults
    if found:
        raise ConfigError(str(store.path), found)
