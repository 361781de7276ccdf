"""public-api: publish, on a route, what plugins answer themselves.

Owns the configuration and how an endpoint is found. Must not know any one endpoint: plugins declare theirs (`Plugin.endpoints`).
"""

from collections.abc import Callable
from typing import Annotated

from msgspec import Meta

from fastgw import _core
from fastgw.plugins.contract import Env, Plugin, PluginConf
from fastgw.plugins.phrases import phrase

__all__ = ["Conf", "PublicApi"]

Answer = Callable[[_core.Request], _core.Reply]


class Conf(PluginConf, frozen=True, kw_only=True):
    """public-api: which endpoint.

    uri: its path; that of the request when left out
    """

    uri: Annotated[str, Meta(min_length=1, max_length=4096)] | None = None


class PublicApi(Plugin):
    """Answers as the plugin that declares the endpoint does, or with 404."""

    name = "public-api"
    version = 0.1
    # What plugins answer themselves, in `access`.
    priority = 501
    phases = ("access",)
    conf = Conf

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """One Python step."""
        return [_core.PythonStep(self.name, "access", _Publisher(conf.uri, _endpoints()).access, None)]


class _Publisher:
    """One configuration at work."""

    def __init__(self, uri: str | None, endpoints: dict[str, Answer]) -> None:
        self._uri = uri
        self._endpoints = endpoints

    def access(self, _: None, request: _core.Request) -> _core.Reply:
        """Always an answer: nothing of this goes upstream."""
        method = "GET" if request.method == "HEAD" else request.method
        answer = self._endpoints.get(f"{method} {self._uri or request.path}")
        if answer is None:
            return _core.Reply(404, {"error_msg": phrase(404)}, reason="public-api.unknown")
        return answer(request)


def _endpoints() -> dict[str, Answer]:
    """Those of all plugins there are, also of users' own."""
    from fastgw.plugins import order  # it lists this plugin, too

    found: dict[str, Answer] = {}
    for name in order.names():
        plugin = order.get(name)
        for endpoint, method in plugin.endpoints.items() if plugin is not None else ():
            found.setdefault(endpoint, getattr(plugin, method))
    return found
