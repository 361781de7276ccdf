"""What can be wrong with what a user wrote, and how it is said.

    Exception
    +-- FastgwError         anything this package raises on purpose
        +-- ConfigError     a configuration that cannot be used: every fault of it, not the first
        +-- StoreError      the database or its keys cannot do what was asked; the message names the file
            +-- NotFound, Full, ChangesGone, DeclaredInFile

Owns the shape of a fault and its one-line form. Must not know files, schemas or HTTP. The codes below are
an interface: the Admin API turns them into APISIX's wording, so a new code needs a line there too.

    code           expected                           found
    type           names of the types accepted        name of the type found
    required       -                                  -                     (path ends in the missing name)
    unknown        names known here                   the unknown name      (path ends in it)
    enum           values accepted                    the value
    minimum        the bound                          the number
    above          the bound, itself excluded         the number
    maximum        the bound                          the number
    min_length     number of characters               number of characters
    max_length     number of characters               number of characters
    pattern        the regular expression             the value
    format         what the text should be            the value
    min_items      number of items                    number of items
    max_items      number of items                    number of items
    unique         -                                  the two equal positions, from 0
    min_properties number of members                  number of members
    max_properties number of members                  number of members
    one_of         names of which exactly one          names present
    at_most_one    names of which one at most         names present
    any_of         names of which at least one        -
    rule           -                                  -                     (a rule over several members)
    plugin         names of the plugins there are     the unknown name
    reference      kind of object referred to         its id
    duplicate      path of the first one              -
    unresolved     -                                  the reference
    unsupported    -                                  -
    syntax         -                                  -

`found` is None where the value is a secret or came from the environment.
"""

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

__all__ = [
    "ROOT",
    "ChangesGone",
    "ConfigError",
    "DeclaredInFile",
    "FastgwError",
    "Fault",
    "Full",
    "NotFound",
    "Path",
    "StoreError",
]

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class Path(tuple["str | int", ...]):
    """The way to a value inside a document: names of members and positions of items."""

    __slots__ = ()

    def __str__(self) -> str:
        """`routes[2].plugins.jwt-auth.header`; unusual names are quoted, so a path is always one line."""
        text = ""
        for part in self:
            if isinstance(part, int):
                text += f"[{part}]"
            elif _PLAIN_NAME.fullmatch(part):
                text += f".{part}" if text else part
            else:
                text += f"[{json.dumps(part)}]"
        return text

    def to(self, *parts: "str | int") -> "Path":
        """The path of something deeper."""
        return Path((*self, *parts))


ROOT = Path()
"""The document as a whole."""


class Fault(NamedTuple):
    """One thing that is wrong, where it is, and what would be right."""

    path: Path
    message: str
    code: str = "rule"
    expected: Any = None
    found: Any = None
    apisix: str = ""
    """The reason in APISIX's words, where they do not follow from the code (rules over several members)."""

    @property
    def where(self) -> str:
        """The path as text, empty for the document as a whole."""
        return str(self.path)

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.path else self.message

    def under(self, path: "Path") -> "Fault":
        """The same fault seen from a document that holds this one at `path`."""
        _, *rest = self  # and not _replace, which is slow where a thousand items are at fault
        return Fault(Path((*path, *self.path)), *rest)


class FastgwError(Exception):
    """Anything this package raises on purpose."""


class StoreError(FastgwError):
    """The database, or the keys it is sealed with, cannot do what was asked; the message names the file."""


class NotFound(StoreError):  # noqa: N818 (named as the answer it leads to)
    """No layer has this object."""


class Full(StoreError):  # noqa: N818
    """There are as many objects of the kind as there may be."""


class ChangesGone(StoreError):  # noqa: N818
    """The change feed does not reach back that far: start again, from 0."""


class DeclaredInFile(StoreError):  # noqa: N818
    """Only the config file declares this object, so only an edit of that file can remove it."""


class ConfigError(FastgwError):
    """A configuration that cannot be used. `str()` gives one line per fault, each naming the source."""

    def __init__(self, source: str, faults: Iterable[Fault]) -> None:
        self.source = source
        self.faults = list(faults)
        super().__init__(source, self.faults)

    def __str__(self) -> str:
        return "\n".join(f"{self.source}: {fault}" for fault in self.faults)
