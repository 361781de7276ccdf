"""The keywords of JSON Schema (drafts 4, 6 and 7) as the jsonschema library calls them, and the words for what is wrong.

Owns: what each keyword demands; that whatever it does is paid for in steps; the words, which are those of APISIX's validator.
Must not know which schemas are taken (json_schema).

The library's own repeat the value in the text of each error and match patterns with `re`, so that a body of a few KiB can cost
minutes. Patterns are RE2's here.
"""

import datetime
import ipaddress
import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Final

import re2
from jsonschema import ValidationError

__all__ = ["DRAFT_4", "KEYWORDS", "ExhaustedError", "Steps", "counted", "pattern", "words"]

_PATTERN_MEMORY: Final = 1 << 20
_SHOWN: Final = 64  # characters of a name or a text that an answer repeats
_ESCAPE: Final = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|.)", re.DOTALL)

Found = Iterator[ValidationError]


class ExhaustedError(Exception):
    """The steps did not suffice."""


class Steps:
    """What is left of them."""

    def __init__(self) -> None:
        self.left = 0

    def spend(self, n: int = 1) -> None:
        """Takes so many; ExhaustedError: there are not."""
        self.left -= n
        if self.left < 0:
            raise ExhaustedError


def pattern(text: str) -> Callable[[bytes], Any]:
    """The search of an ECMA 262 pattern, as far as RE2 has it."""
    options: Final = re2.Options()
    options.log_errors = False
    options.max_mem = _PATTERN_MEMORY
    translated = _ESCAPE.sub(lambda found: f"\\x{{{found[1]}}}" if found[1] else found[0], text)
    search: Callable[[bytes], Any] = re2.compile(translated.encode(), options).search
    return search


class _Patterns(dict[str, Callable[[bytes], Any]]):
    def __missing__(self, text: str) -> Callable[[bytes], Any]:
        if len(self) >= 4096:
            self.clear()
        self[text] = search = pattern(text)
        return search


_SEARCHES: Final = _Patterns()


def _finds(expression: str, text: str) -> bool:
    return _SEARCHES[expression](text.encode(errors="replace")) is not None


# ---- words -------------------------------------------------------------------------------------------


def words(error: ValidationError) -> str:
    """The whole of what is wrong, led to by the names on its path."""
    text: str = error.message
    for part in reversed(error.relative_path):
        if isinstance(part, int):
            text = f"failed to validate item {part + 1}: {text}"
        else:
            text = f'property "{_cut(part)}" validation failed: {text}'
    return text


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _wrong(text: str) -> Found:
    yield ValidationError(text)


def _first(found: Found) -> ValidationError | None:
    return next(found, None)


def _type_name(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else "userdata" if value is None else "table"


def _number(value: Any) -> str:
    return format(value, ".14g") if isinstance(value, float) or abs(value) >= 10**15 else str(value)


# ---- keywords ----------------------------------------------------------------------------------------


def counted(keyword: Callable[..., Found], steps: Steps) -> Callable[..., Found]:
    """The keyword, for whose every use a step is taken; `spend` is for what it does beside asking other schemas."""
    spend = steps.spend

    def counted(validator: Any, wanted: Any, value: Any, schema: Any) -> Found:
        spend()
        yield from keyword(validator, wanted, value, schema, spend)

    return counted


def _frozen(value: Any, spend: Callable[..., None]) -> Any:
    """Equal values, as JSON Schema has it, have equal ones of these, which can be looked up."""
    spend()
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, dict):
        return frozenset((name, _frozen(each, spend)) for name, each in value.items())
    if isinstance(value, list):
        return tuple(_frozen(each, spend) for each in value)
    return value


def _type(validator: Any, wanted: Any, value: Any, _: Any, spend: Any) -> Found:
    names = [wanted] if isinstance(wanted, str) else wanted
    if not any(validator.is_type(value, name) for name in names):
        one = names[0] if len(names) == 1 else "one of " + ", ".join(names)
        yield from _wrong(f"wrong type: expected {one}, got {_type_name(value)}")


def _enum(_: Any, wanted: Any, value: Any, __: Any, spend: Any) -> Found:
    own = _frozen(value, spend)
    if not any(_frozen(each, spend) == own for each in wanted):
        yield from _wrong("matches none of the enum values")


def _const(_: Any, wanted: Any, value: Any, __: Any, spend: Any) -> Found:
    if _frozen(wanted, spend) != _frozen(value, spend):
        yield from _wrong("failed to match the constant")


def _properties(validator: Any, wanted: Any, value: Any, _: Any, spend: Any) -> Found:
    if isinstance(value, dict):
        spend(len(wanted))
        for name, part in wanted.items():
            if name in value:
                yield from validator.descend(value[name], part, path=name)


