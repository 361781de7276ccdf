"""redirect: send clients to another URL.

Owns the configuration. Must not know how a Location is made of it (native/redirect), nor how an expression is compiled
(substitution).
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any

from msgspec import Meta

from fastgw import _core
from fastgw.errors import Fault, Path
from fastgw.plugins.contract import Env, Plugin, PluginConf
from fastgw.plugins.substitution import pair_faults, pairs_of
from fastgw.schema.base import Port
from fastgw.schema.rules import broken, exactly_one

__all__ = ["Conf", "Metadata", "Redirect"]


class Conf(PluginConf, frozen=True, kw_only=True):
    """redirect: where to, and how it is said.

    http_to_https: whether requests that did not come by https are sent to the same URL by https; with 301, or 308 if they are not
        GET or HEAD
    uri: where to; $variables are filled in
    regex_uri: a regular expression over the path, and where to if it matches, $1 being its first group; else the request goes on
    ret_code: the status
    encode_uri: without effect: a Location is always encoded
    append_query_string: whether the request's query follows
    """

    http_to_https: bool | None = None
    uri: Annotated[str, Meta(min_length=2)] | None = None
    regex_uri: Annotated[tuple[str, ...], Meta(min_length=2, max_length=2)] | None = None
    ret_code: Annotated[int, Meta(ge=200, le=599)] = 302
    encode_uri: bool = False
    append_query_string: bool = False

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """One place to go to, which can be told."""
        yield from exactly_one(present, "http_to_https", "uri", "regex_uri")
        if good.get("http_to_https") and good.get("append_query_string"):
            reason = "only one of `http_to_https` and `append_query_string` can be configured."
            yield broken("append_query_string", "expected none beside http_to_https, which keeps the query", reason)
        if "uri" in good:
            try:
                _core.Composed(good["uri"], url=True)
            except ValueError as error:
                yield broken("uri", str(error))
        if "regex_uri" in good:
            yield from pair_faults(good["regex_uri"], Path(("regex_uri",)), url=True)


class Metadata(PluginConf, frozen=True, kw_only=True):
    """How redirect's http_to_https names the gateway.

    https_port: the port of https, as clients reach it; where the gateway listens for TLS when left out, 443 if it does there
    """

    https_port: Port | None = None


class Redirect(Plugin):
    """Answers requests with the URL to go to."""

    name = "redirect"
    version = 0.1
    # Is the client to go elsewhere, in `rewrite`.
    priority = 900
    phases = ("rewrite",)
    conf = Conf
    metadata_conf = Metadata

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """One native step, if there is anything to do."""
        if conf.uri is not None:
            made = _core.Composed(conf.uri, url=True)
            return [_core.RedirectStep(made, status=conf.ret_code, append=conf.append_query_string)]
        if conf.regex_uri is not None:
            (pair,) = pairs_of(conf.regex_uri, url=True)
            return [_core.RedirectStep(None, pair, status=conf.ret_code, append=conf.append_query_string)]
        told: Metadata = env.metadata(self)
        return [_core.RedirectStep(port=told.https_port or 0)] if conf.http_to_https else []
