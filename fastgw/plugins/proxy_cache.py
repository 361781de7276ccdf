"""proxy-cache: answers are kept and given again, as HTTP lets a shared cache do it (RFC 9111), to those who may have them.

Owns the configuration, and what a request and an answer have to be for that. Must not know how answers are found and sent in the
plain case (native/proxy_cache), where they lie (cache/zones), nor what their header lines mean (cache/control, cache/conditions).
"""

import hashlib
import os
import struct
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Annotated, Any, Final, Literal, NamedTuple

from msgspec import Meta

from fastgw import _core
from fastgw.cache import zones
from fastgw.cache.conditions import Part, part
from fastgw.cache.control import Directives, Fields, Kept, directives, kept, seconds
from fastgw.errors import Fault, Path
from fastgw.plugins.contract import Env, Plugin, PluginConf
from fastgw.schema.base import unique, whole
from fastgw.schema.rules import broken

__all__ = ["Conf", "ProxyCache"]

Variable = Annotated[str, Meta(pattern=whole(r"^[^$].+$|^\$[0-9a-zA-Z_]+$"), title="$ and the name of a variable, or a text")]

STATUS: Final = "Apisix-Cache-Status"
DEFAULT_ZONE: Final = "disk_cache_one"
_STORED: Final = struct.Struct("<QIIHHI")  # native/proxy_cache: StoredC
_STRICT: Final = 1  # in its flags: not to be used once stale
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH", "QUERY"})  # RFC 9110 section 9.2.1
_MOST_POSTED: Final = 1048576  # bytes of a POST's body by which its answer is found; longer ones pass by
_MOST_BODY: Final = 2**30
_MOST_KNOWN: Final = 4096  # bytes of all names that were ever in Vary
# Not of the answer but of its way, or told anew each time; those of one connection are gone already (RFC 9111 section 3.1).
_NOT_KEPT: Final = frozenset(
    {"age", "apisix-cache-status", "proxy-authenticate", "proxy-authentication-info", "proxy-authorization", "trailer"}
)
_HIDDEN: Final = ("cache-control", "expires")
_KEEPER: Final = "proxy-cache keeps"  # among what plugins know of a request


class Conf(PluginConf, frozen=True, kw_only=True):
    """proxy-cache: what is kept, for whom, and for how long where the upstream does not say.

    cache_strategy: where answers are kept; disk: in files, with those used lately in memory
    cache_zone: the zone of the config file that keeps them, one for that strategy
    cache_key: what requests have in common that may have one answer
    cache_bypass: requests in which one of these is neither empty nor 0 have nothing to do with the cache
    cache_method: methods whose answers are kept; with POST the request's body counts too
    cache_http_status: statuses of answers that are kept
    hide_cache_headers: whether Expires and Cache-Control are kept from clients
    cache_control: whether Cache-Control of requests is obeyed, and answers that do not say how long they are fresh are not kept
    no_cache: answers to requests in which one of these is neither empty nor 0 are not kept
    cache_ttl: seconds for which an answer is fresh that does not say, with cache_strategy memory
    consumer_isolation: whether what was answered to one caller is answered to that one only
    cache_set_cookie: whether answers that set cookies are kept, and so set everybody's
    max_resp_body_size: bytes of the longest body that is kept
    """

    cache_strategy: Literal["disk", "memory"] = "disk"
    cache_zone: Annotated[str, Meta(min_length=1, max_length=100)] = DEFAULT_ZONE
    cache_key: Annotated[tuple[Variable, ...], Meta(min_length=1)] = ("$host", "$request_uri")
    cache_bypass: Annotated[tuple[Variable, ...], Meta(min_length=1)] | None = None
    cache_method: Annotated[tuple[Literal["GET", "POST", "HEAD"], ...], Meta(min_length=1), unique] = ("GET", "HEAD")
    cache_http_status: Annotated[tuple[Annotated[int, Meta(ge=200, le=599)], ...], Meta(min_length=1), unique] = (200, 301, 404)
    hide_cache_headers: bool = False
    cache_control: bool = False
    no_cache: Annotated[tuple[Variable, ...], Meta(min_length=1)] | None = None
    cache_ttl: Annotated[int, Meta(ge=1, le=2**31 - 1)] = 300
    consumer_isolation: bool = True
    cache_set_cookie: bool = False
    max_resp_body_size: Annotated[int, Meta(ge=1, le=_MOST_BODY)] = 67108864

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """A zone that there is, for the strategy; variables that there are."""
        for member in ("cache_key", "cache_bypass", "no_cache"):
            for index, text in enumerate(good.get(member, ())):
                if member == "cache_key" and text in ("$request_method", "$method"):
                    yield Fault(
                        Path((member, index)),
                        "expected no method: GET and HEAD have one answer",
                        "rule",
                        apisix=f"cache_key variable {text} unsupported",
                    )
                elif text.startswith("$") and not _core.variable_known(text[1:]):
                    yield Fault(Path((member, index)), f"unknown variable {text}", "rule")
        if "cache_zone" in present and "cache_zone" not in good:
            return
        name, strategy = good.get("cache_zone", DEFAULT_ZONE), good.get("cache_strategy", "disk")
        zone = zones.declared().get(name)
        if zone is None:
            text = f"expected a zone of proxy_cache.zones in the config file, found {name}"
            yield broken("cache_zone", text, f"cache_zone {name} not found")
        elif (zone.disk_size is None) != (strategy == "memory"):
            text = f"expected a zone {'without' if strategy == 'memory' else 'with'} disk_size for cache_strategy {strategy}"
            yield broken("cache_zone", text, f"invalid or empty cache_zone for cache_strategy: {strategy}")