def _pattern_properties(validator: Any, wanted: Any, value: Any, _: Any, spend: Any) -> Found:
    if isinstance(value, dict):
        spend(len(wanted) * len(value))
        for expression, part in wanted.items():
            for name, each in value.items():
                if _finds(expression, name):
                    yield from validator.descend(each, part, path=name)


def _additional_properties(validator: Any, wanted: Any, value: Any, schema: Any, spend: Any) -> Found:
    if not isinstance(value, dict):
        return
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    spend(len(value) * (1 + len(patterns)))
    for name, each in value.items():
        if name in known or any(_finds(each_, name) for each_ in patterns):
            continue
        if wanted is False:
            yield from _wrong(f"additional properties forbidden, found {_cut(name)}")
        else:
            yield from validator.descend(each, wanted, path=name)


def _property_names(validator: Any, wanted: Any, value: Any, _: Any, spend: Any) -> Found:
    for name in value if isinstance(value, dict) else ():
        error = _first(validator.descend(name, wanted))
        if error is not None:
            yield from _wrong(f'property name "{_cut(name)}" is invalid: {words(error)}')


def _required(_: Any, wanted: Any, value: Any, __: Any, spend: Any) -> Found:
    if isinstance(value, dict) and isinstance(wanted, list):
        spend(len(wanted))
        for name in wanted:
            if name not in value:
                yield from _wrong(f'property "{_cut(name)}" is required')


def _dependencies(validator: Any, wanted: Any, value: Any, _: Any, spend: Any) -> Found:
    for name, needs in wanted.items() if isinstance(value, dict) else ():
        if name not in value:
            continue
        if isinstance(needs, list):
            spend(len(needs))
            missing = next((each for each in needs if each not in value), None)
            if missing is not None:
                yield from _wrong(f"property {_cut(missing)} is required when {_cut(name)} is set")
        else:
            yield from validator.descend(value, needs)


def _size(kind: type | tuple[type, ...], least: bool, text: str) -> Callable[..., Found]:
    """minLength and its like: of values of this kind, at least, or at most, so many."""

    def keyword(_: Any, wanted: Any, value: Any, __: Any, spend: Any) -> Found:
        if isinstance(value, kind) and (len(value) < wanted if least else len(value) > wanted):  # type: ignore[arg-type]
            yield from _wrong(text.format(wanted=_number(wanted), found=len(value)))  # type: ignore[arg-type]

    return keyword


def _bound(fails: Callable[[Any, Any], bool], text: str) -> Callable[..., Found]:
    def keyword(validator: Any, wanted: Any, value: Any, _: Any, spend: Any) -> Found:
        if validator.is_type(value, "number") and fails(value, wanted):
            yield from _wrong(f"expected {_number(value)} to be {text} {_number(wanted)}")

    return keyword


_minimum = _bound(lambda value, wanted: value < wanted, "at least")
_maximum = _bound(lambda value, wanted: value > wanted, "at most")
_over = _bound(lambda value, wanted: value <= wanted, "greater than")
_under = _bound(lambda value, wanted: value >= wanted, "smaller than")


def _minimum_4(validator: Any, wanted: Any, value: Any, schema: Any, spend: Any) -> Found:
    """Draft 4, where exclusiveMinimum is true or false."""
    yield from (_over if schema.get("exclusiveMinimum") is True else _minimum)(validator, wanted, value, schema, spend)


def _maximum_4(validator: Any, wanted: Any, value: Any, schema: Any, spend: Any) -> Found:
    yield from (_under if schema.get("exclusiveMaximum") is True else _maximum)(validator, wanted, value, schema, spend)


def _multiple_of(validator: Any, wanted: Any, value: Any, _: Any, spend: Any) -> Found:
    if not validator.is_type(value, "number"):
        return
    quotient = value / wanted if isinstance(wanted, float) or isinstance(value, float) else None
    if value % wanted if quotient is None else quotient != int(quotient):
        yield from _wrong(f"expected {_number(value)} to be a multiple of {_number(wanted)}")


def _pattern_of(_: Any, wanted: Any, value: Any, __: Any, spend: Any) -> Found:
    if isinstance(value, str) and not _finds(wanted, value):
        yield from _wrong(f'failed to match pattern "{_cut(wanted)}" with "{_cut(value)}"')


def _format(_: Any, wanted: Any, value: Any, __: Any, spend: Any) -> Found:
    check = _FORMATS.get(wanted) if isinstance(wanted, str) else None
    if check is None or not isinstance(value, str):
        return
    try:
        good = len(value) <= 1024 and bool(check(value))
    except ValueError:
        good = False
    if not good:
        yield from _wrong(f"expected valid {wanted}, got {_cut(value)}")


def _items(validator: Any, wanted: Any, value: Any, _: Any, spend: Any) -> Found:
    if isinstance(value, list):
        spend(len(value))
        pairs = zip(value, wanted, strict=False) if isinstance(wanted, list) else ((each, wanted) for each in value)
        for index, (each, part) in enumerate(pairs):
            yield from validator.descend(each, part, path=index)


