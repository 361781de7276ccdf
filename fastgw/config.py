"""The configuration file: read, judged whole, and taken apart into settings and objects.

Owns what only the file as a whole can show: identities, links between objects, keys and plugins that may
stand once. Must not know stores or processes. Objects leave here as they were written, with references to the
environment unresolved, so that secrets of the environment are never stored.
"""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, Final

import msgspec

from fastgw import objectset
from fastgw._core import LogFormat
from fastgw.cache import zones
from fastgw.errors import ROOT, ConfigError, Fault, Path
from fastgw.objectset import Item
from fastgw.plugins import order, own
from fastgw.plugins.check import Verdict, check_object
from fastgw.schema import document
from fastgw.schema.base import FromEnv
from fastgw.schema.decode import faults_of, type_name
from fastgw.schema.document import OBJECT_LISTS, Document, PluginTypes
from fastgw.schema.env import resolve_env, resolve_object
from fastgw.schema.kinds import KINDS
from fastgw.schema.links import Entry, link_faults
from fastgw.schema.parse import SUFFIXES, parse
from fastgw.schema.settings import ProxyCache, Settings

__all__ = [
    "ADMIN_KEY",
    "Config",
    "json_schema",
    "load",
    "loads",
    "resolve_env",
    "resolve_object",
    "take_directory_in",
    "take_plugins_in",
]

ADMIN_KEY: Final = "FASTGW_ADMIN_KEY"
_DIRECTORY: Final = "plugins_dir"


@dataclass(frozen=True)
class Config:
    """A sound configuration."""

    settings: Settings
    """With references to the environment replaced."""
    objects: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    """(kind, id) to the object as written. Credentials have the id `<consumer>/<credential id>`."""
    warnings: list[Fault] = field(default_factory=list)
    """What can be used but is likely not meant: credentials left out, members that no plugin reads."""


def load(path: "str | os.PathLike[str]", environ: Mapping[str, str] | None = None) -> Config:
    """The configuration in a file; ConfigError with every fault of it, in the order of the file."""
    return loads(*_read(path), os.fspath(path), environ)


def take_plugins_in(path: "str | os.PathLike[str] | None") -> None:
    """Makes plugins of users known: those of packages, and of the directory that a file names. `load` does so by itself."""
    source = "plugins" if path is None else os.fspath(path)
    data, faults = ({}, []) if path is None else parse(*_read(path))
    if any(fault.code == "syntax" for fault in faults):
        raise ConfigError(source, faults)
    _take_plugins_in(data if isinstance(data, dict) else {}, source, os.environ)


def _read(path: "str | os.PathLike[str]") -> tuple[bytes, str]:
    """A file's content, and the suffix that says in which syntax."""
    source = os.fspath(path)
    suffix = FilePath(source).suffix.lower()
    if suffix not in SUFFIXES:
        message = f"expected a file that ends in one of {', '.join(SUFFIXES)}"
        raise ConfigError(source, [Fault(ROOT, message, "syntax")])
    try:
        return FilePath(source).read_bytes(), suffix
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(source, [Fault(ROOT, f"cannot be read: {reason}", "syntax")]) from None


