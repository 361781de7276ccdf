"""Faults in APISIX's words: what its schema validator says for what ours found.

Owns: the grammar of those reasons, and which check of an object comes first. Must not know: which faults
there can be (schema and plugins find them), HTTP. A new code in errors.Fault needs a line here.
"""

from collections.abc import Callable
from typing import Any, Final

from fastgw.errors import Fault, Path
from fastgw.schema import decode

__all__ = ["reason", "refusal", "type_name"]

_TYPES: Final = {"str": "string", "int": "integer", "bool": "boolean", "number": "number", "list": "array", "dict": "object"}
_FOUND: Final = {"str": "string", "int": "number", "float": "number", "bool": "boolean", "null": "userdata"}
_NO_MATCH: Final = "object matches none of the required"
_NONE_OF_ONE: Final = "value should match only one schema, but matches none"
_PEM: Final = frozenset({"cert", "key", "certs", "keys"})


def refusal(kind: str, fault: Fault) -> str:
    """The whole message for a fault of an object."""
    if fault.apisix and not fault.apisix.startswith("property "):
        return fault.apisix  # APISIX finds these beside its schema
    return f"invalid configuration: {reason(fault, kind)}"


def reason(fault: Fault, kind: str = "") -> str:
    """One fault in the words of APISIX's schema validator, led to by the names on its path.

    kind is empty for the conf of a plugin.
    """
    path, text = fault.path, _own_reason(fault, kind)
    if fault.code in ("required", "unknown") or fault.apisix.startswith("property "):
        path = Path(path[:-1])  # the text names the last part itself
    for depth, part in reversed(list(enumerate(path))):
        if isinstance(part, int):
            text = f"failed to validate item {part + 1}: {text}"
        elif kind and depth and path[depth - 1] == "labels":
            text = f'failed to validate {part} (matching ".*"): {text}'  # any name is lawful there
        else:
            text = f'property "{part}" validation failed: {text}'
    return text


def type_name(value: Any) -> str:
    """What APISIX calls the type of a JSON value."""
    return "array" if isinstance(value, list) else _FOUND.get(decode.type_name(value), "object")


def _own_reason(fault: Fault, kind: str) -> str:
    if fault.apisix:
        return fault.apisix
    name = next((part for part in reversed(fault.path) if isinstance(part, str)), "")
    if fault.code == "enum":
        return "matches none of the enum values"
    is_id = name == "id" or (name.endswith("_id") and kind != "secrets")
    several = (is_id and "labels" not in fault.path) or (fault.code == "format" and name.startswith("remote_addr"))
    if kind and several:
        return _NO_MATCH  # APISIX tries several schemas on these
    if kind == "ssls" and name in _PEM and fault.code.endswith("_length"):
        return _NONE_OF_ONE
    make = _REASONS.get(fault.code)
    return make(fault, kind) if make else fault.message


def _type(fault: Fault, kind: str) -> str:
    if len(fault.expected) != 1:
        return _NO_MATCH if kind else _NONE_OF_ONE  # objects have anyOf, plugins oneOf
    name = fault.expected[0]
    expected = _TYPES.get(name) or ("string" if '"' in name else "integer")  # of a choice: that of its values
    return f"wrong type: expected {expected}, got {_FOUND.get(fault.found, 'table')}"


def _one_of(fault: Fault, kind: str) -> str:
    prefix = "allOf 1 failed: " if kind == "routes" and not fault.path else ""
    if not fault.found:
        return prefix + _NONE_OF_ONE
    first, second = sorted(fault.expected.index(name) + 1 for name in fault.found)[:2]
    return f"{prefix}value should match only one schema, but matches both schemas {first} and {second}"


def _any_of(fault: Fault, kind: str) -> str:
    beside = ',"uri"' if kind == "routes" and not fault.path else ""
    return f"{_NO_MATCH}: " + " or ".join(f'["{name}"{beside}]' for name in fault.expected)


def _pattern(fault: Fault, _: str) -> str:
    text = f'failed to match pattern "{fault.expected}"'
    return text if fault.found is None else f'{text} with "{fault.found}"'


def _unique(fault: Fault, _: str) -> str:
    first, second = (position + 1 for position in fault.found)
    return f"expected unique items but items {first} and {second} are equal"


def _bound(text: str) -> Callable[[Fault, str], str]:
    """Fills in the number found, which is left out where it is a secret, and the bound."""
    return lambda fault, _: text.format(
        found="value" if fault.found is None else f"{fault.found:.14g}", bound=f"{fault.expected:.14g}"
    )


_REASONS: Final[dict[str, Callable[[Fault, str], str]]] = {
    "type": _type,
    "required": lambda fault, _: f'property "{fault.path[-1]}" is required',
    "unknown": lambda fault, _: f"additional properties forbidden, found {fault.path[-1]}",
    "minimum": _bound("expected {found} to be at least {bound}"),
    "above": _bound("expected {found} to be greater than {bound}"),
    "maximum": _bound("expected {found} to be at most {bound}"),
    "min_length": _bound("string too short, expected at least {bound}, got {found}"),
    "max_length": _bound("string too long, expected at most {bound}, got {found}"),
    "pattern": _pattern,
    "min_items": _bound("expect array to have at least {bound} items"),
    "max_items": _bound("expect array to have at most {bound} items"),
    "unique": _unique,
    "min_properties": _bound("expect object to have at least {bound} properties"),
    "max_properties": _bound("expect object to have at most {bound} properties"),
    "one_of": _one_of,
    "any_of": _any_of,
    "unsupported": lambda fault, _: f"not supported: {fault.message.removeprefix('not supported; ')}",
}