class ProxyCache(Plugin):
    """Keeps answers and gives them again."""

    name = "proxy-cache"
    version = 0.2
    # Is the answer known already. After every check of who may have it.
    priority = 1085
    phases = ("access", "header_filter")
    conf = Conf

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """The native step first, which has the plain hits; what it leaves is Python's."""
        zone = zones.get(conf.cache_zone)
        owner = f"{env.owner}\0{conf.hide_cache_headers}\0{conf.consumer_isolation}"
        plain = _core.CacheStep(
            zone.memory,
            _templates(conf.cache_key),
            _templates(conf.cache_bypass or ()),
            owner.encode(),
            isolated=conf.consumer_isolation,
            obeys=conf.cache_control,
        )
        cache = _Cache(conf, zone, plain, f"{self.name} of {env.owner}")
        steps: list[_core.Step] = [plain] if {"GET", "HEAD"}.issubset(conf.cache_method) else []
        steps.append(_core.PythonStep(self.name, "access", cache.access, None, keeps_time=True))
        return [*steps, _core.CacheAnswerStep(_core.PythonStep(self.name, "header_filter", cache.header_filter, None))]


def _templates(texts: Collection[str]) -> list[_core.Template]:
    return [_core.Template(text[1:], "var") if text.startswith("$") else _core.Template(text, "constant") for text in texts]


class _Asked(NamedTuple):
    """A request that went to the upstream."""

    resource: bytes
    turn: int
    at: float
    extra: bytes
    keeps: bool
    """Whether its answer may be kept; else it is a change of the resource."""


