"""acl: admit or refuse requests by the labels of who sends them.

Owns the configuration, and the judgement of users that are no consumers, whom a Python plugin describes. Must not know how a
consumer's labels are looked up (native/acl), or who says what of a user.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
import re2
from msgspec import Meta

from fastgw import _core
from fastgw.errors import Fault
from fastgw.plugins.contract import Env, Plugin, PluginConf
from fastgw.plugins.json_path import JsonPath
from fastgw.plugins.labels import values_of_json, values_of_text
from fastgw.schema.base import Text
from fastgw.schema.rules import any_of, broken, required

__all__ = ["EXTERNAL_USER", "Acl", "Conf"]

EXTERNAL_USER: Final = "external_user"
"""The key of `request.ctx` under which an earlier plugin describes a user, as APISIX's plugins do in `ctx.external_user`."""

_PATTERN_MEMORY: Final = 1 << 20
_FORBIDDEN: Final = "The consumer is forbidden."
_MISSING: Final = "Missing authentication."

Values = Annotated[tuple[str, ...], Meta(min_length=1)]
Labelled = Annotated[dict[str, Values], Meta(min_length=1)]


class Conf(PluginConf, frozen=True, kw_only=True):
    """acl: which labels let a request pass, and what is said to the others.

    allow_labels: label to list of values: who has one of these labels with one of its values may pass, and nobody else
    deny_labels: the same: who has one of these is refused; goes before `allow_labels`
    rejected_code: the status of a refused request
    rejected_msg: the message of a refused request
    external_user_label_field: of users that are no consumers: where in their description the label's value stands, a JSONPath
    external_user_label_field_key: what that label is called in the lists; the text of `external_user_label_field` when left out
    external_user_label_field_parser: how its value is read; by its looks when left out
    external_user_label_field_separator: what separates the values of `segmented_text`, with the blanks around it: a regular
        expression (RE2). Required by that parser
    """

    allow_labels: Labelled | None = None
    deny_labels: Labelled | None = None
    rejected_code: Annotated[int, Meta(ge=200, le=599)] = 403
    rejected_msg: str | None = None
    external_user_label_field: Text = "groups"
    external_user_label_field_key: Text | None = None
    external_user_label_field_parser: Literal["segmented_text", "json", "table"] | None = None
    external_user_label_field_separator: Text | None = None

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """There is something to judge by, and the way to a value can be gone."""
        yield from any_of(present, "allow_labels", "deny_labels")
        separator = "external_user_label_field_separator"
        if good.get("external_user_label_field_parser") == "segmented_text":
            yield from required(present, separator, "the parser segmented_text needs it")
        if separator in good:
            try:
                _splitter(good[separator])
            except (re2.error, UnicodeEncodeError):
                yield broken(separator, "expected a regular expression that RE2 takes")
        if "external_user_label_field" in good:
            try:
                JsonPath(good["external_user_label_field"])
            except ValueError:
                yield broken("external_user_label_field", "expected a JSONPath of names, indexes, '*' and '..'")


class Acl(Plugin):
    """Refuses requests of those whose labels are not the right ones."""

    name = "acl"
    version = 0.1
    # May they, in `access`.
    priority = 2410
    phases = ("access",)
    conf = Conf

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """One native step; the Python one inside runs for who is no consumer, where Python plugins have run before."""
        step = _core.AclStep(
            deny=_pairs(conf.deny_labels),
            allow=None if conf.allow_labels is None else _pairs(conf.allow_labels),
            status=conf.rejected_code,
            body=msgspec.json.encode({"message": _message(conf)}) + b"\n",
            external=_core.PythonStep(self.name, "access", _External(conf).access, None),
        )
        return [step]


class _External:
    """One configuration for users that are no consumers."""

    def __init__(self, conf: Conf) -> None:
        self._conf = conf
        self._path = JsonPath(conf.external_user_label_field)
        key = conf.external_user_label_field_key
        label = conf.external_user_label_field if key is None else key
        self._denied = _values_of(conf.deny_labels, label)
        self._allowed = _values_of(conf.allow_labels, label)
        separator = conf.external_user_label_field_separator
        self._split = None if separator is None else _splitter(separator)

    def access(self, _: None, request: _core.Request) -> _core.Reply | None:
        """None lets the request pass."""
        user = request.ctx.get(EXTERNAL_USER)
        if user is None:
            return _core.Reply(401, {"message": _MISSING}, reason="acl.missing")
        found = frozenset(self._values(self._path.first(user)))
        if found & self._denied or (self._conf.allow_labels is not None and not found & self._allowed):
            return _core.Reply(self._conf.rejected_code, {"message": _message(self._conf)}, reason="acl.refused")
        return None

    def _values(self, value: Any) -> Sequence[str]:
        parser = self._conf.external_user_label_field_parser
        if isinstance(value, (list, tuple)):
            return [each for each in value if isinstance(each, str)] if parser in (None, "table") else ()
        if not isinstance(value, str):
            return ()
        if parser is None:
            return values_of_text(value)
        if parser == "json":
            return values_of_json(value)
        if parser == "segmented_text" and self._split is not None:
            return self._split(value)
        return ()


def _message(conf: Conf) -> str:
    return _FORBIDDEN if conf.rejected_msg is None else conf.rejected_msg


def _pairs(labels: Mapping[str, Sequence[str]] | None) -> list[tuple[str, str]]:
    return [(label, value) for label, values in (labels or {}).items() for value in values]


def _values_of(labels: Mapping[str, Sequence[str]] | None, label: str) -> frozenset[str]:
    return frozenset((labels or {}).get(label, ()))


def _splitter(separator: str) -> Callable[[str], list[str]]:
    """Splits a text. RE2, which takes linear time: the text may be a stranger's."""
    options = re2.Options()
    options.log_errors = False  # they are told to whoever wrote the pattern
    options.max_mem = _PATTERN_MEMORY
    re2.compile(separator, options)  # alone first: what surrounds it must not make sense of it
    compiled = re2.compile(rf"\s*(?:{separator})\s*", options)

    def split(text: str) -> list[str]:
        # Lone surrogates, which JSON can say and RE2 not take, must not hide the values beside them.
        parts: list[str | None] = compiled.split(text.encode("utf-8", "replace").decode())
        return [part for part in parts if part is not None]

    return split
