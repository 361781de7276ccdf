"""What plugins do with headers of answers: from configurations to the native list, and what is wrong with one.

Owns the forms that APISIX has for it. Must not know when the headers are set, nor by which plugin.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from fastgw import _core
from fastgw.errors import Fault, Path
from fastgw.schema.formats import FORMATS

__all__ = ["HeaderValue", "added", "changes", "changes_faults", "header_faults", "text_of"]

HeaderValue = str | int | float

_FORMS: Final[dict[str, type[Any]]] = {"add": list, "set": dict, "remove": list}


def text_of(value: HeaderValue) -> str:
    """A value as Lua writes it where a text is wanted."""
    return format(value, ".14g") if isinstance(value, float) else str(value)


def _name_fault(name: str, at: Path) -> Iterator[Fault]:
    wrong = FORMATS["header-name"](name)
    if wrong is not None:
        yield Fault(at, f"expected {wrong.right}", "format", apisix="" if name else "invalid field length in header")
    elif _core.header_of_framing(name):
        yield Fault(at, "expected a header that the gateway does not set itself")


def header_faults(headers: Mapping[str, Any], path: Path) -> Iterator[Fault]:
    """The faults of headers by name."""
    for name, value in headers.items():
        yield from _name_fault(name, path.to(name))
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            yield Fault(path.to(name), "expected text or number", "type", apisix="invalid type as header value")
        elif any(ord(letter) < 32 or ord(letter) == 127 for letter in text_of(value)):
            yield Fault(path.to(name), "expected no control characters")


def _in_full(headers: Mapping[str, Any]) -> bool:
    """Whether it has lists of what is to be done; else it is what is to be set. As APISIX tells the two apart."""
    return any(isinstance(headers.get(name), form) for name, form in _FORMS.items())


def changes_faults(headers: Mapping[str, Any], path: Path) -> Iterator[Fault]:
    """The faults of `{"add": ["Name: value"], "set": {}, "remove": ["Name"]}`, or of the short form of `set` alone."""
    if not _in_full(headers):
        yield from header_faults(headers, path)
        return
    for name, value in headers.items():
        at = path.to(name)
        if name not in _FORMS:
            continue  # passes, as in APISIX
        if not isinstance(value, _FORMS[name]):
            yield Fault(at, f"expected {_FORMS[name].__name__}", "type")
        elif not value:
            yield Fault(at, "expected at least 1 member, found 0")
        elif isinstance(value, dict):
            yield from header_faults(value, at)
        else:
            for index, line in enumerate(value):
                yield from _line_faults(name, line, at.to(index))


def _line_faults(name: str, line: Any, at: Path) -> Iterator[Fault]:
    if not isinstance(line, str):
        yield Fault(at, "expected str", "type")
    elif name == "remove":
        yield from _name_fault(line, at)
    else:
        field, _, value = line.partition(":")
        wrong = FORMATS["field-line"](line)
        if wrong is not None or not value.strip():
            yield Fault(at, "expected 'Name: value' in one line", "format")
        else:
            yield from _name_fault(field, at)


def _template(value: HeaderValue) -> _core.Template:
    return _core.Template(text_of(value), "var_combination")


def _set(headers: Mapping[str, Any]) -> Iterable[tuple[Any, str, _core.Template | None]]:
    return [("set", name, _template(value)) for name, value in headers.items()]


def changes(headers: Mapping[str, Any] | None) -> _core.AnswerHeaders:
    """What sound ones do, in APISIX's order: first what is added, last what is taken out."""
    if headers is None or not _in_full(headers):
        return _core.AnswerHeaders(_set(headers or {}))
    lines = [line.partition(":") for line in headers.get("add", ())]
    adds = [_added(name, value.strip()) for name, _, value in lines]
    return _core.AnswerHeaders(
        [*adds, *_set(headers.get("set", {})), *(("cut", name, None) for name in headers.get("remove", ()))]
    )


def _added(name: str, value: HeaderValue) -> tuple[Any, str, _core.Template | None]:
    """One header beside what there is under its name; but there is one Content-Type."""
    return "set" if name.lower() == "content-type" else "add", name, _template(value)


def added(headers: Mapping[str, HeaderValue] | None) -> _core.AnswerHeaders:
    """Headers by name, each added to what there is."""
    return _core.AnswerHeaders([_added(name, value) for name, value in (headers or {}).items()])
