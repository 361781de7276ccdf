"""A proto object: definitions in Protocol Buffers, as source or as a compiled descriptor set in base64.

Owns its fields and what can be told of the content without a compiler: that source is made of the statements a file
may have, with every string, comment and bracket closed, and that a descriptor set is one on the wire. Must not know
what uses it; imports, types and names are not looked at.
"""

import base64
import binascii
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Final

from msgspec import Meta

from fastgw.errors import Fault, Path
from fastgw.schema.base import Described

__all__ = ["Proto"]

Content = Annotated[str, Meta(min_length=1, max_length=1_048_576)]

_TOKEN: Final = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/)
    |(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<word>[A-Za-z0-9_.+-]+)
    |(?P<mark>[{}()\[\]<>=;,:/])
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_STATEMENTS: Final = frozenset({"syntax", "edition", "package", "import", "option", "message", "enum", "service", "extend"})
_CLOSES: Final = {"}": "{", ")": "(", "]": "[", ">": "<"}
_BASE64: Final = re.compile(r"[A-Za-z0-9+/\r\n]+={0,2}\s*")
_FILES, _BYTES = 1, 2  # FileDescriptorSet.file, and its wire type


class Proto(Described, frozen=True, kw_only=True):
    """Definitions in Protocol Buffers.

    content: the text of a .proto file, or a FileDescriptorSet in base64
    """

    content: Content

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """The content is what one of the two forms can be."""
        if "content" in good and (wrong := _wrong(good["content"])):
            yield Fault(Path(("content",)), wrong, "format", apisix=f"invalid content: {wrong}")


def _wrong(content: str) -> str:
    """What is wrong with the content; nothing, if it is good as far as can be told."""
    if not _BASE64.fullmatch(content):  # source has ';' or '{' at the least
        return _wrong_source(content)
    try:
        return _wrong_descriptors(base64.b64decode("".join(content.split()), validate=True))
    except binascii.Error:
        return "expected protobuf source, or a descriptor set in base64, found neither"


# -- source --------------------------------------------------------------------------------------------


def _wrong_source(text: str) -> str:
    """Reads the text statement by statement; what stands inside one is only brought to its end."""
    open_: list[str] = []
    ends, statements = True, 0
    for match in _TOKEN.finditer(text):
        kind, piece = match.lastgroup, match[0]
        if kind == "space":
            continue
        if kind == "other":
            return f"{_line(match)}: expected a name, a number, a string or a bracket, found {piece!r}"
        if ends and piece != ";":
            if piece not in _STATEMENTS:
                return f"{_line(match)}: expected one of {', '.join(sorted(_STATEMENTS))}, found {piece[:64]!r}"
            ends, statements = False, statements + 1
            continue
        if piece in _CLOSES.values():
            open_.append(piece)
        elif piece in _CLOSES and (not open_ or open_.pop() != _CLOSES[piece]):
            return f"{_line(match)}: found {piece!r} without its opening {_CLOSES[piece]!r}"
        ends = not open_ and piece in (";", "}")
    if open_:
        return f"expected the end of {open_[-1]!r}, found the end of the text"
    if not ends:
        return "expected ';' or '}', found the end of the text"
    return "" if statements else "expected statements, found none"


def _line(match: re.Match[str]) -> str:
    """Where it stands; counted for a fault only, as to count it for each token would take minutes."""
    return f"line {match.string.count(chr(10), 0, match.start()) + 1}"


# -- descriptor sets -----------------------------------------------------------------------------------


def _wrong_descriptors(raw: bytes) -> str:
    """A FileDescriptorSet is a list of files, each a message with a name as its field 1."""
    files = list(_fields(raw))
    if not files or None in files or any(field is None or field[:2] != (_FILES, _BYTES) for field in files):
        return "expected a descriptor set, found base64 of something else"
    for _, _, file in (field for field in files if field is not None):
        members = list(_fields(file))
        if None in members or not any(member is not None and member[:2] == (1, _BYTES) for member in members):
            return "expected a descriptor set, found one with a file that cannot be read"
    return ""


def _fields(raw: bytes) -> Iterator[tuple[int, int, bytes] | None]:
    """(number, wire type, bytes) of every field of a message; None where it is none."""
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            _, end = _varint(raw, at)
        elif wire == _BYTES:
            size, at = _varint(raw, at)
            end = at + size
        else:
            end = at + {1: 8, 5: 4}.get(wire, len(raw) + 1)
        if number == 0 or end > len(raw):
            yield None
            return
        yield number, wire, raw[at:end]
        at = end


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    """A number and where it ends; beyond the bytes where it does not."""
    value = 0
    for shift, byte in enumerate(raw[at : at + 10]):
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, at + shift + 1
    return value, len(raw) + 1
