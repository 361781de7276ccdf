"""Which route takes a request, by the rules as they are written in docs/routing.md: every entry is looked at, and those that fit
are sorted. Patterns are regular expressions here, as in lua-resty-radixtree, but for literal texts, which are escaped.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["Ask", "Entry", "params_of", "winner"]


class Entry(NamedTuple):
    """A route at one host (empty: any) and one path pattern."""

    name: str
    host: str
    pattern: str
    priority: int = 0
    order: int = 0
    methods: tuple[str, ...] = ()


class Ask(NamedTuple):
    host: str
    path: str
    method: str = "GET"
    port: int = 0
    """As the client gave it; 0: it gave none."""


def winner(entries: Iterable[Entry], ask: Ask, mode: str) -> str | None:
    """The name of the route that takes the request, in this mode of the router."""
    params = mode == "radixtree_uri_with_parameter"
    fitting = []
    for entry in entries:
        host = _host_rank(entry.host, ask, mode)
        path = _path_rank(entry.pattern, ask.path, params)
        if host is None or path is None or (entry.methods and ask.method not in entry.methods):
            continue
        first = (-host,) if mode == "radixtree_host_uri" else ()
        fitting.append(((*first, -path, -entry.priority, -len(entry.pattern), entry.order), entry.name))
    return min(fitting)[1] if fitting else None


def params_of(pattern: str, path: str, params: bool) -> dict[str, str] | None:
    """What the wildcards take by name, or None: it does not match."""
    names: list[str] = []
    segments = []
    for segment in pattern.split("/"):
        if segment.startswith("*"):
            names.append(segment[1:] or ":ext")
            segments.append("(.*)")
        elif params and segment.startswith(":"):
            names.append(segment[1:])
            segments.append("([^/]+)")
        else:
            segments.append(".*".join(re.escape(text) for text in segment.split("*")))
    found = re.fullmatch("/".join(segments), path, re.DOTALL)
    return None if found is None else dict(zip(names, found.groups(), strict=True))


def _host_rank(wanted: str, ask: Ask, mode: str) -> int | None:
    if not wanted:
        return 0
    host = ask.host
    if ":" in wanted.rpartition("]")[2]:
        if not ask.port or mode == "radixtree_host_uri":
            return None
        host = f"{ask.host}:{ask.port}"
    if wanted.startswith("*"):
        return len(wanted) if host.endswith(wanted[1:]) else None
    return 1000 if host == wanted else None


def _path_rank(pattern: str, path: str, params: bool) -> int | None:
    if params_of(pattern, path, params) is None:
        return None
    wild = [match.start() for match in re.finditer(r"\*|(?<=/):" if params else r"\*", pattern)]
    return wild[0] if wild else 10_000
