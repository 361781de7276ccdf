"""data-mask: hide parts of requests from the access log and from loggers.

Owns the configuration, and what a masked text looks like. Must not know who logs: it changes, in the log phase, what all of them
are told (native/ledger), and the body that one of them may have kept (log_entry).
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote, unquote_plus

import msgspec
from msgspec import Meta

from fastgw import _core
from fastgw.errors import Fault
from fastgw.plugins.contract import Env, Plugin, PluginConf
from fastgw.plugins.json_path import JsonPath
from fastgw.schema.base import Nested, Text
from fastgw.schema.formats import FORMATS
from fastgw.schema.regex import Regex, search_of
from fastgw.schema.rules import broken, required

__all__ = ["REQUEST_BODY", "Conf", "DataMask", "Rule"]

REQUEST_BODY: Final = "logged_request_body"
"""Under this name of `request.ctx` is the body that a logger is going to log."""

_FORM: Final = "application/x-www-form-urlencoded"
_SAFE: Final = "*-._~!$'(),:;@/"
_GROUP: Final = re.compile(r"\$(?:\{(\d{1,3})\}|(\d{1,3})|(\$))")


class Rule(Nested, frozen=True, kw_only=True):
    """What is hidden, and how.

    type: where it stands
    name: the argument, the header, or for a body of JSON the JSONPath to it
    body_format: what the body is; required for a body
    action: regex replaces what an expression finds first, replace all of the value; remove leaves no trace
    regex: the expression (RE2)
    value: what takes its place; `$1` is what the expression's first group has found
    """

    type: Literal["query", "header", "body"]
    name: Text
    body_format: Literal["json", "urlencoded"] | None = None
    action: Literal["regex", "replace", "remove"]
    regex: Regex | None = None
    value: str | None = None

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """Each action and each place has what it needs."""
        if good.get("type") == "body":
            yield from required(present, "body_format", "a rule for a body needs it")
        if good.get("action") == "regex":
            yield from required(present, "regex", "the action regex needs it")
        if good.get("action") in ("regex", "replace"):
            yield from required(present, "value", f"the action {good['action']} needs it")
        if good.get("type") == "header" and "name" in good and FORMATS["header-name"](good["name"]):
            yield broken("name", "expected a header name")
        if good.get("type") == "body" and good.get("body_format") == "json" and "name" in good:
            try:
                JsonPath(good["name"])
            except ValueError as error:
                yield broken("name", f"expected a JSONPath: {error}")


class Conf(PluginConf, frozen=True, kw_only=True):
    """data-mask: what no log is told.

    request: what is hidden, rule by rule
    max_body_size: bytes of the longest body that is masked; a longer one is not logged
    max_req_post_args: arguments of a form that are masked; further ones are not logged
    """

    request: tuple[Rule, ...] = ()
    max_body_size: Annotated[int, Meta(ge=1, le=2**30)] = 1048576
    max_req_post_args: Annotated[int, Meta(ge=0, le=10000)] = 100


class DataMask(Plugin):
    """Changes what is logged of a request."""

    name = "data-mask"
    version = 0.1
    # What must no log tell of it, in `log`. Before all that logs.
    priority = 1500
    phases = ("log",)
    conf = Conf

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """One Python step; none where nothing is hidden."""
        return [_core.PythonStep(self.name, "log", _Mask(conf).log, None)] if conf.request else []


Change = Callable[[str], str | None]
"""What is logged instead of a text; None: nothing."""


class _Mask:
    """One configuration at work."""

    def __init__(self, conf: Conf) -> None:
        made = [(rule, _change(rule)) for rule in conf.request]
        self._query = [(rule.name, change) for rule, change in made if rule.type == "query"]
        self._headers = [(rule.name, change) for rule, change in made if rule.type == "header"]
        bodies = [(rule, change) for rule, change in made if rule.type == "body"]
        self._json = [(JsonPath(rule.name), change) for rule, change in bodies if rule.body_format == "json"]
        self._form = [(rule.name, change) for rule, change in bodies if rule.body_format == "urlencoded"]
        self._most_bytes = conf.max_body_size
        self._most_args = conf.max_req_post_args

    def log(self, _: None, request: _core.Request) -> None:
        """Runs before those who log. Where it fails, or is cut off as it takes too long, they are told less, never more."""
        body = request.ctx.pop(REQUEST_BODY, None) if self._json or self._form else None
        try:
            self._head(request)
        except BaseException:
            _core.ledger_query(request, b"")
            for each in self._headers:
                _core.ledger_field(request, each[0], None)
            raise
        if body is not None and (masked := self._body(request, body)) is not None:
            request.ctx[REQUEST_BODY] = masked

    def _head(self, request: _core.Request) -> None:
        if self._query and (query := request.query):
            masked = _masked(query, self._query)
            if masked != query:
                _core.ledger_query(request, masked.encode("latin-1", "replace"))
        for name, change in self._headers:
            values = [change(value) for _, value in request.fields(name)]
            if values:
                left = [value for value in values if value is not None]
                _core.ledger_field(request, name, left or None)

    def _body(self, request: _core.Request, body: bytes) -> bytes | None:
        """What cannot be masked is not logged."""
        if len(body) > self._most_bytes:
            return None
        kind = (request.header("content-type") or "").partition(";")[0].strip().lower()
        # What it is called is the client's word: `curl -d` calls JSON a form.
        if not self._json or (kind == _FORM and body.lstrip()[:1] not in (b"{", b"[")):
            if not self._form or kind.endswith("json"):
                return body
            args = body.decode("latin-1").split("&")[: self._most_args]
            return _masked("&".join(args), self._form).encode("latin-1", "replace")
        try:
            document = msgspec.json.decode(body)
            for way, change in self._json:
                _mask_members(way, document, change)
            return msgspec.json.encode(document)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return None


def _masked(query: str, rules: list[tuple[str, Change]]) -> str:
    parts = query.split("&")
    for name, change in rules:
        parts = [masked for part in parts if (masked := _argument(part, name, change)) is not None]
    return "&".join(parts)


def _argument(part: str, name: str, change: Change) -> str | None:
    before, equals, value = part.partition("=")
    if not equals or unquote_plus(before) != name:
        return None if not equals and part and unquote_plus(part) == name and change("") is None else part
    changed = change(unquote_plus(value))
    return None if changed is None else f"{before}={quote(changed, _SAFE)}"


def _mask_members(way: JsonPath, document: Any, change: Change) -> None:
    for holder, key in way.places(document):
        value = holder[key]
        changed = change(value if isinstance(value, str) else msgspec.json.encode(value).decode())
        if changed is None:
            del holder[key]
        else:
            holder[key] = changed


def _change(rule: Rule) -> Change:
    if rule.action == "remove":
        return lambda _: None
    value = rule.value or ""
    if rule.action == "replace":
        return lambda _: value
    search = search_of(rule.regex or "")

    def replaced(text: str) -> str:
        raw = text.encode(errors="surrogatepass")
        found = search(raw)
        if found is None:
            return text
        groups = (found.group(), *found.groups(default=b""))
        put = _GROUP.sub(lambda mark: "$" if mark[3] else _group(groups, int(mark[1] or mark[2])), value)
        start, end = found.span()
        return raw[:start].decode(errors="replace") + put + raw[end:].decode(errors="replace")

    return replaced


def _group(groups: tuple[bytes, ...], number: int) -> str:
    return groups[number].decode(errors="replace") if number < len(groups) else ""
