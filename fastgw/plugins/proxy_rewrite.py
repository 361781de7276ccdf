"""proxy-rewrite: ask the upstream something else than the client has asked.

Owns the configuration. Must not know how a target or a header line is made of it (native/proxy_rewrite), nor how an expression
is compiled (substitution).
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from fastgw import _core
from fastgw.errors import Fault, Path
from fastgw.plugins.contract import Env, Plugin, PluginConf
from fastgw.plugins.substitution import pair_faults, pairs_of
from fastgw.schema.base import whole
from fastgw.schema.formats import FORMATS
from fastgw.schema.rules import any_of, broken, unsupported

__all__ = ["Conf", "ProxyRewrite"]

_MOST_FIELDS: Final = 48  # of all that steps say of a request, the core looks at 64 names
_WAYS: Final = ("add", "set", "remove")
_NAMES: Final = ("uri", "regex_uri", "method", "host", "headers", "use_real_request_uri_unsafe")

Method = Literal[
    "GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "MKCOL", "COPY", "MOVE", "PROPFIND", "LOCK", "UNLOCK", "PATCH", "TRACE"
]
Operation = tuple[str, str, str]
"""How, the header's name, the value."""


class Conf(PluginConf, frozen=True, kw_only=True):
    """proxy-rewrite: what the upstream is asked.

    uri: the path, with a query if it has one; $variables are filled in
    regex_uri: pairs of a regular expression over the path and its replacement; the first that matches counts; no use beside uri
    method: the method
    host: the Host header, where the upstream's pass_host is pass
    headers: what to add and set, by name, and names to remove; or names and values to set; $variables and captures are filled in
    use_real_request_uri_unsafe: whether it is the target as the client wrote it that is rewritten or sent on
    scheme: not supported
    """

    uri: Annotated[str, Meta(min_length=1, max_length=4096, pattern=whole(r"^/"), title="a path")] | None = None
    regex_uri: Annotated[tuple[str, ...], Meta(min_length=2, max_length=128)] | None = None
    method: Method | None = None
    host: (
        Annotated[str, Meta(pattern=whole(r"^[0-9a-zA-Z.-]+(:[0-9]{1,5})?$"), title="a host name, with a port if need be")] | None
    ) = None
    headers: Annotated[dict[str, Any], Meta(min_length=1)] | None = None
    use_real_request_uri_unsafe: bool = False
    scheme: Any = None

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """There is something to rewrite, and what it becomes can be sent."""
        yield from unsupported(present, scheme="it is the upstream's; in APISIX 3 as well")
        if "scheme" not in present:
            yield from any_of(present, *_NAMES)
        if good.get("method") == "TRACE":
            yield Fault(Path(("method",)), "not supported; no gateway of ours speaks it (RFC 9110 section 9.3.8)", "unsupported")
        if "uri" in good:
            try:
                _core.ProxyRewriteStep(_core.Composed(good["uri"]))
            except ValueError as error:
                yield broken("uri", str(error))
        if "regex_uri" in good:
            if len(good["regex_uri"]) % 2:
                reason = "The length of regex_uri should be an even number"
                yield broken("regex_uri", f"expected pairs, found {len(good['regex_uri'])} texts", reason)
            yield from pair_faults(good["regex_uri"], Path(("regex_uri",)))
        if "headers" in good:
            yield from (fault.under(Path(("headers",))) for fault in _header_faults(good["headers"]))


class ProxyRewrite(Plugin):
    """Rewrites what goes upstream."""

    name = "proxy-rewrite"
    version = 0.1
    # What is the upstream asked, in `rewrite`, when the consumer is known.
    priority = 1008
    phases = ("rewrite",)
    conf = Conf

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """One native step."""
        step = _core.ProxyRewriteStep(
            None if conf.uri is None else _core.Composed(conf.uri),
            () if conf.uri is not None else pairs_of(conf.regex_uri or (), raw=conf.use_real_request_uri_unsafe),
            raw=conf.use_real_request_uri_unsafe,
            method=conf.method or "",
            host=(conf.host or "").encode(),
            fields=list(_operations(conf.headers or {})),
        )
        return [step]


def _ways(headers: Mapping[str, Any]) -> Mapping[str, Any]:
    """The long form; what has none of its members, as such, is the short one."""
    long = isinstance(headers.get("remove"), list) or any(isinstance(headers.get(way), dict) for way in ("add", "set"))
    return headers if long else {"set": headers}


def _values(value: Any) -> list[str]:
    """Numbers as Lua writes them."""
    listed = value if isinstance(value, list) else [value]
    return [each if isinstance(each, str) else str(each) if isinstance(each, int) else format(each, ".14g") for each in listed]


def _operations(headers: Mapping[str, Any]) -> Iterator[Operation]:
    ways = _ways(headers)
    for way in ("add", "set"):
        for name, value in ways.get(way, {}).items():
            for index, text in enumerate(_values(value)):
                yield ("more" if index and way == "set" else way), name, text
    for name in ways.get("remove", ()):
        yield "remove", name, ""


def _header_faults(headers: Mapping[str, Any]) -> Iterator[Fault]:
    ways = _ways(headers)
    at = Path() if ways is headers else None  # where the members of the long form stand
    for way, members in ways.items():
        place = Path() if at is None else at.to(way)
        if way not in _WAYS:
            yield Fault(place, f"expected one of {', '.join(_WAYS)}", "enum", _WAYS)
        elif not members:
            yield Fault(place, "expected at least one header, found none")
        elif way == "remove" and isinstance(members, list):
            for index, name in enumerate(members):
                yield from _name_faults(name, place.to(index))
        elif way != "remove" and isinstance(members, dict):
            for name, value in members.items():
                yield from _name_faults(name, place.to(name)) or _value_faults(value, place.to(name))
        else:
            yield Fault(place, f"expected {'a list of names' if way == 'remove' else 'names with a value each'}")
    if sum(len(members) for members in ways.values() if isinstance(members, list | dict)) > _MOST_FIELDS:
        yield Fault(Path(), f"expected at most {_MOST_FIELDS} headers")


def _name_faults(name: Any, path: Path) -> list[Fault]:
    if not isinstance(name, str) or (wrong := FORMATS["header-name"](name)) is not None:
        return [Fault(path, f"expected {wrong.right if isinstance(name, str) else 'text'}")]  # type: ignore[union-attr]
    if _core.header_reserved(name):
        return [Fault(path, "expected a header that the gateway does not set itself")]
    return []


def _value_faults(value: Any, path: Path) -> list[Fault]:
    listed = value if isinstance(value, list) else [value]
    if not listed or any(isinstance(each, bool) or not isinstance(each, str | int | float) for each in listed):
        return [Fault(path, "expected text, a number or a list of them")]
    if any((ord(char) < 32 and char != "\t") or ord(char) == 127 for text in _values(value) for char in text):
        return [Fault(path, "expected no control characters")]
    return []
