"""cors: say which origins may read an answer in a browser, and answer the question that browsers ask before.

Owns the configuration. Must not know how origins are compared, nor which headers an answer has already (native/cors).
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Annotated, Any, Final

from msgspec import Meta

from fastgw import _core
from fastgw.errors import Fault, Path
from fastgw.plugins.contract import Env, Plugin, PluginConf
from fastgw.schema.base import unique, whole
from fastgw.schema.expression import Comparison, expression_faults, parsed
from fastgw.schema.rules import broken

__all__ = ["Conf", "Cors", "Metadata"]

_METHODS: Final = "GET,POST,PUT,DELETE,PATCH,HEAD,OPTIONS,CONNECT,TRACE"
_ONCE: Final = "you can not set '*' for other option when 'allow_credential' is true"
_LISTS: Final = ("allow_methods", "allow_headers", "expose_headers")
_REGEXES: Final = ("allow_origins_by_regex", "timing_allow_origins_by_regex")

Origins = Annotated[
    str,
    Meta(
        pattern=whole(r"^(\*|\*\*|null|\w+://[^,]+(,\w+://[^,]+)*)$"),
        title="'*', '**', 'null', or origins (scheme://host:port) with ',' between them",
    ),
]
Texts = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=4096)], ...], Meta(min_length=1), unique]


class Metadata(PluginConf, frozen=True, kw_only=True):
    """What all uses of cors share.

    allow_origins: origins by a name, each in the form of the attribute; `*` and `**` mean each origin by its own name
    """

    allow_origins: dict[str, Origins] = {}


class Conf(PluginConf, frozen=True, kw_only=True):
    """cors: who may read answers, and what may be asked.

    allow_origins: origins that may read, as `scheme://host:port`; `*` is any, `**` any, each by its own name
    allow_methods: methods that may be used; `*` is any without credentials, `**` all there are
    allow_headers: headers that requests may have; `*` is any without credentials, `**` those that are asked for
    expose_headers: headers of answers that may be read; `*` is any without credentials
    max_age: seconds for which browsers remember this; -1: not at all
    allow_credential: whether requests may carry credentials; then nothing may be `*`
    allow_origins_by_regex: regular expressions that find something in an origin that may read; instead of `allow_origins`
    allow_origins_by_metadata: names of origins in the plugin's metadata, which may read as well
    timing_allow_origins: origins that may see how long things took (`Timing-Allow-Origin`)
    timing_allow_origins_by_regex: the same by regular expressions; instead of `timing_allow_origins`
    """

    allow_origins: Origins = "*"
    allow_methods: str = "*"
    allow_headers: str = "*"
    expose_headers: str = ""
    max_age: int = 5
    allow_credential: bool = False
    allow_origins_by_regex: Texts | None = None
    allow_origins_by_metadata: Texts | None = None
    timing_allow_origins: Origins | None = None
    timing_allow_origins_by_regex: Texts | None = None

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """Nothing for everybody where credentials may come; lists that can stand in a header; patterns that can be searched."""
        if good.get("allow_credential"):
            wild = {"allow_origins": "*", "allow_methods": "*", "allow_headers": "*", **good}
            for name in ("allow_origins", *_LISTS, "timing_allow_origins"):
                if wild.get(name) == "*":
                    yield broken(name, "expected no '*' where allow_credential is true", _ONCE)
        for name in _LISTS:
            if any(ord(letter) < 32 or ord(letter) == 127 for letter in good.get(name, "")):
                yield broken(name, "expected no control characters")
        for name in _REGEXES:
            patterns = good.get(name, ())
            wrong = [(index, fault.message) for index, one in enumerate(patterns) for fault in expression_faults(_search(one))]
            yield from (Fault(Path((name, index)), message, "rule") for index, message in wrong)
            if not wrong and expression_faults(_search(*patterns)):
                yield broken(name, "expected fewer or shorter ones: together they take too much memory")


def _named(text: str) -> list[str]:
    return text.split(",")


def _search(*patterns: str) -> list[Any]:
    """The condition that one of them finds something."""
    return [["http_origin", "~~", "|".join(f"(?:{pattern})" for pattern in patterns)]]


def _matching(patterns: Iterable[str]) -> _core.Origins:
    one = parsed(_search(*patterns)).members[0]
    assert isinstance(one, Comparison)  # noqa: S101
    return _core.Origins((), one.value)


class Cors(Plugin):
    """Lets pages of other origins read answers."""

    name = "cors"
    version = 0.1
    # Who may read the answer. Before all that may refuse, as browsers ask without credentials.
    priority = 4000
    phases = ("rewrite", "header_filter")
    conf = Conf
    metadata_conf = Metadata

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """A native step that answers OPTIONS, and one that tells who may read."""
        timing = _named(conf.timing_allow_origins) if conf.timing_allow_origins is not None else None
        return [
            _core.PreflightStep(),
            _core.CorsStep(
                _matching(conf.allow_origins_by_regex)
                if conf.allow_origins_by_regex
                else _core.Origins(_named(conf.allow_origins)),
                list(_headers(conf)),
                others=_core.Origins(_by_metadata(conf, env.metadata(self))) if conf.allow_origins_by_metadata else None,
                timing=_matching(conf.timing_allow_origins_by_regex)
                if conf.timing_allow_origins_by_regex
                else _core.Origins(timing)
                if timing is not None
                else None,
                echo_headers=conf.allow_headers == "**",
            ),
        ]


def _by_metadata(conf: Conf, shared: Metadata) -> list[str]:
    """The origins of the names that there are; "*" means the origin itself there, as in APISIX."""
    texts = [shared.allow_origins[name] for name in conf.allow_origins_by_metadata or () if name in shared.allow_origins]
    return ["**" if name == "*" else name for text in texts for name in _named(text)]


def _headers(conf: Conf) -> Iterator[tuple[str, str]]:
    """What everybody is told who may read, in APISIX's order, but for what depends on the request."""
    yield "Access-Control-Allow-Methods", _METHODS if conf.allow_methods == "**" else conf.allow_methods
    yield "Access-Control-Max-Age", str(conf.max_age)
    if conf.expose_headers:
        yield "Access-Control-Expose-Headers", conf.expose_headers
    if conf.allow_headers != "**":
        yield "Access-Control-Allow-Headers", conf.allow_headers
    if conf.allow_credential:
        yield "Access-Control-Allow-Credentials", "true"
