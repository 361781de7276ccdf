"""From the text of a file to plain data: JSON, YAML by yaml_text.py, and TOML.

Owns syntax faults with line and column, names that stand twice in one object, and the bounds of what the rest
of the gateway handles: depth, whole numbers of 64 bits, finite numbers, Unicode without lone surrogates. Must
not know what the data means.
"""

import json
import math
import re
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from fastgw.errors import ROOT, Fault, Path
from fastgw.schema.yaml_text import YamlError, read_yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["MAX_DEPTH", "SUFFIXES", "TOO_DEEP", "is_too_deep", "parse", "parse_json"]

SUFFIXES: Final = (".json", ".yaml", ".yml", ".toml")
MAX_DEPTH: Final = 64  # no lawful object is deeper than about 20; walks over data recurse
_TOML_PLACE: Final = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)
TOO_DEEP: Final = f"expected at most {MAX_DEPTH} levels of nesting, found more"


def parse(raw: bytes, suffix: str) -> tuple[Any, list[Fault]]:
    """The data of a file by its suffix. A syntax fault is the only fault, and then there is no data."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return None, [_syntax(f"line {line}: expected UTF-8, found byte 0x{raw[error.start]:02x}")]
    reader = {".json": _read_json, ".toml": _read_toml}.get(suffix, _read_yaml)
    try:
        value, faults = reader(text)
    except RecursionError:
        return None, [_syntax(TOO_DEEP)]
    if faults and faults[0].code == "syntax":
        return None, faults[:1]
    if is_too_deep(value):
        return None, [_syntax(TOO_DEEP)]
    return value, [*faults, *_unusable(value, ROOT)]


def parse_json(raw: bytes) -> tuple[Any, list[Fault]]:
    """JSON that came over the network, by the same rules as a file."""
    return parse(raw, ".json")


def _syntax(message: str) -> Fault:
    return Fault(ROOT, message, "syntax")


# -- JSON ----------------------------------------------------------------------------------------------


def _whole_number(digits: str) -> int:
    # Python refuses more than 4300 digits; such a number is out of bounds in any case.
    return int(digits) if len(digits) < 100 else 10**100


def _read_json(text: str) -> tuple[Any, list[Fault]]:
    twice: dict[int, tuple[dict[str, Any], list[str]]] = {}  # by identity, as a hook is not told its path

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            counts = Counter(name for name, _ in pairs)
            twice[id(found)] = found, [name for name, times in counts.items() if times > 1]
        return found

    try:
        value = json.loads(text, object_pairs_hook=members, parse_int=_whole_number)
    except json.JSONDecodeError as error:
        return None, [_syntax(f"{error.lineno}:{error.colno}: {error.msg[:1].lower()}{error.msg[1:]}")]
    if is_too_deep(value):
        return None, [_syntax(TOO_DEEP)]
    return value, list(_duplicates(value, ROOT, twice)) if twice else []


def _duplicates(value: Any, path: Path, twice: dict[int, tuple[dict[str, Any], list[str]]]) -> Iterator[Fault]:
    for name in twice[id(value)][1] if id(value) in twice else ():
        yield Fault(path.to(name), "found twice in the same object", "duplicate")
    for part, item in _inside(value):
        yield from _duplicates(item, path.to(part), twice)


# -- TOML and YAML -------------------------------------------------------------------------------------


def _read_toml(text: str) -> tuple[Any, list[Fault]]:
    try:
        return tomllib.loads(text), []
    except ValueError as error:
        match = _TOML_PLACE.fullmatch(str(error))
        message = match[1] if match else str(error)
        place = f"{match[2]}:{match[3]}: " if match and match[2] else "at the end: " if match else ""
        return None, [_syntax(f"{place}{message[:1].lower()}{message[1:]}")]


def _read_yaml(text: str) -> tuple[Any, list[Fault]]:
    try:
        return read_yaml(text, MAX_DEPTH)
    except YamlError as error:
        return None, [_syntax(str(error))]


# -- bounds --------------------------------------------------------------------------------------------


def _inside(value: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from enumerate(value)


def is_too_deep(value: Any) -> bool:
    """Whether containers are nested deeper than they may be; without recursion, and not looked at beyond that."""
    level, depth = [value], 0
    while level and depth <= MAX_DEPTH:
        level = [item for outer in level for _, item in _inside(outer) if isinstance(item, dict | list)]
        depth += 1
    return depth > MAX_DEPTH


def _unusable(value: Any, path: Path) -> Iterator[Fault]:
    """Values that syntax allows and nothing behind it can carry."""
    wrong = ""
    if isinstance(value, str):
        wrong = "" if _encodes(value) else "expected Unicode text, found a lone surrogate"
    elif isinstance(value, bool) or value is None or isinstance(value, dict | list):
        pass
    elif isinstance(value, int):
        wrong = "" if -(2**63) <= value < 2**63 else "expected a whole number of at most 64 bits"
    elif isinstance(value, float):
        wrong = "" if math.isfinite(value) else "expected a finite number"
    else:
        wrong = f"expected str, number, bool, list or dict, found {type(value).__name__}"
    if wrong:
        yield Fault(path, wrong, "type")
    for name, item in _inside(value):
        if isinstance(name, str) and not _encodes(name):
            yield Fault(path.to(name), "expected a name in Unicode text, found a lone surrogate", "type")
        yield from _unusable(item, path.to(name))


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