def loads(raw: bytes, suffix: str, source: str, environ: Mapping[str, str] | None = None) -> Config:
    """The configuration in the bytes of a file; `source` names it in faults."""
    known = os.environ if environ is None else environ
    data, faults = parse(raw, suffix)
    if not any(fault.code == "syntax" for fault in faults) and not isinstance(data, dict):
        faults.append(Fault(ROOT, f"expected dict, found {type_name(data)}", "type"))
    if not isinstance(data, dict):
        raise ConfigError(source, faults)
    _take_plugins_in(data, source, known)
    reader = _Reader(data, known)
    at_fault = {fault.path for fault in faults}
    faults += [fault for fault in reader.faults if fault.path not in at_fault]
    if faults:
        raise ConfigError(source, sorted(faults, key=lambda fault: _position(data, fault.path)))
    settings = msgspec.convert(reader.settings, Settings)
    return Config(settings, reader.objects, sorted(reader.warnings, key=lambda w: _position(data, w.path)))


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the configuration file with all plugins there are."""
    plugins = [plugin for name in order.names() if (plugin := order.get(name)) is not None]
    return document.json_schema(PluginTypes(each.name, each.conf, each.consumer_conf) for each in plugins)


def _take_plugins_in(data: dict[str, Any], source: str, environ: Mapping[str, str]) -> None:
    """What a file says of plugins can be judged only when all are known: so those of users come first."""
    directory = resolve_env({_DIRECTORY: data.get(_DIRECTORY)}, environ)[0][_DIRECTORY]
    usable = isinstance(directory, str) and directory and not directory.startswith("$")  # else a fault of the settings
    take_directory_in(directory if usable else None, source)


def take_directory_in(directory: str | None, source: str) -> None:
    """Makes plugins of users known, those of this directory too. source: whose setting it is."""
    found = own.take_in(directory)
    faults = [Fault(ROOT, line) for line in found.faults]
    faults += [Fault(Path((_DIRECTORY,)), line) for line in found.faults_of_directory]
    if faults:
        raise ConfigError(source, faults)


def _of_environment(fault: Fault) -> Fault:
    return fault._replace(message=f"{fault.message} (of {ADMIN_KEY}, which stands for it)")


def _log_format_faults(access_log: Any) -> list[Fault]:
    """Which variables there are the core knows."""
    text = access_log.get("format", "json") if isinstance(access_log, dict) else "json"
    try:
        if isinstance(text, str) and text != "json":
            LogFormat(str(text))
    except ValueError as error:
        why = "" if isinstance(text, FromEnv) else f": {error}"
        return [Fault(Path(("access_log", "format")), f"expected variables that can be logged{why}", "rule")]
    return []


def _position(data: Any, path: Path) -> tuple[int, ...]:
    """Where in the document a path lies, to sort by; what is missing comes last in its object."""
    places: list[int] = []
    here = data
    for part in path:
        if isinstance(here, dict):
            places.append(list(here).index(part) if part in here else len(here))
            here = here.get(part)
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            places.append(part)
            here = here[part]
        else:
            break
    return tuple(places)


class _Reader:
    """One pass over the data of a file."""

    def __init__(self, data: dict[str, Any], environ: Mapping[str, str]) -> None:
        self.faults: list[Fault] = []
        self.warnings: list[Fault] = []
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self._entries: list[Entry] = []
        self._environ = environ
        self.settings = self._settings(data)
        with contextlib.suppress(msgspec.ValidationError):  # then it is a fault of the settings
            zones.declare(msgspec.convert(self.settings.get("proxy_cache", {}), ProxyCache))
        for item in objectset.items(data, flat=False):
            if isinstance(item, Fault):
                self.faults.append(item)
            else:
                self._object(item)
        self.faults += link_faults(self._entries, order.key_fields(), order.group_fields())

    def _settings(self, data: dict[str, Any]) -> dict[str, Any]:
        """The settings with references replaced. FASTGW_ADMIN_KEY wins over a key in the file."""
        written = {name: value for name, value in data.items() if name not in OBJECT_LISTS}
        resolved: dict[str, Any]
        resolved, unresolved = resolve_env(written, self._environ)
        key, admin = self._environ.get(ADMIN_KEY), resolved.setdefault("admin", {})
        if isinstance(admin, dict):
            # `$env://FASTGW_ADMIN_KEY` without the variable is no fault: it means what no key at all means.
            if admin.get("key") == f"$env://{ADMIN_KEY}":
                del admin["key"]
                unresolved = [fault for fault in unresolved if fault.path != ("admin", "key")]
            if key:
                admin["key"] = FromEnv(key)
        lists = {name: [] if isinstance(data[name], list) else data[name] for name in data if name in OBJECT_LISTS}
        at_fault = {fault.path for fault in unresolved}
        found = faults_of(resolved | lists, Document)[1]
        if key:
            found = [_of_environment(fault) if fault.path == ("admin", "key") else fault for fault in found]
        found += _log_format_faults(resolved.get("access_log"))
        self.faults += [*unresolved, *(fault for fault in found if fault.path not in at_fault)]
        resolved.pop("$schema", None)
        return resolved

    def _object(self, item: Item) -> None:
        kind, path, value = KINDS[item.kind], item.path, item.value
        verdict: Verdict = check_object(kind, value, path, self._environ)
        self.faults += verdict.faults
        self.warnings += verdict.warnings
        if not isinstance(value, dict):
            return
        if item.id is None:
            if kind.id_field not in value and kind.id_field == "id":
                self.faults.append(Fault(path.to("id"), "missing", "required"))
            return
        unresolved = any(warning.code == "unresolved" for warning in verdict.warnings)
        owner, _, own = item.id.partition("/") if kind.name == "credentials" else (None, "", item.id)
        self._entries.append(Entry(kind, own, owner, path, None if unresolved else verdict.resolved))
        self.objects[kind.name, item.id] = value
