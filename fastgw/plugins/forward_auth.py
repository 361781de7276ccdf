"""forward-auth: ask another server whether a request may pass.

Owns the configuration, what that server is asked, and what its answer means. Must not know how it is reached (http_client) or how
a body is gathered (native/gather).
"""

import logging
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from fastgw import _core
from fastgw.errors import Fault, Path
from fastgw.http_client import Answer, Client, Fields, UnreachableError, split_url
from fastgw.plugins.contract import Env, Plugin, PluginConf
from fastgw.plugins.phrases import phrase
from fastgw.schema.base import HeaderName, Text, secret
from fastgw.schema.rules import broken

__all__ = ["Conf", "ForwardAuth"]

_NO_VALUE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]|[^\x00-\xff]")
_MOST_BODY: Final = 2**30
_SAID: Final = ("content-type", "date", "server")  # of a refusal, by the gateway
_SENT: Final = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host")

log = logging.getLogger("fastgw.forward-auth")


class Conf(PluginConf, frozen=True, kw_only=True):
    """forward-auth: who is asked, what it is told, and what becomes of its answer.

    uri: what is asked: `http://` or `https://`, without user name, password or fragment; an answer below 300 lets the request
        pass
    request_method: how; with POST the request's body goes along
    max_req_body_size: bytes of the longest body that goes along; one that is longer: 413 without a body, and nobody is asked
    request_headers: headers of the request that are sent along, in every spelling that upstreams may take for them;
        `X-Real-IP`, `X-Forwarded-*` and `Forwarded` of `trusted_addresses` only
    extra_headers: further headers; $variables in their values are filled in, empty where the request has none. Not shown to
        viewers, as they may hold a secret
    upstream_headers: headers of the answer that the upstream is sent; the client's of these names never are
    client_headers: headers of the answer that the client is sent when it is refused
    timeout: milliseconds for everything from connecting to the end of the answer
    keepalive: whether connections are kept for the next question
    keepalive_timeout: milliseconds for which one is kept
    keepalive_pool: how many are kept per worker
    ssl_verify: whether the certificate is checked, against the system's authorities or those of `SSL_CERT_FILE`
    allow_degradation: whether requests pass when there is no answer; not when one of status 300 or above broke off
    status_on_error: the status of a request that is refused because there is none
    """

    uri: Text
    request_method: Literal["GET", "POST"] = "GET"
    max_req_body_size: Annotated[int, Meta(ge=1, le=_MOST_BODY)] = 67108864
    request_headers: tuple[HeaderName, ...] = ()
    extra_headers: Annotated[dict[HeaderName, str], Meta(min_length=1), secret] | None = None
    upstream_headers: tuple[HeaderName, ...] = ()
    client_headers: tuple[HeaderName, ...] = ()
    timeout: Annotated[int, Meta(ge=1, le=60000)] = 3000
    keepalive: bool = True
    keepalive_timeout: Annotated[int, Meta(ge=1000)] = 60000
    keepalive_pool: Annotated[int, Meta(ge=1)] = 5
    ssl_verify: bool = True
    allow_degradation: bool = False
    status_on_error: Annotated[int, Meta(ge=200, le=599)] = 403

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """A URL that can be asked; no header by which messages are framed, or that only the gateway says."""
        if "uri" in good:
            try:
                split_url(good["uri"])
            except ValueError as error:
                yield broken("uri", f"expected a URL that can be asked: {error}")
        for member in ("request_headers", "upstream_headers", "client_headers"):
            reserved = _core.header_reserved if member == "upstream_headers" else _core.header_of_framing
            for index, name in enumerate(good.get(member, ())):
                if reserved(name):
                    yield Fault(Path((member, index)), "expected a header that the gateway does not set itself")
        for name, value in (good.get("extra_headers") or {}).items():
            if _core.header_of_framing(name):
                yield Fault(Path(("extra_headers", name)), "expected a header that the gateway does not set itself")
            if _NO_VALUE.search(value):
                yield Fault(Path(("extra_headers", name)), "expected no control characters, and none beyond Latin-1")


