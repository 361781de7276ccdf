"""Plugins of users: files of a directory and entry points of installed packages, loaded once in a process.

Owns: where they are looked for, their import, what is said of those that cannot be used. Must not know what a plugin does, nor
what the contract asks of one (judge.py). The master loads them before it forks; its children inherit them, so all processes have
the same ones until the next start, whatever becomes of the files.
"""

import functools
import importlib.metadata
import os
import sys
import traceback
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from fastgw.plugins import order
from fastgw.plugins.contract import Plugin
from fastgw.plugins.judge import faults_of_plugin
from fastgw.plugins.trust import distrust, distrust_of

__all__ = ["GROUP", "Loaded", "load", "loaded", "take_in"]

GROUP: Final = "fastgw.plugins"
"""The group of entry points."""
_MODULES: Final = "fastgw_own_plugins"
"""What modules of files are called before the dot."""


class Loaded(NamedTuple):
    """What became of the plugins of users."""

    plugins: dict[str, Plugin]
    """By where each came from."""
    faults: list[str]
    """Of entry points, or of all together."""
    faults_of_directory: list[str]


class _UnusableError(Exception):
    """A source that no plugin can be taken from; the text has a line for each reason."""


_TAKEN: Final[list[Loaded]] = []
"""What the first call of `take_in` found."""


def take_in(directory: str | None) -> Loaded:
    """Loads what there is and makes it known to `order`; if anything is at fault, nothing.

    The first call in a process decides for all its life: what comes later would be known to some processes only.
    """
    if _TAKEN:
        return _TAKEN[0]
    found = load(directory)
    if not found.faults and not found.faults_of_directory:
        order.add(found.plugins.values())
        _TAKEN.append(found)
    return found


def loaded() -> list[tuple[str, str]]:
    """Where each plugin that was taken in came from, and its name."""
    return [(source, plugin.name) for found in _TAKEN for source, plugin in found.plugins.items()]


def load(directory: str | None) -> Loaded:
    """The plugins of a directory and of entry points."""
    result = Loaded({}, [], [])
    names = dict.fromkeys(order.names(), "a plugin of the gateway")
    confs: dict[type, str] = {}
    for source, importing, faults in _sources(directory, result):
        plugin, found = _judged(source, importing, names, confs)
        if plugin is not None:
            result.plugins[source] = plugin
        faults += [f"{source}: {line}" for line in found]
    if len(names) > order.MOST:
        result.faults.append(f"expected at most {order.MOST} plugins in all, found {len(names)}")
    return result


_Importing = Callable[[], type[Plugin]]


def _sources(directory: str | None, result: Loaded) -> Iterator[tuple[str, _Importing, list[str]]]:
    """What each is called in messages, what imports it, and where its faults go."""
    for entry in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda each: each.name):
        yield f'entry point "{entry.name}" ({entry.value})', functools.partial(_of_entry, entry), result.faults
    if directory is None:
        return
    try:
        why = distrust(Path(directory))
        files = sorted(path for path in Path(directory).iterdir() if path.suffix == ".py" and path.name[0] not in "._")
    except OSError as error:
        why, files = f"{directory}: cannot be read: {error.strerror or error}", []
    if why is not None:
        result.faults_of_directory.append(why)
        return
    for file in files:
        yield str(file), functools.partial(_of_file, file), result.faults_of_directory


def _judged(source: str, importing: _Importing, names: dict[str, str], confs: dict[type, str]) -> tuple[Plugin | None, list[str]]:
    """The plugin of a source, or what is wrong with it. names, confs: whose they are; the plugin's are put in."""
    try:
        found = importing()
        if faults := list(faults_of_plugin(found)):
            return None, faults
        with _Telling():
            plugin = found()
    except _UnusableError as error:
        return None, str(error).splitlines()
    faults = [f"{conf.__name__}: also of {confs[conf]}; expected one of its own" for conf in _confs(plugin) if conf in confs]
    if plugin.name in names:
        faults.append(f'name: "{plugin.name}" is that of {names[plugin.name]}; expected another')
    if faults:
        return None, faults
    names[plugin.name] = source
    confs.update(dict.fromkeys(_confs(plugin), source))
    return plugin, []


def _confs(plugin: Plugin) -> list[type]:
    return [conf for conf in (plugin.conf, plugin.metadata_conf) if conf is not None]


def _of_file(path: Path) -> type[Plugin]:
    name = f"{_MODULES}.{path.stem}"
    module = types.ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module  # where annotations are looked up
    try:
        with _Telling(str(path)):
            # Read and compiled here: a byte code cache beside it would be one more file to trust.
            exec(compile(_trusted(path), str(path), "exec", dont_inherit=True), module.__dict__)  # noqa: S102 (what it is for)
        found = [each for each in vars(module).values() if _is_plugin(each) and each.__module__ == name]
        if len(found) != 1:
            names = " and ".join(each.__name__ for each in found) or "none"
            raise _UnusableError(f"expected one class derived from Plugin, found {names}")
    except BaseException:
        del sys.modules[name]
        raise
    plugin: type[Plugin] = found[0]
    return plugin


def _trusted(path: Path) -> bytes:
    try:
        why = distrust(path)
        with path.open("rb") as file:
            why = why or distrust_of(os.fstat(file.fileno()))
            source = file.read()
    except OSError as error:
        raise _UnusableError(f"cannot be read: {error.strerror or error}") from None
    if why is not None:
        raise _UnusableError(why)
    return source


def _of_entry(entry: importlib.metadata.EntryPoint) -> type[Plugin]:
    with _Telling():
        found = entry.load()
    if not _is_plugin(found):
        raise _UnusableError("expected a class derived from Plugin")
    plugin: type[Plugin] = found
    return plugin


def _is_plugin(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Plugin) and value is not Plugin


class _Telling:
    """Whatever is raised within leaves as one line that says what and, of this file, in which line."""

    def __init__(self, file: str | None = None) -> None:
        self._file = file

    def __enter__(self) -> None: ...

    def __exit__(self, _: object, error: BaseException | None, trace: types.TracebackType | None) -> None:
        if error is None or isinstance(error, (_UnusableError, KeyboardInterrupt)):
            return
        if isinstance(error, SyntaxError) and error.filename == self._file:
            line, text = error.lineno, error.msg
        else:
            lines = [frame.lineno for frame in traceback.extract_tb(trace) if frame.filename == self._file]
            line, text = lines[-1] if lines else None, " ".join(str(error).split())
        where = "" if line is None else f"line {line}: "
        raise _UnusableError(f"{where}{type(error).__name__}: {text}".removesuffix(": ")) from None
