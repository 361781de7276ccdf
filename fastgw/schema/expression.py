"""The syntax of match expressions: a route's `vars` and a plugin's `_meta.filter`.

Owns which operators there are, what operands they take, and the form in which a sound expression is handed on. Must not know
how it is evaluated (native/expr), nor which variables exist. Depth and size are bounded, as an expression runs on every request.
"""

import ipaddress
import json
import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import re2

from fastgw.errors import ROOT, Fault, Path
from fastgw.schema.regex import search_of

__all__ = ["COMPARISONS", "LOGIC", "MOST_RULES", "Comparison", "Group", "expression_faults", "parsed", "variables"]

LOGIC = frozenset({"AND", "OR", "!AND", "!OR"})
COMPARISONS = frozenset({"==", "~=", ">", ">=", "<", "<=", "~~", "~*", "in", "has", "ipmatch"})
_MAX_DEPTH = 16
MOST_RULES = 256
_NUMBER = re.compile(r"[ \t]*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[ \t]*", re.ASCII)
_MOST_DIGITS = 100
_MOST = 10**_MOST_DIGITS


class Comparison(NamedTuple):
    """One rule."""

    variable: str
    operator: str
    value: Any
    """As written; of a pattern the `search` of its regular expression, over bytes; of ipmatch a tuple of networks."""
    negated: bool = False


class Group(NamedTuple):
    """Rules of which all, or any, must hold."""

    members: tuple["Comparison | Group", ...]
    any: bool = False
    negated: bool = False


def parsed(rules: list[Any]) -> Group:
    """A sound expression in the form that is evaluated."""
    if rules and _is_logic(rules[0]):
        operator = rules[0].upper()
        return Group(tuple(map(_rule, rules[1:])), operator.endswith("OR"), operator.startswith("!"))
    return Group(tuple(map(_rule, rules)))


def variables(rules: list[Any], path: Path = ROOT) -> Iterator[tuple[str, Path]]:
    """The variables of a sound expression, each with its place."""
    for index, rule in enumerate(rules):
        if isinstance(rule, list) and rule:
            at = path.to(index)
            if isinstance(rule[0], list) or _is_logic(rule[0]):
                yield from variables(rule, at)
            else:
                yield rule[0], at.to(0)


def _rule(rule: list[Any]) -> Comparison | Group:
    if isinstance(rule[0], list) or _is_logic(rule[0]):
        return parsed(rule)
    if len(rule) == 2:
        return Comparison(rule[0], "==", _text(rule[1]).lower())
    negated = rule[1] == "!"
    operator, value = rule[-2].lower(), rule[-1]
    if operator in ("~~", "~*"):
        value = search_of(value, fold=operator == "~*")
    elif operator == "ipmatch":
        value = tuple(value) if isinstance(value, list) else (value,)
    return Comparison(rule[0], operator, value, negated)


def _text(value: str | float) -> str:
    """As Lua writes a number where a text is wanted."""
    return value if isinstance(value, str) else format(value, ".14g")


def expression_faults(value: Any) -> list[Fault]:
    """The faults of an expression, with paths relative to it."""
    if not isinstance(value, list):
        return [_fault(Path(), "expected list of rules", "rule should be wrapped inside brackets")]
    faults: list[Fault] = []
    _group(value, Path(), 0, faults)
    return faults


def _fault(path: Path, message: str, reason: str) -> Fault:
    return Fault(path, message, apisix=f"failed to validate the 'vars' expression: {reason}")


def _is_logic(value: Any) -> bool:
    return isinstance(value, str) and value.upper() in LOGIC


def _group(rules: list[Any], path: Path, depth: int, faults: list[Fault]) -> None:
    """A list of rules, all of which must hold, or a logic operator with its operands."""
    start = 0
    if rules and _is_logic(rules[0]):
        start = 1
        if len(rules) < 3:
            message = f"expected at least 2 operands of {rules[0]}, found {len(rules) - 1}"
            faults.append(_fault(path, message, "rule too short"))
    if depth > _MAX_DEPTH or len(rules) > MOST_RULES:
        message = f"expected at most {MOST_RULES} rules, nested at most {_MAX_DEPTH} deep"
        faults.append(_fault(path, message, "invalid expression"))
        return
    for index in range(start, len(rules)):
        rule, at = rules[index], path.to(index)
        if not isinstance(rule, list):
            message = "expected a rule such as [variable, operator, value]"
            faults.append(_fault(at, message, "rule should be wrapped inside brackets"))
        elif rule and (_is_logic(rule[0]) or isinstance(rule[0], list)):
            _group(rule, at, depth + 1, faults)
        else:
            _comparison(rule, at, faults)


def _comparison(rule: list[Any], path: Path, faults: list[Fault]) -> None:
    """`[variable, operator, value]`; `"!"` before the operator: its opposite; `[variable, value]`: equal."""
    if len(rule) < 2:
        faults.append(_fault(path, "expected [variable, operator, value]", "rule too short"))
        return
    if not isinstance(rule[0], str) or not rule[0]:
        faults.append(_fault(path.to(0), "expected the name of a variable", "invalid expression"))
    if len(rule) == 2:
        _short(rule[1], path.to(1), faults)
        return
    place = 1
    if rule[1] == "!":
        place = 2
        if len(rule) != 4:
            message = 'expected [variable, "!", operator, value]'
            faults.append(_fault(path, message, "bad 'not' expression"))
            return
    operator = rule[place]
    if not isinstance(operator, str) or operator.lower() not in COMPARISONS:
        found = json.dumps(operator, default=str)[:64]
        message = f"expected one of {' '.join(sorted(COMPARISONS))}, found {found}"
        reason = f"invalid operator '{operator}'" if isinstance(operator, str) else "invalid expression"
        faults.append(_fault(path.to(place), message, reason))
    elif len(rule) != place + 2:
        message = f"expected one value after {operator}, found {len(rule) - place - 1}"
        faults.append(_fault(path, message, "invalid expression"))
    else:
        _operand(operator.lower(), rule[place + 1], path.to(place + 1), faults)


def _short(value: Any, path: Path, faults: list[Fault]) -> None:
    """The value of a rule without an operator."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        faults.append(_fault(path, "expected text or number", "invalid expression"))
    elif isinstance(value, str) and value.lower() in COMPARISONS | {"!"}:
        faults.append(_fault(path, f"expected a value after {value}", "invalid expression"))


def _operand(operator: str, value: Any, path: Path, faults: list[Fault]) -> None:
    if operator in ("~~", "~*"):
        try:
            search_of(value, fold=operator == "~*")
        except (re2.error, AttributeError, UnicodeEncodeError):
            message = "expected a regular expression (of RE2: no look-around, no back-references)"
            faults.append(_fault(path, message, "invalid expression"))
    elif operator == "in":
        if not isinstance(value, list):
            faults.append(_fault(path, "expected list of values", "invalid expression"))
    elif operator == "ipmatch":
        for index, text in enumerate(value if isinstance(value, list) else [value]):
            at = path.to(index) if isinstance(value, list) else path
            try:
                if not isinstance(text, str) or "%" in text:
                    raise ValueError
                ipaddress.ip_network(text, strict=False)
            except ValueError:
                faults.append(_fault(at, "expected an IP address or a CIDR range", "invalid ip address"))
    elif operator in (">", ">=", "<", "<="):
        if not _is_number(value):
            faults.append(_fault(path, "expected number", "invalid expression"))
    elif operator != "has" and isinstance(value, list | dict):
        faults.append(_fault(path, "expected text, number, true, false or null", "invalid expression"))


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= _MOST_DIGITS and _NUMBER.fullmatch(value) is not None
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MOST
