"""From plain data to Structs, with every fault of the data and not only the first.

msgspec stops at its first fault, so the data is first walked along `msgspec.inspect`'s description of the
type. Only what the walk found good is converted, and a property test holds the two to the same verdict.

Owns the wording of faults of type, number, length and the like. Must not know any one Struct: rules over
several members come from `Schema.rules`.
"""

import difflib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec import inspect as mi

from fastgw.errors import Fault, Path
from fastgw.schema.base import FromEnv, Schema
from fastgw.schema.formats import FORMATS

__all__ = ["faults_of", "nearest", "shown", "type_name", "unreadable"]

T = TypeVar("T")

_SHOWN = 64  # characters of a value that a message repeats


def faults_of(value: Any, type_: type[T], path: "Path | str" = "") -> tuple[T | None, list[Fault]]:
    """The value as `type_`, or None and every fault of it in the order of the data.

    `path` says where the value lies in the document that the faults should name.
    """
    at = path if isinstance(path, Path) else Path((path,) if path else ())
    found = [fault.under(at) for fault in _walk(_info(type_), value, False)]
    if found:
        return None, found
    try:
        return msgspec.convert(value, type_), []
    except (msgspec.ValidationError, RecursionError, UnicodeEncodeError) as error:  # the last: a name of half a surrogate
        return None, [Fault(at, str(error), "type")]


def unreadable(struct: type[msgspec.Struct]) -> Iterator[str]:
    """The members of a Struct, and of those inside it, whose values this cannot judge: JSON does not say them."""
    waiting: list[tuple[str, mi.Type]] = [("", _info(struct))]
    seen: list[type] = []
    while waiting:
        name, info = waiting.pop(0)
        if isinstance(info, mi.StructType) and info.cls not in seen:
            seen.append(info.cls)
            waiting += [(f"{name}.{each.encode_name}".lstrip("."), _without_null(each.type)) for each in info.fields]
        elif isinstance(info, mi.Metadata):
            waiting.append((name, info.type))
        elif isinstance(info, mi.UnionType):
            waiting += [(name, each) for each in info.types]
        elif isinstance(info, mi.ListType | mi.VarTupleType):
            waiting.append((name, info.item_type))
        elif isinstance(info, mi.DictType):
            waiting += [(name, info.key_type), (name, info.value_type)]
        elif not any(isinstance(info, kinds) for kinds, _, _ in _KINDS):
            yield name


_info: Callable[[Any], mi.Type] = cache(mi.type_info)


class _Field(NamedTuple):
    type: mi.Type
    required: bool


@cache
def _fields(struct: type) -> dict[str, _Field]:
    """The members of a Struct by name. None is the default of a member left out, never a lawful value."""
    info = mi.type_info(struct)
    assert isinstance(info, mi.StructType)  # noqa: S101
    return {field.encode_name: _Field(_without_null(field.type), field.required) for field in info.fields}


def _without_null(info: mi.Type) -> mi.Type:
    if not isinstance(info, mi.UnionType):
        return info
    types = tuple(member for member in info.types if not isinstance(member, mi.NoneType))
    return types[0] if len(types) == 1 else mi.UnionType(types)


# -- wording -------------------------------------------------------------------------------------------


def type_name(value: Any) -> str:
    """The name of a value's type as messages say it."""
    if value is None:
        return "null"
    return "str" if isinstance(value, str) else type(value).__name__


def shown(value: Any) -> str:
    """A value as messages repeat it: on one line, cut when long, and not at all from the environment."""
    if isinstance(value, FromEnv):
        return "a value from the environment"
    text = json.dumps(value, default=type_name)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def nearest(noun: str, name: str, known: Sequence[str]) -> str:
    """What to say about a name that is not among those known."""
    close = difflib.get_close_matches(name, known, 1)
    if close:
        return f"unknown {noun}; nearest known {noun} is {shown(close[0])}"
    return f"unknown {noun}; known {noun}s are {', '.join(sorted(known))}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _choice(values: Sequence[Any]) -> str:
    return ("one of " if len(values) > 1 else "") + ", ".join(json.dumps(value) for value in values)


