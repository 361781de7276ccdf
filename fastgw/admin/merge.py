"""PATCH: what an object becomes when a part of it is given anew.

Owns: APISIX's two forms, a merge of objects and the replacement of one place. Must not know: kinds,
validation, the store. Nothing given is changed in place.
"""

from typing import Any

from fastgw.admin.envelope import Failure
from fastgw.schema.parse import MAX_DEPTH, TOO_DEEP, is_too_deep

__all__ = ["patched"]


def patched(value: dict[str, Any], sub: tuple[str, ...], patch: Any) -> dict[str, Any]:
    """value with patch merged in, or with patch put at the place sub names."""
    if not sub:
        return _merged(value, patch)
    result = _placed(value, sub, patch, "/" + "/".join(sub)) if len(sub) < MAX_DEPTH else None
    if result is None or is_too_deep(result):
        raise Failure(400, f"invalid configuration: {TOO_DEEP}")
    return result


def _merged(value: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """Objects merge, null removes, everything else (arrays too) replaces."""
    result = dict(value)
    for name, new in patch.items():
        if new is None:
            result.pop(name, None)
        elif isinstance(new, dict):
            old = result.get(name)
            result[name] = _merged(old if isinstance(old, dict) else {}, new)
        else:
            result[name] = new
    return result


def _placed(value: Any, sub: tuple[str, ...], new: Any, whole: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Failure(400, f"invalid sub-path: {whole}")
    name, rest = sub[0], sub[1:]
    result = dict(value)
    if rest:
        result[name] = _placed(result.get(name, {}), rest, new, whole)
    elif new is None:
        result.pop(name, None)
    else:
        result[name] = new
    return result