def _additional_items(validator: Any, wanted: Any, value: Any, schema: Any, spend: Any) -> Found:
    listed = schema.get("items")
    if not isinstance(value, list) or not isinstance(listed, list):
        return
    for index in range(len(listed), len(value)):
        spend()
        if wanted is False:
            yield from _wrong("additional items forbidden")
            return
        yield from validator.descend(value[index], wanted, path=index)


def _contains(validator: Any, wanted: Any, value: Any, _: Any, spend: Any) -> Found:
    if isinstance(value, list):
        spend(len(value))
        if all(_first(validator.descend(each, wanted)) is not None for each in value):
            yield from _wrong("failed to contain a matching item")


def _unique_items(_: Any, wanted: Any, value: Any, __: Any, spend: Any) -> Found:
    if wanted is not True or not isinstance(value, list):
        return
    seen: dict[Any, int] = {}
    for index, each in enumerate(value):
        before = seen.setdefault(_frozen(each, spend), index)
        if before != index:
            yield from _wrong(f"expected unique items but items {before + 1} and {index + 1} are equal")
            return


def _all_of(validator: Any, wanted: Any, value: Any, _: Any, spend: Any) -> Found:
    for index, part in enumerate(wanted):
        error = _first(validator.descend(value, part))
        if error is not None:
            yield from _wrong(f"allOf {index + 1} failed: {words(error)}")


def _any_of(validator: Any, wanted: Any, value: Any, _: Any, spend: Any) -> Found:
    if all(_first(validator.descend(value, part)) is not None for part in wanted):
        yield from _wrong("object matches none of the required")


def _one_of(validator: Any, wanted: Any, value: Any, _: Any, spend: Any) -> Found:
    good = [index for index, part in enumerate(wanted) if _first(validator.descend(value, part)) is None]
    if not good:
        yield from _wrong("value should match only one schema, but matches none")
    elif len(good) > 1:
        yield from _wrong(f"value should match only one schema, but matches both schemas {good[0] + 1} and {good[1] + 1}")


def _not(validator: Any, wanted: Any, value: Any, _: Any, spend: Any) -> Found:
    if _first(validator.descend(value, wanted)) is None:
        yield from _wrong("value wasn't supposed to match schema")


def _if(validator: Any, wanted: Any, value: Any, schema: Any, spend: Any) -> Found:
    branch = "else" if _first(validator.descend(value, wanted)) is not None else "then"
    if branch in schema:
        yield from validator.descend(value, schema[branch])


def _ref(validator: Any, wanted: Any, value: Any, _: Any, spend: Any) -> Found:
    yield from validator._validate_reference(ref=wanted, instance=value)


_FORMATS: Final[dict[str, Callable[[str], Any]]] = {
    "email": lambda text: re.fullmatch(r"[^@\s]+@[^@\s]+", text),
    "ipv4": ipaddress.IPv4Address,
    "ipv6": ipaddress.IPv6Address,
    "date": lambda text: len(text) == 10 and datetime.date.fromisoformat(text),
    "date-time": lambda text: datetime.datetime.fromisoformat(text.upper().replace("Z", "+00:00")).tzinfo,
    "uuid": lambda text: len(text) == 36 and uuid.UUID(text),
}
KEYWORDS: Final[dict[str, Callable[..., Found]]] = {
    "$ref": _ref,
    "additionalItems": _additional_items,
    "additionalProperties": _additional_properties,
    "allOf": _all_of,
    "anyOf": _any_of,
    "const": _const,
    "contains": _contains,
    "dependencies": _dependencies,
    "enum": _enum,
    "exclusiveMaximum": _under,
    "exclusiveMinimum": _over,
    "format": _format,
    "if": _if,
    "items": _items,
    "maxItems": _size(list, False, "expect array to have at most {wanted} items"),
    "maxLength": _size(str, False, "string too long, expected at most {wanted}, got {found}"),
    "maxProperties": _size(dict, False, "expect object to have at most {wanted} properties"),
    "maximum": _maximum,
    "minItems": _size(list, True, "expect array to have at least {wanted} items"),
    "minLength": _size(str, True, "string too short, expected at least {wanted}, got {found}"),
    "minProperties": _size(dict, True, "expect object to have at least {wanted} properties"),
    "minimum": _minimum,
    "multipleOf": _multiple_of,
    "not": _not,
    "oneOf": _one_of,
    "pattern": _pattern_of,
    "patternProperties": _pattern_properties,
    "properties": _properties,
    "propertyNames": _property_names,
    "required": _required,
    "type": _type,
    "uniqueItems": _unique_items,
}
DRAFT_4: Final[dict[str, Callable[..., Found]]] = {"minimum": _minimum_4, "maximum": _maximum_4}
"""What else draft 4 means by these."""
