"""JSON Schema (drafts 4, 6 and 7) by the jsonschema library, within bounds.

Owns: which schemas are taken, and that judging a value costs at most so many steps, whatever schema and value are. References
stay within the schema: nothing is ever fetched. Must not know requests, nor what a keyword demands (json_keywords).
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import jsonschema
import re2
from jsonschema.exceptions import SchemaError
from jsonschema.validators import extend
from jsonschema_specifications import REGISTRY

from fastgw.errors import ROOT, Fault, Path
from fastgw.plugins.json_keywords import DRAFT_4, KEYWORDS, ExhaustedError, Steps, counted, pattern, words
from fastgw.schema.decode import shown

__all__ = ["ExhaustedError", "JsonSchema", "schema_faults"]

MOST_PARTS: Final = 10_000  # schemas within one schema
MOST_DEEP: Final = 64
MOST_ALIKE: Final = 1_000  # schemas that may be asked of one and the same value
_DRAFTS: Final[dict[str, Any]] = {
    "http://json-schema.org/draft-04/schema": jsonschema.Draft4Validator,
    "http://json-schema.org/draft-06/schema": jsonschema.Draft6Validator,
    "http://json-schema.org/draft-07/schema": jsonschema.Draft7Validator,
}
_DEFAULT: Final = "http://json-schema.org/draft-07/schema"
# Keywords by where their schemas lie, and whether these are asked of the same value or of a part of it.
_LISTS: Final = ("allOf", "anyOf", "oneOf")
_SINGLE: Final = ("not", "if", "then", "else")
_OF_PARTS: Final = ("additionalProperties", "items", "additionalItems", "contains", "propertyNames")
_MAPS_OF_PARTS: Final = ("properties", "patternProperties", "definitions")


class JsonSchema:
    """A sound schema, ready to judge. Not for several threads at once."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._steps = Steps()
        draft = _DRAFTS[str(schema.get("$schema", _DEFAULT)).removesuffix("#")]
        own = {**KEYWORDS, **(DRAFT_4 if draft is jsonschema.Draft4Validator else {})}
        keywords = {name: counted(keyword, self._steps) for name, keyword in own.items() if name in draft.VALIDATORS}
        self._validator = extend(draft, keywords)(_spelled(schema), registry=REGISTRY)

    def reason(self, value: Any, steps: int) -> str | None:
        """What is wrong with the value; None: nothing. ExhaustedError: it would take more steps."""
        self._steps.left = steps
        try:
            error = next(self._validator.iter_errors(value), None)
        except RecursionError:
            return "nested too deeply"
        except (ArithmeticError, ValueError) as problem:  # numbers that no arithmetic here takes
            return f"cannot be judged: {type(problem).__name__}"
        # A name or a text of the value may be half of a surrogate pair, which is no text in any answer.
        return None if error is None else words(error)[:1024].encode(errors="backslashreplace").decode()


# ---- which schemas are taken -------------------------------------------------------------------------


def schema_faults(schema: Mapping[str, Any]) -> Iterator[Fault]:
    """The faults of a schema, with paths relative to it."""
    name = schema.get("$schema", _DEFAULT)
    if not isinstance(name, str) or name.removesuffix("#") not in _DRAFTS:
        known = ", ".join(f"{each}#" for each in _DRAFTS)
        yield Fault(Path(("$schema",)), f"expected one of {known}, found {shown(name)}")
        return
    try:
        draft = _DRAFTS[name.removesuffix("#")]
        draft.check_schema(schema, format_checker=jsonschema.FormatChecker(()))
    except SchemaError as error:
        yield Fault(Path(tuple(error.absolute_path)), f"expected a JSON Schema, found {shown(error.instance)}")
        return
    except RecursionError:
        yield Fault(ROOT, f"expected a JSON Schema, nested at most {MOST_DEEP} deep")
        return
    yield from _Look(schema, "id" if draft is jsonschema.Draft4Validator else "$id").faults()


class _Node(NamedTuple):
    schema: Mapping[str, Any]
    same: "list[Mapping[str, Any]]"
    """Schemas that are asked of the same value."""


