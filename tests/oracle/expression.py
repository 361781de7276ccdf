"""Match expressions with the meaning of lua-resty-expr 1.3.2, evaluated plainly over the rules as they are written.

Texts have one character a byte. `variables` maps names to texts, or to True for an argument without a value; what is not in
it is absent. Lua's nil is None here.
"""

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["holds", "tonumber"]

Variables = Mapping[str, str | bool]
LOGIC = ("AND", "OR", "!AND", "!OR")
OPERATORS = ("==", "~=", ">", ">=", "<", "<=", "~~", "~*", "in", "has", "ipmatch")
DECIMAL = re.compile(r"[ \t\n\v\f\r]*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)[ \t\n\v\f\r]*")
HEXADECIMAL = re.compile(
    r"[ \t\n\v\f\r]*([+-]?)0[xX](?:([0-9a-fA-F]+)\.?([0-9a-fA-F]*)|\.([0-9a-fA-F]+))(?:[pP]([+-]?[0-9]+))?[ \t\n\v\f\r]*"
)
WORD = re.compile(r"[ \t\n\v\f\r]*([+-]?(?:inf|infinity|nan))[ \t\n\v\f\r]*", re.IGNORECASE)


def tonumber(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if not isinstance(value, str):
        return float(value)
    plain = DECIMAL.fullmatch(value) or WORD.fullmatch(value)
    if plain:
        return float(plain.group(1))
    hexadecimal = HEXADECIMAL.fullmatch(value)
    if hexadecimal:
        sign, whole, fraction, only, power = hexadecimal.groups()
        return float.fromhex(f"{sign}0x{whole or '0'}.{fraction or only or '0'}p{power or 0}")
    return None


def holds(rules: list[Any], variables: Variables) -> bool:
    """Whether a sound expression holds."""
    if not rules:
        return True
    if isinstance(rules[0], list):
        return all(holds_rule(rule, variables) for rule in rules)
    return logic(rules, variables)


def holds_rule(rule: list[Any], variables: Variables) -> bool:
    if isinstance(rule[0], list):
        return all(holds_rule(each, variables) for each in rule)
    if rule[0].upper() in LOGIC:
        return logic(rule, variables)
    if len(rule) == 4:
        return not compare(variables.get(rule[0]), rule[2].lower(), rule[3])
    if len(rule) == 2:
        return compare(variables.get(rule[0]), "==", str(rule[1]).lower())
    return compare(variables.get(rule[0]), rule[1].lower(), rule[2])


def logic(rules: list[Any], variables: Variables) -> bool:
    operator = rules[0].upper()
    found = [holds_rule(rule, variables) for rule in rules[1:]]
    outcome = all(found) if operator.endswith("AND") else any(found)
    return not outcome if operator.startswith("!") else outcome


def same(left: object, right: object) -> bool:
    """Lua's ==: no two types are equal, and true is not 1."""
    return type(left) is type(right) and left == right


def compare(left: str | bool | None, operator: str, right: Any) -> bool:
    if operator in ("==", "~="):
        if isinstance(right, int | float) and not isinstance(right, bool):
            number = tonumber(left)
            equal = number is not None and number == float(right)
        else:
            equal = same(left, right)
        return equal if operator == "==" else not equal
    if operator in (">", ">=", "<", "<="):
        one, other = tonumber(left), tonumber(right)
        if one is None or other is None:
            return False
        return {">": one > other, ">=": one >= other, "<": one < other, "<=": one <= other}[operator]
    if operator in ("~~", "~*"):
        if not isinstance(left, str):
            return False
        return re.search(right.encode("latin-1"), left.encode("latin-1"), re.IGNORECASE if operator == "~*" else 0) is not None
    if operator == "in":
        return left is not None and any(same(left, each) for each in right)
    if operator == "ipmatch":
        try:
            address = ipaddress.ip_address(str(left))
        except ValueError:
            return False
        networks = [ipaddress.ip_network(each, strict=False) for each in (right if isinstance(right, list) else [right])]
        return any(address.version == network.version and address in network for network in networks)
    return False  # has: no variable is a list
