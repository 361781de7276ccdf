"""YAML to plain data and back, by the rules of JSON.

Owns the reading of YAML's events: plain texts become numbers, booleans and null by YAML 1.2's core schema (so
`no` and `12:30` stay texts), names must be texts and stand once, `<<` merges, and what aliases expand to is
bounded. No tag makes an object. Must not know what the data means.

The parser's events are read here, not its loaders: they construct Python objects, let a name come twice, and
recurse without bound.
"""

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import yaml
from yaml import events

from fastgw.errors import Fault, Path

__all__ = ["YamlError", "read_yaml", "write_yaml"]

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MAX_VALUES: Final = 2_000_000  # after aliases are expanded; a file of 10,000 routes has about 200,000
_TAG: Final = "tag:yaml.org,2002:"
_NULL: Final = re.compile(r"~|null|Null|NULL|")
_BOOL: Final = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


_WIDTH: Final = 2**31 - 1  # texts stay on one line
_DUMPER: Final[Any] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class YamlError(Exception):
    """The text is not YAML that can be read; says where and why."""


class _Anchored(NamedTuple):
    value: Any
    size: int


def read_yaml(text: str, max_depth: int) -> tuple[Any, list[Fault]]:
    """The one document of a text, and the names in it that are wrong or come twice."""
    reader = _Reader(text, max_depth)
    try:
        return reader.document(), reader.faults
    except yaml.reader.ReaderError as error:
        raise YamlError(f"expected printable Unicode, found #x{ord(str(error.character)[:1]):04x}") from None
    except yaml.MarkedYAMLError as error:
        raise YamlError(f"{_place(error.problem_mark)}{error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise YamlError(" ".join(str(error).split())) from None


def _place(mark: Any) -> str:
    return f"{mark.line + 1}:{mark.column + 1}: " if mark else ""


class _Reader:
    """One pass over the events of a text."""

    def __init__(self, text: str, max_depth: int) -> None:
        self.faults: list[Fault] = []
        self._events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
        self._anchors: dict[str, _Anchored] = {}
        self._size = 0
        self._max_depth = max_depth

    def document(self) -> Any:
        next(self._events)  # the start of the stream
        event = next(self._events)
        if isinstance(event, events.StreamEndEvent):
            return None
        value = self._value(next(self._events), Path())
        next(self._events)  # the end of the document
        event = next(self._events)
        if not isinstance(event, events.StreamEndEvent):
            raise YamlError(f"{_place(event.start_mark)}expected one document, found another")
        return value

    def _value(self, event: Any, path: Path) -> Any:
        if isinstance(event, events.AliasEvent):
            anchored = self._anchors.get(event.anchor or "")
            if anchored is None:
                raise YamlError(f"{_place(event.start_mark)}unknown anchor {event.anchor}")
            self._count(anchored.size, event)
            return anchored.value
        before = self._size
        self._count(1, event)
        value: Any
        if isinstance(event, events.ScalarEvent):
            value = _scalar(event)
        elif len(path) >= self._max_depth:
            message = f"expected at most {self._max_depth} levels of nesting, found more"
            raise YamlError(f"{_place(event.start_mark)}{message}")
        elif isinstance(event, events.SequenceStartEvent):
            _collection(event, "seq")
            value = self._sequence(path)
        else:
            _collection(event, "map")
            value = self._mapping(path)
        if event.anchor:
            self._anchors[event.anchor] = _Anchored(value, self._size - before)
        return value

    def _count(self, size: int, event: Any) -> None:
        self._size += size
        if self._size > _MAX_VALUES:
            raise YamlError(f"{_place(event.start_mark)}expected at most {_MAX_VALUES} values, found more")

    def _sequence(self, path: Path) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), events.SequenceEndEvent):
            items.append(self._value(event, path.to(len(items))))
        return items

    def _mapping(self, path: Path) -> dict[str, Any]:
        members: dict[str, Any] = {}
        merged: list[dict[str, Any]] = []
        while not isinstance(event := next(self._events), events.MappingEndEvent):
            merge = isinstance(event, events.ScalarEvent) and event.value == "<<" and event.implicit[0]
            name = self._name(event, path)
            value = self._value(next(self._events), path.to(name))
            if merge:
                merged += self._merged(value, path)
            elif name in members:
                self.faults.append(Fault(path.to(name), "found twice in the same object", "duplicate"))
            else:
                members[name] = value
        for other in merged:
            for name, value in other.items():
                members.setdefault(name, value)
        return members

    def _name(self, event: Any, path: Path) -> str:
        name = self._value(event, path)
        if isinstance(name, str):
            return name
        text = event.value if isinstance(event, events.ScalarEvent) else type(name).__name__
        message = f"expected a name, found {type(name).__name__}; put it in quotes"
        self.faults.append(Fault(path.to(text), message, "type"))
        return str(text)

    def _merged(self, value: Any, path: Path) -> list[dict[str, Any]]:
        parts = value if isinstance(value, list) else [value]
        if not all(isinstance(part, dict) for part in parts):
            self.faults.append(Fault(path.to("<<"), "expected dict or list of dict to merge", "type"))
            return []
        return parts


def _collection(event: Any, kind: str) -> None:
    if event.tag not in (None, "!", _TAG + kind):
        raise YamlError(f"{_place(event.start_mark)}expected no tag, found {event.tag}")


def _scalar(event: Any) -> Any:
    text: str = event.value
    if event.tag not in (None, "!"):
        kind = event.tag.removeprefix(_TAG)
        if kind not in _TAGGED:
            raise YamlError(f"{_place(event.start_mark)}expected no tag, found {event.tag}")
        value = text if kind == "str" else _plain(text)
        if not isinstance(value, _TAGGED[kind]):
            raise YamlError(f"{_place(event.start_mark)}expected a text of tag {kind}, found another")
        return value
    return _plain(text) if event.implicit[0] else text


_TAGGED: Final[dict[str, Any]] = {
    "str": str,
    "int": int,
    "float": (int, float),
    "bool": bool,
    "null": type(None),
}


def _plain(text: str) -> Any:
    """A text without quotes, by YAML 1.2's core schema."""
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    if _INT.fullmatch(text):
        if len(text) > 100:  # Python refuses to read very long ones; out of bounds in any case
            return 10**100
        return int(text, 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10)
    if _FLOAT.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


class _Dumper(_DUMPER):  # type: ignore[misc]
    """Writes what `read_yaml` reads as the same: no anchors, and quotes around texts that YAML 1.2 takes for something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: Any, text: str) -> Any:
    style = None if isinstance(_plain(text), str) else '"'
    return dumper.represent_scalar(_TAG + "str", text, style=style)


_Dumper.add_representer(str, _text)


def write_yaml(value: Any) -> str:
    """Plain data as one document."""
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH))