def _names(info: mi.Type) -> list[str]:
    """What a type accepts, in words."""
    if isinstance(info, mi.Metadata):
        return _names(info.type)
    if isinstance(info, mi.UnionType):
        return [name for member in info.types for name in _names(member)]
    if isinstance(info, mi.LiteralType):
        return [_choice(info.values)]
    for kinds, name, _ in _KINDS:
        if isinstance(info, kinds):
            return [name] if name else []
    raise TypeError(f"no name for {info!r}")


# -- the walk ------------------------------------------------------------------------------------------


def _walk(info: mi.Type, value: Any, hidden: bool, extra: Mapping[str, Any] = {}) -> Iterator[Fault]:
    """Every fault of the value, with paths relative to it. `hidden`: it is a secret, do not repeat it."""
    if isinstance(info, mi.Metadata):
        extra = {**extra, **(info.extra_json_schema or {})}
        yield from _walk(info.type, value, hidden or bool(extra.get("writeOnly")), extra)
        return
    member = _member(info, value)
    if member is None:
        expected = _names(info)
        literals = _literals(info)
        if any(type_name(value) == type_name(choice) for choice in literals):
            yield _fault("enum", " or ".join(expected), value, hidden, literals)
        else:
            message = f"expected {' or '.join(expected)}, found {type_name(value)}"
            yield Fault(Path(), message, "type", tuple(expected), type_name(value))
        return
    if member is not info:
        yield from _walk(member, value, hidden, extra)
        return
    for kinds, _, check in _KINDS:
        if isinstance(info, kinds):
            yield from check(info, value, hidden, extra)


def _members(info: mi.Type) -> Sequence[mi.Type]:
    return info.types if isinstance(info, mi.UnionType) else (info,)


def _literals(info: mi.Type) -> tuple[Any, ...]:
    return tuple(v for member in _members(info) if isinstance(member, mi.LiteralType) for v in member.values)


def _member(info: mi.Type, value: Any) -> mi.Type | None:
    """The member of a union that takes values of this type; the type itself where it is no union."""
    for candidate in _members(info):
        bare: mi.Type = candidate
        while isinstance(bare, mi.Metadata):
            bare = bare.type
        if _takes(bare, value):
            return candidate
    return None


def _takes(info: mi.Type, value: Any) -> bool:
    if isinstance(info, mi.LiteralType):
        return any(value == choice and type_name(value) == type_name(choice) for choice in info.values)
    if isinstance(info, mi.AnyType):
        return True
    if isinstance(info, mi.BoolType):
        return isinstance(value, bool)
    if isinstance(info, mi.IntType | mi.FloatType) and isinstance(value, bool):
        return False
    if isinstance(info, mi.IntType):
        return isinstance(value, int)
    if isinstance(info, mi.FloatType):
        return isinstance(value, int | float)
    if isinstance(info, mi.StrType):
        return isinstance(value, str)
    if isinstance(info, mi.ListType | mi.VarTupleType):
        return isinstance(value, list)
    return isinstance(info, mi.DictType | mi.StructType) and isinstance(value, dict)


def _fault(code: str, right: str, value: Any, hidden: bool, expected: Any = None) -> Fault:
    """`expected <right>, found <value>`, without the value where it is a secret."""
    hidden = hidden or isinstance(value, FromEnv)
    message = f"expected {right}" if hidden else f"expected {right}, found {shown(value)}"
    return Fault(Path(), message, code, right if expected is None else expected, None if hidden else value)


def _nothing(info: mi.Type, value: Any, hidden: bool, extra: Mapping[str, Any]) -> Iterator[Fault]:
    yield from ()


def _number(info: "mi.IntType | mi.FloatType", value: float, hidden: bool, extra: Mapping[str, Any]) -> Iterator[Fault]:
    if info.ge is not None and value < info.ge:
        yield _fault("minimum", f"at least {info.ge:g}", value, hidden, info.ge)
    if info.gt is not None and value <= info.gt:
        yield _fault("above", f"more than {info.gt:g}", value, hidden, info.gt)
    if info.le is not None and value > info.le:
        yield _fault("maximum", f"at most {_digits(info.le)}", value, hidden, info.le)