class _Cache:
    """One configuration at work in one worker."""

    def __init__(self, conf: Conf, zone: zones.Zone, step: _core.CacheStep, name: str) -> None:
        self._conf = conf
        self._zone = zone
        self._step = step
        self._name = name  # among what plugins know of a request
        self._bypass = _templates(conf.cache_bypass or ())
        self._no_cache = _templates(conf.no_cache or ())
        self._most = min(conf.max_resp_body_size, zone.most)
        self._other = "MISS" if conf.cache_strategy == "memory" else "BYPASS"  # of methods that are not kept, as in APISIX
        self._tally: _core.Tally | None = None

    # ---- requests

    def access(self, _: None, request: _core.Request) -> _core.Reply | Awaitable[_core.Reply | None] | None:
        """An answer that is kept; None where the upstream has to be asked."""
        method = request.method
        if self._step.early(request):
            self._pass(request, "BYPASS")
            return None
        if method == "PURGE":
            return _core.Reply(200 if self._zone.forget(self._step.resource(request)) else 404)
        if method not in self._conf.cache_method:
            self._pass(request, self._other)
            if method not in _SAFE:
                self._ask(request, self._step.resource(request), keeps=False)
            return None
        if _any(request, self._bypass):
            self._pass(request, "BYPASS")
            return None
        if method == "POST":
            return self._posted(request)
        if request.header("Upgrade") is not None or _has_body(request):
            self._pass(request, "BYPASS")
            return None
        return self._looked(request, b"")

    async def _posted(self, request: _core.Request) -> _core.Reply | None:
        body = await request.body(_MOST_POSTED)
        if body is None:
            self._pass(request, "BYPASS")
            return None
        found = self._looked(request, _posted_as(request, body))
        return found if found is None or isinstance(found, _core.Reply) else await found

    def _looked(self, request: _core.Request, extra: bytes) -> _core.Reply | Awaitable[_core.Reply | None] | None:
        said = directives(value for _, value in request.fields("Cache-Control")) if self._conf.cache_control else {}
        if self._conf.cache_control and not said and "no-cache" in (request.header("Pragma") or "").lower():
            said = {"no-cache": None}  # RFC 9111 section 5.4
        if "no-cache" in said or "no-store" in said:
            self._pass(request, "BYPASS")
            return None
        resource = self._step.resource(request)
        known = self._zone.find(resource, resource)
        if known is None:
            return self._judged(request, resource, extra, said, None)
        if not isinstance(known, tuple):
            raise TypeError("what is known of a resource is short")
        found = self._zone.find(resource, self._step.variant(request, resource, known[0], extra))
        if found is None or isinstance(found, tuple):
            return self._judged(request, resource, extra, said, found)
        return self._waited(request, resource, extra, said, found)

    async def _waited(
        self, request: _core.Request, resource: bytes, extra: bytes, said: Directives, found: Awaitable[zones.Entry | None]
    ) -> _core.Reply | None:
        return self._judged(request, resource, extra, said, await found)

    def _judged(
        self, request: _core.Request, resource: bytes, extra: bytes, said: Directives, found: zones.Entry | None
    ) -> _core.Reply | None:
        """An answer that is kept, where it may be used (RFC 9111 section 4), or the way to the upstream."""
        why = "MISS"
        if found is not None and len(found[0]) >= _STORED.size:
            at, age, lifetime, status, flags, _ = _STORED.unpack_from(found[0])
            age += max(0, int(time.time()) - at)
            why = _why_not(said, age, lifetime, bool(flags & _STRICT))
            if why in ("HIT", "served STALE") and not _is_for_upstream(request):
                fields = _fields(found[0][_STORED.size :])
                answer = part(request.header, request.method, status, fields, found[1], at)
                if _core.cache_has_room(len(answer.body)):
                    self._count(request, "cache_hits")
                    return _reply(answer, age, why.removeprefix("served "))
                why = "BYPASS"  # for who reads slowly, by pieces
            why = why if why in ("EXPIRED", "STALE", "BYPASS") else "MISS"
        if "only-if-cached" in said:
            return _core.Reply(504, {"message": "not in the cache"}, {STATUS: why}, reason="proxy-cache.absent")
        if why == "BYPASS":
            self._pass(request, why)
            return None
        self._count(request, "cache_misses")
        self._pass(request, why)
        self._ask(request, resource, extra=extra, keeps=request.method != "HEAD")
        return None

    def _pass(self, request: _core.Request, status: str) -> None:
        request.set_response_header(STATUS, status)

    def _ask(self, request: _core.Request, resource: bytes, *, extra: bytes = b"", keeps: bool) -> None:
        request.ctx[self._name] = _Asked(resource, self._zone.turn(resource), time.time(), extra, keeps)

    def _count(self, request: _core.Request, name: str) -> None:
        if self._tally is None:
            self._tally = _core.Tally(request)
        self._tally.add(name)

    # ---- answers

    def header_filter(self, _: None, request: _core.Request) -> None:
        """The upstream has answered a request that this plugin has seen."""
        told = _core.answer_fields(request)
        if told is None:
            return
        whole_, fields = told
        if self._conf.hide_cache_headers:
            for name in _HIDDEN:
                _core.hide_answer_field(request, name.encode())
        asked = request.ctx.get(self._name)
        if asked is None:
            return
        if not asked.keeps:
            if request.method not in _SAFE and 200 <= request.status < 400:  # RFC 9111 section 4.4
                self._zone.forget(asked.resource)
            return
        how = self._kept(request, fields, asked.at) if whole_ else None
        if how is not None and request.ctx.setdefault(_KEEPER, self) is self:  # a global rule's keeps it for the route's too
            lines = [field for field in fields if field[0].lower() not in _NOT_KEPT]
            if self._conf.hide_cache_headers:
                lines = [field for field in lines if field[0].lower() not in _HIDDEN]
            _core.copy_answer(request, self._most, self._keeper(request, asked, how, lines))

    def _kept(self, request: _core.Request, fields: Fields, at: float) -> Kept | None:
        conf = self._conf
        if request.status not in conf.cache_http_status or _any(request, self._no_cache):
            return None
        if "no-store" in directives(value for _, value in request.fields("Cache-Control")):
            return None
        default = float(conf.cache_ttl) if conf.cache_strategy == "memory" else zones.ttl()
        return kept(
            request.status,
            fields,
            authorized=any(name.lower() == "authorization" for name, _ in request.headers),
            cookies=conf.cache_set_cookie,
            default=None if conf.cache_control else int(default),
            asked=at,
            now=time.time(),
        )

    def _keeper(self, request: _core.Request, asked: _Asked, how: Kept, fields: Fields) -> Callable[[bytes | None], None]:
        """Who puts the answer in once all of it is here. Names that once were in Vary count on: an answer without them may be one
        for a few (RFC 9111 section 4.1 has each answer tell; to ask for more of a request than that is never wrong)."""
        now = time.time()
        found = self._zone.find(asked.resource, asked.resource)
        known = found[0] if isinstance(found, tuple) else os.urandom(8)
        names = {name for name in known[8:].decode("latin-1").split("\0") if name}
        merged = known[:8] + "".join(f"{name}\0" for name in sorted({*names, *how.vary})).encode("latin-1")
        if not any(name.lower() == "date" for name, _ in fields):  # RFC 9110 section 6.6.1
            fields = [*fields, ("Date", time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(now)))]
        head = _STORED.pack(int(now), how.age, how.lifetime, request.status, _STRICT if how.strict else 0, 0) + _lines(fields)
        variant = self._step.variant(request, asked.resource, merged, asked.extra)
        # What is known of the resource is written anew each time, so that it is not older than what is found by it.
        return partial(self._put, asked, merged, variant, head, now + how.lifetime - how.age)

    def _put(self, asked: _Asked, known: bytes, variant: bytes, head: bytes, expires: float, body: bytes | None) -> None:
        if body is not None and len(known) <= _MOST_KNOWN:
            self._zone.put(asked.resource, ((asked.resource, known, b""), (variant, head, body)), asked.turn, expires)