class ForwardAuth(Plugin):
    """Lets requests pass that another server admits."""

    name = "forward-auth"
    version = 0.1
    # Does somebody else let it in, in `access`.
    priority = 2002
    phases = ("access",)
    conf = Conf

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """One Python step with a client of its own: connections are not shared between configurations."""
        client = Client(
            conf.uri,
            timeout=conf.timeout / 1000,
            verify=conf.ssl_verify,
            idle=conf.keepalive_timeout / 1000,
            keep=conf.keepalive_pool if conf.keepalive else 0,
        )
        extra = [(name, _core.Template(value, "var_combination")) for name, value in (conf.extra_headers or {}).items()]
        return [_core.PythonStep(self.name, "access", _Asker(conf, client, extra, env.owner).access, None, keeps_time=True)]

    def own_headers(self, conf: Conf) -> Collection[str]:
        """Those that the answer may carry, but for such as the other server is shown first."""
        shown = {name.lower() for name in conf.request_headers}
        return [name for name in conf.upstream_headers if name.lower() not in shown]


class _Asker:
    """One configuration at work."""

    def __init__(self, conf: Conf, client: Client, extra: list[tuple[str, _core.Template]], owner: str) -> None:
        self._conf = conf
        self._client = client
        self._extra = extra
        self._owner = owner
        self._failing = False

    async def access(self, _: None, request: _core.Request) -> _core.Reply | None:
        """None lets the request pass."""
        conf = self._conf
        body = None
        if conf.request_method == "POST":
            body = await request.body(conf.max_req_body_size)
            if body is None:
                return _core.Reply(413, reason="forward.too_large")
        question = self._fields(request)
        for name in conf.upstream_headers:
            request.remove_header(name)  # whatever comes of it: only the answer may say them
        try:
            answer = await self._client.ask(conf.request_method, question, body)
            told = self._told(answer)
        except UnreachableError as error:
            self._note(str(error))
            if conf.allow_degradation and error.status < 300:  # a refusal is one however the rest of it went
                return None
            return _core.Reply(conf.status_on_error, {"error_msg": phrase(conf.status_on_error)}, reason="forward.unreachable")
        self._note(None)
        if answer.status >= 300:
            return self._denied(answer)
        for name, value in told:
            request.add_header(name, value)
        return None

    def _fields(self, request: _core.Request) -> Fields:
        """What the server is told besides the body. Variables hold what came in a lawful head, so no control characters."""
        fields = [(name, value) for name, value in request.forwarded() if name.lower() in _SENT]
        fields += [("X-Forwarded-Method", request.method), ("X-Forwarded-Uri", request.uri)]
        extra = [(name, request.text(template)) for name, template in self._extra]
        said = {name.lower() for name, _ in extra}
        fields = [(name, value) for name, value in fields if name.lower() not in said] + extra
        said = {name.lower() for name, _ in fields}
        wanted = list(self._conf.request_headers)
        if self._conf.request_method == "POST":
            wanted.append("Content-Encoding")
        for name in wanted:
            if name.lower() not in said:
                said.add(name.lower())
                fields += request.fields(name)
        return fields

    def _told(self, answer: Answer) -> Fields:
        """What the upstream is to be sent of an answer."""
        if answer.status > 599:
            raise UnreachableError(f"an answer of status {answer.status}", answer.status)
        if answer.status >= 300:
            return []
        return [(name, value) for name in dict.fromkeys(self._conf.upstream_headers) for value in answer.values(name)]

    def _denied(self, answer: Answer) -> _core.Reply:
        headers: Fields = []
        for name in dict.fromkeys((*self._conf.client_headers, *(("Content-Encoding",) if answer.body else ()))):
            if name.lower() not in _SAID and not any(name.lower() == other.lower() for other, _ in headers):
                headers += [(name, value) for value in answer.values(name)]
        type_ = next(iter(answer.values("Content-Type")), "")
        if not (type_ and type_.isascii() and type_.isprintable()):
            type_ = "text/plain; charset=utf-8"
        return _core.Reply(answer.status, answer.body, headers, content_type=type_, reason="forward.denied")

    def _note(self, failure: str | None) -> None:
        """Tells the log when the server stops answering and when it does so again, and not of each request."""
        if failure is not None and not self._failing:
            log.warning("%s: forward-auth: %s: %s", self._owner, self._client.origin, failure)
        elif failure is None and self._failing:
            log.info("%s: forward-auth: %s answers again", self._owner, self._client.origin)
        self._failing = failure is not None