class _Look:
    """One look through a schema that its meta-schema takes."""

    def __init__(self, schema: Mapping[str, Any], own_name: str) -> None:
        """own_name: the keyword by which a schema says what it is called."""
        self._root = schema
        self._own_name = own_name
        self._nodes: dict[int, _Node] = {}
        self._found: list[Fault] = []
        self._costs: dict[int, int] = {}

    def faults(self) -> Iterator[Fault]:
        """All that is wrong with it."""
        self._visit(self._root, ROOT, 0)
        if not self._found:
            for node in list(self._nodes.values()):
                if self._cost(node.schema) > MOST_ALIKE:
                    message = f"expected no reference that leads back to itself, and at most {MOST_ALIKE} schemas for one value"
                    self._found.append(Fault(ROOT, message))
                    break
        yield from self._found

    def _visit(self, schema: Any, path: Path, depth: int) -> None:
        if not isinstance(schema, dict) or id(schema) in self._nodes:
            return
        if depth > MOST_DEEP or len(self._nodes) >= MOST_PARTS:
            if not self._found:
                self._found.append(Fault(path, f"expected at most {MOST_PARTS} schemas, nested at most {MOST_DEEP} deep"))
            return
        node = _Node(schema, [])
        self._nodes[id(schema)] = node
        if path and isinstance(schema.get(self._own_name), str):
            message = "not supported below the top: references are within the schema"
            self._found.append(Fault(path.to(self._own_name), message))
        for at, text in _patterns(schema, path):
            if not _lawful(text):
                self._found.append(Fault(at, "expected a regular expression (of RE2: no look-around, no back-references)"))
        self._same(node, path, depth)
        for name in _OF_PARTS:
            self._each(schema.get(name), path.to(name), depth)
        for name in _MAPS_OF_PARTS:
            for key, part in schema[name].items() if isinstance(schema.get(name), dict) else ():
                self._visit(part, path.to(name, key), depth + 1)

    def _same(self, node: _Node, path: Path, depth: int) -> None:
        schema = node.schema
        parts = [(schema[name], path.to(name)) for name in _SINGLE if name in schema]
        parts += [(part, path.to(name, i)) for name in _LISTS for i, part in enumerate(schema.get(name, ()))]
        depends = schema.get("dependencies")
        parts += [(part, path.to("dependencies", key)) for key, part in (depends.items() if isinstance(depends, dict) else ())]
        for part, at in parts:
            if isinstance(part, dict):
                node.same.append(part)
                self._visit(part, at, depth + 1)
        if isinstance(schema.get("$ref"), str):
            target = self._target(schema["$ref"], path.to("$ref"))
            if target is not None:
                node.same.append(target)
                self._visit(target, path.to("$ref"), depth + 1)

    def _each(self, part: Any, path: Path, depth: int) -> None:
        for index, each in enumerate(part) if isinstance(part, list) else ():
            self._visit(each, path.to(index), depth + 1)
        self._visit(part, path, depth + 1)

    def _target(self, ref: str, path: Path) -> Mapping[str, Any] | None:
        """Where a JSON Pointer in a fragment leads (RFC 6901 section 6)."""
        here: Any = self._root
        try:
            if not ref.startswith("#") or not (ref == "#" or ref.startswith("#/")):
                raise LookupError
            for part in ref[2:].split("/") if len(ref) > 1 else ():
                if "%" in part:
                    raise LookupError
                name = part.replace("~1", "/").replace("~0", "~")
                here = here[int(name)] if isinstance(here, list) else here[name]
            if not isinstance(here, dict):
                raise LookupError
        except (LookupError, ValueError, TypeError):
            self._found.append(Fault(path, f'expected a place within the schema as "#/definitions/a", found {shown(ref)}'))
            return None
        return here

    def _cost(self, schema: Mapping[str, Any]) -> int:
        """How many schemas are asked of a value by this one; beyond MOST_ALIKE where it comes back to itself."""
        known = self._costs.get(id(schema))
        if known is None:
            self._costs[id(schema)] = MOST_ALIKE + 1  # until it is known
            node = self._nodes.get(id(schema))
            known = min(1 + sum(map(self._cost, node.same if node else ())), MOST_ALIKE + 1)
            self._costs[id(schema)] = known
        return known


def _patterns(schema: Mapping[str, Any], path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(schema.get("pattern"), str):
        yield path.to("pattern"), schema["pattern"]
    several = schema.get("patternProperties")
    for text in several if isinstance(several, dict) else ():
        yield path.to("patternProperties", text), text


def _lawful(text: str) -> bool:
    try:
        pattern(text)
    except (re2.error, UnicodeEncodeError):
        return False
    return True


def _spelled(schema: Any) -> Any:
    """The schema without `false` and `true` for schemas: of the former the library repeats the whole value that it refuses."""
    if isinstance(schema, bool):
        return {} if schema else {"not": {}}
    if not isinstance(schema, dict):
        return schema
    made = dict(schema)
    for name in (*_SINGLE, "contains", "propertyNames"):
        if name in made:
            made[name] = _spelled(made[name])
    for name in ("additionalProperties", "additionalItems"):  # whose keywords know it themselves
        if isinstance(made.get(name), dict):
            made[name] = _spelled(made[name])
    for name in (*_LISTS, "items"):
        if name in made:
            made[name] = [_spelled(each) for each in made[name]] if isinstance(made[name], list) else _spelled(made[name])
    for name in (*_MAPS_OF_PARTS, "dependencies"):
        if isinstance(made.get(name), dict):
            made[name] = {key: _spelled(each) for key, each in made[name].items()}
    return made
