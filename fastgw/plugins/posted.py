"""Variables out of bodies that have to be parsed: `post_arg.<path>` and `graphql_…`.

Owns: what each kind of body has under a name. Must not know requests; native/posted asks, with at most 1 MiB.
"""

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from fastgw.plugins.json_path import JsonPath

__all__ = ["read"]

# These are read by the interpreter, while no other request is served.
MOST_PARTS: Final = 1000
MOST_WORDS: Final = 20_000
_POSTED: Final = "post_arg."
# A text without its end is taken to where it breaks off. To fail there and to go on behind its first quote would cost the length
# of the body once more for each of its quotes.
_TOKEN: Final = re.compile(
    r'[\s,\ufeff]+|#[^\n\r]*|"""(?:[^"\\]+|\\.|"(?!""))*(?:"""|\\?\Z)|"(?:[^"\\\n]+|\\.)*"?|(?P<word>\w+)|(?P<mark>\.\.\.|.)',
    re.DOTALL,
)
_BOUNDARY: Final = re.compile(rb';[ \t]*boundary=(?:"([^"\r\n]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_PART_NAME: Final = re.compile(rb'\r\nContent-Disposition:[ \t]*form-data[^\r\n]*?;[ \t]*name="([^"\r\n]*)"', re.IGNORECASE)
_OPERATIONS: Final = frozenset({"query", "mutation", "subscription"})


def read(variable: str, content_type: bytes, body: bytes) -> bytes | list[bytes] | None:
    """What the variable has; several of one name are a list. None: nothing, or the body is not what its type says."""
    try:
        if variable.startswith(_POSTED):
            found = _posted(variable.removeprefix(_POSTED), content_type, body)
        else:
            found = _graphql(variable, content_type, body)
    except (ValueError, TypeError, RecursionError, LookupError, msgspec.DecodeError):
        return None
    if isinstance(found, list):
        return [text for each in found if (text := _text(each)) is not None]
    return _text(found)


def _text(value: Any) -> bytes | None:
    """A member as text, numbers as JSON writes them; what has members itself, and null, is none."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, bool | int | float):
        return json.dumps(value).encode()
    return None


@lru_cache(256)
def _path(text: str) -> JsonPath:
    return JsonPath(text if text[:1] in ("$", "[") else f"$.{text}")


def _posted(path: str, content_type: bytes, body: bytes) -> Any:
    kind = content_type.partition(b";")[0].strip().lower()
    if kind == b"application/json":
        document = msgspec.json.decode(body)
    elif kind == b"application/x-www-form-urlencoded":
        document = {}
        pairs = parse_qsl(body, keep_blank_values=True, max_num_fields=MOST_PARTS)
        for name, value in pairs:
            document.setdefault(name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape"))
    elif kind == b"multipart/form-data":
        document = dict(reversed(list(_parts(content_type, body))))  # of several the first
    else:
        return None
    if isinstance(document, dict) and path in document and not path.startswith("$"):
        found = document[path]
    elif (way := _path(path)).single:
        found = way.first(document)
    else:
        return way.all(document)
    return found


def _parts(content_type: bytes, body: bytes) -> Iterator[tuple[str, str]]:
    """RFC 7578. What has another encoding than its own bytes is not read: section 4.7 gave that up."""
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        raise ValueError("no boundary")
    parts = (b"\r\n" + body).split(b"\r\n--" + (boundary[1] or boundary[2]), MOST_PARTS + 1)
    if len(parts) < 3 or len(parts) > MOST_PARTS or not parts[-1].startswith(b"--"):
        raise ValueError("too many parts, or no end")
    for part in parts[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        name = _PART_NAME.search(head + b"\r\n")
        if name is not None:
            yield name[1].decode("utf-8", "surrogateescape"), content.decode("utf-8", "surrogateescape")


def _graphql(variable: str, content_type: bytes, body: bytes) -> Any:
    document: Any = body.decode()
    if content_type.partition(b";")[0].strip().lower() == b"application/json":
        document = msgspec.json.decode(body)["query"]
        if not isinstance(document, str):
            return None
    operation, name, fields = _operation(document)
    return {"graphql_operation": operation, "graphql_name": name, "graphql_root_fields": fields}[variable]


def _operation(text: str) -> tuple[str, str, list[str]]:
    """Kind, name (or empty) and root fields of a document's first operation. ValueError: it has none that is whole."""
    words = [found[0] for found in islice(_TOKEN.finditer(text), MOST_WORDS) if found.lastgroup]
    at = 0
    while at < len(words) and words[at] == "fragment":
        at = _closed(words, words.index("{", at))
    if words[at] == "{":
        return "query", "", _fields(words, at)
    operation = words[at]
    if operation not in _OPERATIONS:
        raise ValueError("no operation")
    name = words[at + 1] if re.fullmatch(r"\w+", words[at + 1]) else ""
    at += 1
    while words[at] != "{":
        at = _closed(words, at) if words[at] == "(" else at + 1
    return operation, name, _fields(words, at)


def _closed(words: list[str], at: int) -> int:
    """Behind the bracket that closes the one there."""
    depth = 0
    while True:
        depth += (words[at] in "([{") - (words[at] in ")]}")
        at += 1
        if depth == 0:
            return at


def _fields(words: list[str], at: int) -> list[str]:
    end = _closed(words, at) - 1
    at += 1
    found = []
    while at < end:
        word = words[at]
        if word in "([{":
            at = _closed(words, at)
        elif word == "@":
            at += 2
        elif word == "...":
            at += 1
            if words[at] == "on":
                at += 2
            elif re.fullmatch(r"\w+", words[at]):
                at += 1
        elif words[at + 1] == ":":
            at += 2  # an alias
        else:
            found.append(word)
            at += 1
    return found