def _any(request: _core.Request, templates: list[_core.Template]) -> bool:
    return any(request.text(template) not in ("", "0") for template in templates)


def _posted_as(request: _core.Request, body: bytes) -> bytes:
    """What a POST asks with, and what the upstream is told it is: of one body it may make several things."""
    named = [(name.lower(), value) for name, value in request.headers if _is_of_body(name.lower().replace("_", "-"))]
    return b"POST" + hashlib.sha256(body).digest() + repr((sorted(named), sorted(request.nominated()))).encode()


def _is_of_body(name: str) -> bool:
    return name.startswith("content-") and name != "content-length"


def _has_body(request: _core.Request) -> bool:
    """A body of a GET means nothing (RFC 9110 section 9.3.1), but an upstream may think otherwise."""
    fields = {name.lower(): value for name, value in request.headers}
    return "transfer-encoding" in fields or fields.get("content-length", "0").strip("0") != ""


def _is_for_upstream(request: _core.Request) -> bool:
    """Conditions that only the server can judge (RFC 9111 section 4.3.2)."""
    return request.header("If-Match") is not None or request.header("If-Unmodified-Since") is not None


def _why_not(said: Directives, age: int, lifetime: int, strict: bool) -> str:
    """Whether an answer of that age may be used by what the request says (RFC 9111 section 5.2.1)."""
    if "max-age" in said and age > seconds(said["max-age"]):
        return "STALE"
    if "min-fresh" in said and lifetime - age < seconds(said["min-fresh"]):
        return "STALE" if age < lifetime else "EXPIRED"
    if age < lifetime:
        return "HIT"
    if "max-stale" in said and not strict and (said["max-stale"] is None or age - lifetime <= seconds(said["max-stale"])):
        return "served STALE"
    return "EXPIRED"


def _fields(lines: bytes) -> Fields:
    pairs = (line.partition(": ") for line in lines.decode("latin-1").split("\r\n") if line)
    return [(name, value) for name, _, value in pairs]


def _lines(fields: Fields) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in fields).encode("latin-1")


def _reply(answer: Part, age: int, status: str) -> _core.Reply:
    fields = [*answer.fields, ("Age", str(age)), (STATUS, status)]
    return _core.stored_reply(answer.status, _lines(fields), answer.body)
