"""The compiler without its cleverness: at every change everything is made again and the snapshot is built from nothing.

The makers of single parts are the compiler's own; what is left out is what a change is said to touch, the derived snapshot, and
the bookkeeping of keys that several credentials claim.
"""

from collections.abc import Iterable, Iterator

from fastgw.claims import Claims
from fastgw.compile import GLOBALS, ChangeLike, Compiler
from fastgw.entries import first_edit

__all__ = ["PlainCompiler"]


class PlainCompiler(Compiler):
    def work(self, changes: Iterable[ChangeLike]) -> Iterator[None]:
        for change in changes:
            yield from self._take(change)
        for kind, objects in self._objects.items():
            for id_ in objects:
                yield from self._parts.touch((kind, id_))
                if kind == "consumers":
                    yield from self._parts.touch(("own", id_))
        yield from self._parts.touch(GLOBALS)
        yield from self._parts.refresh()
        self._edit, self._claims = first_edit(self._router), Claims()
        for key, part in sorted(self._parts._good.items()):
            self._changed(key, None, part)
        yield from super().work(())
