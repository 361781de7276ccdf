"""The syntax of match expressions: a route's `vars` and a plugin's `_meta.filter`.

Owns which operators there are and what operands they take. Must not know how they are evaluated, nor which
variables exist. Depth and size are bounded, as an expression runs on every request.
"""

import ipaddress
import json
import re
from typing import Any

from fastgw.errors import Fault, Path

__all__ = ["COMPARISONS", "LOGIC", "expression_faults"]

LOGIC = frozenset({"AND", "OR", "!AND", "!OR"})
COMPARISONS = frozenset({"==", "~=", ">", ">=", "<", "<=", "~~", "~*", "in", "has", "ipmatch"})
_MAX_DEPTH = 16
_MAX_RULES = 256


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
    if depth > _MAX_DEPTH or len(rules) > _MAX_RULES:
        message = f"expected at most {_MAX_RULES} rules, nested at most {_MAX_DEPTH} deep"
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


def _operand(operator: str, value: Any, path: Path, faults: list[Fault]) -> None:
    if operator in ("~~", "~*"):
        try:
            re.compile(value)
        except (re.error, TypeError, RecursionError, OverflowError):
            faults.append(_fault(path, "expected a regular expression", "invalid expression"))
    elif operator == "in":
        if not isinstance(value, list):
            faults.append(_fault(path, "expected list of values", "invalid expression"))
    elif operator == "ipmatch":
        for index, text in enumerate(value if isinstance(value, list) else [value]):
            at = path.to(index) if isinstance(value, list) else path
            try:
                if not isinstance(text, str):
                    raise ValueError
                ipaddress.ip_network(text, strict=False)
            except ValueError:
                faults.append(_fault(at, "expected an IP address or a CIDR range", "invalid ip address"))
    elif operator in (">", ">=", "<", "<="):
        try:
            float(value)
        except (ValueError, TypeError, OverflowError):
            faults.append(_fault(path, "expected number", "invalid expression"))