def _digits(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


def _text(info: mi.StrType, value: str, hidden: bool, extra: Mapping[str, Any]) -> Iterator[Fault]:
    size = len(value)
    if info.min_length is not None and size < info.min_length:
        message = f"expected at least {_count(info.min_length, 'character')}, found {size}"
        yield Fault(Path(), message, "min_length", info.min_length, size)
    elif info.max_length is not None and size > info.max_length:
        message = f"expected at most {_count(info.max_length, 'character')}, found {size}"
        yield Fault(Path(), message, "max_length", info.max_length, size)
    elif info.pattern is not None and not re.search(info.pattern, value):
        regex = info.pattern.removesuffix("(?!\\n)")
        yield _fault("pattern", extra.get("title", f"text that matches {regex}"), value, hidden, regex)
    elif "format" in extra and (wrong := FORMATS[extra["format"]](value)):
        yield _fault("format", wrong.right, value, hidden)._replace(apisix=wrong.apisix)


def _size(info: Any, size: int, noun: str) -> Iterator[Fault]:
    code = "items" if noun == "item" else "properties"
    if info.min_length is not None and size < info.min_length:
        message = f"expected at least {_count(info.min_length, noun)}, found {size}"
        yield Fault(Path(), message, f"min_{code}", info.min_length, size)
    if info.max_length is not None and size > info.max_length:
        message = f"expected at most {_count(info.max_length, noun)}, found {size}"
        yield Fault(Path(), message, f"max_{code}", info.max_length, size)


def _array(info: "mi.ListType | mi.VarTupleType", value: list[Any], hidden: bool, extra: Mapping[str, Any]) -> Iterator[Fault]:
    yield from _size(info, len(value), "item")
    if extra.get("uniqueItems"):
        yield from _unique(value)
    for index, item in enumerate(value):
        for fault in _walk(info.item_type, item, hidden):
            yield fault.under(Path((index,)))


def _unique(value: list[Any]) -> Iterator[Fault]:
    seen: dict[str, int] = {}
    for index, item in enumerate(value):
        first = seen.setdefault(json.dumps(item, sort_keys=True, default=repr), index)
        if first != index:
            message = f"expected unique items, found [{first}] and [{index}] equal"
            yield Fault(Path(), message, "unique", None, (first, index))


def _mapping(info: mi.DictType, value: dict[str, Any], hidden: bool, extra: Mapping[str, Any]) -> Iterator[Fault]:
    yield from _size(info, len(value), "member")
    for key, item in value.items():
        for fault in _walk(info.key_type, key, hidden):
            yield fault.under(Path((key,)))
        for fault in _walk(info.value_type, item, hidden):
            yield fault.under(Path((key,)))


def _struct(info: mi.StructType, value: dict[str, Any], hidden: bool, extra: Mapping[str, Any]) -> Iterator[Fault]:
    fields = _fields(info.cls)
    good: dict[str, Any] = {}
    for key, item in value.items():
        field = fields.get(key)
        if field is None:
            if info.forbid_unknown_fields:
                yield Fault(Path((key,)), nearest("key", key, list(fields)), "unknown", tuple(fields), key)
            continue
        found = [fault.under(Path((key,))) for fault in _walk(field.type, item, hidden)]
        if not found:
            good[key] = item
        yield from found
    for name, field in fields.items():
        if field.required and name not in value:
            yield Fault(Path((name,)), "missing", "required")
    if issubclass(info.cls, Schema):
        try:
            yield from info.cls.rules(good, value.keys())
        except UnicodeEncodeError:  # of a text that a rule takes to pieces
            yield Fault(Path(()), "expected Unicode text, found a lone surrogate", "type")


_Check = Callable[[Any, Any, bool, Mapping[str, Any]], Iterator[Fault]]
_KINDS: tuple[tuple[Any, str, _Check], ...] = (
    (mi.StrType, "str", _text),
    (mi.BoolType, "bool", _nothing),
    (mi.IntType, "int", _number),
    (mi.FloatType, "number", _number),
    ((mi.ListType, mi.VarTupleType), "list", _array),
    (mi.DictType, "dict", _mapping),
    (mi.StructType, "dict", _struct),
    (mi.LiteralType, "", _nothing),
    (mi.AnyType, "any value", _nothing),
)
