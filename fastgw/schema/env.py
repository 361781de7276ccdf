"""References to the environment: `$env://NAME`, and `$env://NAME/sub/key` into a variable that holds JSON.

Owns their syntax and where in an object they count. Must not know what the texts are for. Faults name the
variable and never its value.
"""

import json
import os
import re
from collections.abc import Mapping
from typing import Any

from fastgw.errors import ROOT, Fault, Path
from fastgw.schema.base import FromEnv

__all__ = ["resolve_env", "resolve_object"]

_REFERENCE = re.compile(r"\$(env|secret)://(.*)", re.IGNORECASE | re.DOTALL)
_WHOLE = frozenset({"plugin_metadata", "secrets"})
_MEMBERS = frozenset({"plugins", "tls", "cert", "key", "certs", "keys", "client"})


def resolve_env(value: Any, environ: Mapping[str, str] | None = None, path: Path = ROOT) -> tuple[Any, list[Fault]]:
    """The value with every reference in it replaced, and a fault for each that cannot be.

    One that cannot be replaced stays as written, so whoever goes on in spite of a fault must leave the whole
    value out: a reference that serves as a literal key could simply be sent by a client.
    """
    faults: list[Fault] = []
    return _resolve(value, os.environ if environ is None else environ, path, faults), faults


def resolve_object(
    kind: str, value: dict[str, Any], environ: Mapping[str, str] | None = None, path: Path = ROOT
) -> tuple[dict[str, Any], list[Fault]]:
    """A raw object with the references replaced that stand in plugins, keys and certificates, also of an
    inline upstream; elsewhere they are plain text.
    """
    known = os.environ if environ is None else environ
    faults: list[Fault] = []
    resolved = {}
    for name, member in value.items():
        if (name in _MEMBERS or kind in _WHOLE) and _may_refer(member):
            member = _resolve(member, known, path.to(name), faults)
        elif name == "upstream" and isinstance(member, dict):
            member, inner = resolve_object("upstreams", member, known, path.to(name))
            faults += inner
        resolved[name] = member
    return resolved, faults


def _may_refer(value: Any) -> bool:
    """Whether to look closer. Every worker asks this of every object, and of nearly all of them the answer is no."""
    if isinstance(value, str):
        return value.startswith("$")
    if isinstance(value, dict):
        return any(map(_may_refer, value.values()))
    return isinstance(value, list) and any(map(_may_refer, value))


def _resolve(value: Any, environ: Mapping[str, str], path: Path, faults: list[Fault]) -> Any:
    if isinstance(value, dict):
        return {name: _resolve(item, environ, path.to(name), faults) for name, item in value.items()}
    if isinstance(value, list):
        return [_resolve(item, environ, path.to(index), faults) for index, item in enumerate(value)]
    reference = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if reference is None:
        return value
    try:
        return _lookup(reference[1].lower(), reference[2], environ)
    except LookupError as error:
        faults.append(Fault(path, str(error.args[0]), "unresolved", found=value))
        return value


def _lookup(scheme: str, rest: str, environ: Mapping[str, str]) -> str:
    if scheme == "secret":
        raise LookupError("secrets of secret managers are not fetched yet; expected $env://NAME")
    name, *keys = rest.split("/")
    try:
        text = environ.get(name, "") if name else ""
        text.encode()
    except UnicodeEncodeError:
        raise LookupError(f"environment variable {json.dumps(name)} is not UTF-8 text") from None
    if not text:  # an empty variable is most often a forgotten one, and an empty key would be no key
        raise LookupError(f"environment variable {json.dumps(name)} is not set")
    if not keys:
        return FromEnv(text)
    try:
        value = json.loads(text)
        for key in keys:
            value = value[key]
    except (ValueError, KeyError, TypeError, RecursionError):
        value = None
    if not isinstance(value, str) or not value:
        raise LookupError(f"environment variable {json.dumps(name)} holds no text at {json.dumps('/'.join(keys))}")
    return FromEnv(value)
