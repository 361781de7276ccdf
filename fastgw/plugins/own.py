"""Plugins of users: files of a directory and entry points of installed packages, which a process loads once.

Owns: where they are looked for, their import, what is said of those that cannot be used, and taking them in anew. Must not know
what a plugin does, nor what the contract asks of one (judge.py). The master loads them before it forks; its children inherit
them, so a process has the same ones for all its life, whatever becomes of the files. Only the master looks again, at a reload;
what has changed is in force in the processes that it starts from then on.
"""

import functools
import importlib.metadata
import itertools
import os
import sys
import traceback
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from fastgw.plugins import order
from fastgw.plugins.contract import Plugin
from fastgw.plugins.judge import faults_of_plugin
from fastgw.plugins.trial import ends
from fastgw.plugins.trust import distrust, distrust_of

__all__ = ["GROUP", "Loaded", "Renewal", "load", "loaded", "take_in"]

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
    contents: dict[str, bytes]
    """Of the files, by where they are: what each plugin was made of."""


class _UnusableError(Exception):
    """A source that no plugin can be taken from; the text has a line for each reason."""


_TAKEN: Final[list[Loaded]] = []
"""What is known to `order`; nothing before the first call of `take_in`."""
_LOOKED: Final[list[Loaded]] = []
"""While a Renewal lasts, what is known as it began."""


def take_in(directory: str | None) -> Loaded:
    """Loads what there is and makes it known to `order`; if anything is at fault, nothing.

    The first call in a process decides for all its life, as what comes later would be known to some processes only; but for one
    within a Renewal.
    """
    if _TAKEN and not _LOOKED:
        return _TAKEN[0]
    found = load(directory, _LOOKED[0] if _LOOKED else None)
    if not found.faults and not found.faults_of_directory:
        order.use(found.plugins.values())
        _TAKEN[:] = [found]
    return found


class Renewal:
    """As long as the block lasts, `take_in` looks anew at what has changed. What it found stays if `keep` was called, and else it
    was never there. For a process that has compiled nothing itself."""

    def __init__(self) -> None:
        self._kept = False

    def __enter__(self) -> "Renewal":
        _LOOKED[:] = _TAKEN or [Loaded({}, [], [], {})]
        return self

    def __exit__(self, *_: object) -> None:
        if not self._kept:
            _TAKEN[:] = _LOOKED
            order.use(_LOOKED[0].plugins.values())
        _LOOKED.clear()

    def changed(self) -> dict[str, str]:
        """The names of plugins that are others than before, or gone, by where they came from; those that are new too."""
        before, now = _LOOKED[0].plugins, _TAKEN[0].plugins
        differ = sorted(source for source in {*before, *now} if before.get(source) is not now.get(source))
        return {source: (now.get(source) or before[source]).name for source in differ}

    def keep(self) -> None:
        """What was found is in force."""
        self._kept = True


def loaded() -> list[tuple[str, str]]:
    """Where each plugin that was taken in came from, and its name."""
    return [(source, plugin.name) for found in _TAKEN for source, plugin in found.plugins.items()]


def load(directory: str | None, before: Loaded | None = None) -> Loaded:
    """The plugins of a directory and of entry points. before: those whose source is what it was are the same ones again, and the
    others are tried in a process of their own first."""
    result = Loaded({}, [], [], {})
    names = dict.fromkeys((plugin.name for plugin in order.SHIPPED), "a plugin of the gateway")
    confs: dict[type, str] = {}
    for source, made, faults in _sources(directory, result, before):
        try:
            plugin = made()
            found = _taken(plugin, names, confs)
        except _UnusableError as error:
            found = str(error).splitlines()
        if not found:
            names[plugin.name] = source
            confs.update(dict.fromkeys(_confs(plugin), source))
            result.plugins[source] = plugin
        faults += [f"{source}: {line}" for line in found]
    if len(names) > order.MOST:
        result.faults.append(f"expected at most {order.MOST} plugins in all, found {len(names)}")
    return result


def _sources(
    directory: str | None, result: Loaded, before: Loaded | None
) -> Iterator[tuple[str, Callable[[], Plugin], list[str]]]:
    """What each is called in messages, what gives its plugin, and where its faults go."""
    for entry in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda each: each.name):
        source = f'entry point "{entry.name}" ({entry.value})'
        yield source, functools.partial(_of_entry, entry, source, before), result.faults
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
        yield str(file), functools.partial(_of_file, file, result, before), result.faults_of_directory


def _taken(plugin: Plugin, names: Mapping[str, str], confs: Mapping[type, str]) -> list[str]:
    """What is wrong with one because there are others. names, confs: whose they are."""
    faults = [f"{conf.__name__}: also of {confs[conf]}; expected one of its own" for conf in _confs(plugin) if conf in confs]
    if plugin.name in names:
        faults.append(f'name: "{plugin.name}" is that of {names[plugin.name]}; expected another')
    return faults


def _made(found: type[Plugin]) -> Plugin:
    if faults := list(faults_of_plugin(found)):
        raise _UnusableError("\n".join(faults))
    with _Telling():
        return found()


def _confs(plugin: Plugin) -> list[type]:
    return [conf for conf in (plugin.conf, plugin.metadata_conf) if conf is not None]


def _of_file(path: Path, result: Loaded, before: Loaded | None) -> Plugin:
    place = str(path)
    content = result.contents[place] = _trusted(path)
    if before is None:
        return _made(_defined(path, content))
    if before.contents.get(place) == content and place in before.plugins:
        return before.plugins[place]
    # The master must not be held up, or ended, by what somebody is just writing.
    if (why := ends(lambda: _made(_defined(path, content)))) is not None:
        raise _UnusableError(why)
    return _made(_defined(path, content))


def _defined(path: Path, content: bytes) -> type[Plugin]:
    """The class in a file, in a module that is none before it: classes of an older one stay what they are."""
    name = next(name for n in itertools.count() if (name := f"{_MODULES}.{path.stem}{n or ''}") not in sys.modules)
    module = types.ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module  # where annotations are looked up
    try:
        with _Telling(str(path)):
            # Read and compiled here: a byte code cache beside it would be one more file to trust.
            exec(compile(content, str(path), "exec", dont_inherit=True), module.__dict__)  # noqa: S102 (what it is for)
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


def _of_entry(entry: importlib.metadata.EntryPoint, source: str, before: Loaded | None) -> Plugin:
    """An installed package is imported once: a newer version of it waits for the next start."""
    if before is not None and source in before.plugins:
        return before.plugins[source]
    with _Telling():
        found = entry.load()
    if not _is_plugin(found):
        raise _UnusableError("expected a class derived from Plugin")
    return _made(found)


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
