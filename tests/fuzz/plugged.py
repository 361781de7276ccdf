"""Routes with plugins that make something else of a request or of its answer, each steps as the plugin makes them of a
configuration.

Owns: the configurations by the routes' names, and the clock of the plugin that keeps answers. Must not know what is claimed of
them (asked, answered).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import msgspec

from fastgw import _core
from fastgw.plugins import order, proxy_cache
from fastgw.plugins.codings import brotli
from fastgw.plugins.contract import Plugin

Plugins = dict[str, dict[str, Any]]

TRUSTED = ["192.0.2.1", "192.0.2.2", "2001:db8::/32"]  # whose word of a client's address counts
ORIGIN = b"http://a.example"  # whose pages may read /cors
OTHER = b"other.example"  # the Host that the other nodes of /split get
SHOWN = b"shown.example:81"  # the Host of /rewrite
MOCKED = b"mocked"
STRUCK = b"struck"  # what /fault answers
SMALL = 8  # bytes of the longest body for /small and /mixed
MOST_SEARCHED = 4096  # bytes of a body in which /filters replaces something
BEFORE, AFTER = b"<<", b">>"  # around bodies of /echo and /mixed
SEARCHED, REPLACED = r"n(\d)", "<$1>"

_NUMBERS: dict[str, Any] = {"filters": [{"regex": SEARCHED, "scope": "global", "replace": REPLACED}]}
_CACHE: dict[str, Any] = {"cache_strategy": "memory", "cache_zone": "memory_cache"}
_ECHO = {"before_body": BEFORE.decode(), "after_body": AFTER.decode()}
_CODED: dict[str, Any] = {"types": "*", "min_length": 1, "http_version": 1.0, "vary": True}
_PEER = {"headers": {"set": {"X-Peer": "$remote_addr"}}}
_EITHER: list[dict[str, Any]] = [{"weight": 1}, {"upstream_id": "other", "weight": 1}]

PLUGGED: dict[bytes, Plugins] = {
    b"rewrite": {
        "proxy-rewrite": {
            "regex_uri": ["^/rewrite/([^/]*)/(.*)", "/re/.$1/$2"],
            "host": SHOWN.decode(),
            "headers": {
                "add": {"X-More": "$http_x_a"},
                "set": {"X-Part": "$1", "X-Arg": "$arg_u"},
                "remove": ["X-B", "Accept-Encoding"],
            },
        }
    },
    b"raw": {"proxy-rewrite": {"regex_uri": ["^/raw/(.*)", "/cooked/$1"], "use_real_request_uri_unsafe": True}},
    b"made": {"proxy-rewrite": {"uri": "/made$uri?u=$arg_u&h=$http_x_a"}},
    b"to-post": {"proxy-rewrite": {"method": "POST"}},
    b"to-head": {"proxy-rewrite": {"method": "HEAD"}},
    b"to-get": {"proxy-rewrite": {"method": "GET"}},
    b"redirect": {"redirect": {"regex_uri": ["^/redirect/(.*)", "/to/$1"], "append_query_string": True}},
    b"moved": {"redirect": {"uri": "https://$host/m$request_uri", "ret_code": 308}},
    b"goto": {"redirect": {"uri": "$arg_to", "append_query_string": True}},
    b"secure": {"redirect": {"http_to_https": True}},
    b"peer": {"real-ip": {"source": "http_x_client", "trusted_addresses": TRUSTED}},
    b"hops": {"real-ip": {"source": "http_x_forwarded_for", "trusted_addresses": TRUSTED, "recursive": True}},
    b"split": {
        "traffic-split": {
            "rules": [
                {"match": [{"vars": [["arg_b", "==", "1"]]}], "weighted_upstreams": [{"upstream_id": "other"}]},
                {"match": [{"vars": [["arg_b", "==", "2"]]}], "weighted_upstreams": _EITHER},
            ]
        }
    },
    b"to-200": {"response-rewrite": {"status_code": 200, "headers": {"set": {"X-S": "$status $http_x_a"}, "remove": ["X-B"]}}},
    b"to-204": {"response-rewrite": {"status_code": 204, "headers": {"add": ["X-S: $http_x_a"]}}},
    b"filters": {"response-rewrite": {**_NUMBERS, "max_resp_body_size": MOST_SEARCHED}},
    b"cors": {
        "cors": {
            "allow_origins": ORIGIN.decode(),
            "allow_methods": "GET",
            "allow_headers": "X-A",
            "expose_headers": "X-B",
            "allow_credential": True,
            "timing_allow_origins": ORIGIN.decode(),
        }
    },
    b"cors-any": {"cors": {"allow_origins": "**", "allow_headers": "**", "timing_allow_origins": "*"}},
    b"gzip": {"gzip": _CODED},
    b"cache": {"proxy-cache": _CACHE},
    b"cache-told": {"proxy-cache": {**_CACHE, "cache_control": True, "hide_cache_headers": True}},
    b"small": {"client-control": {"max_body_size": SMALL}},
    b"fault": {
        "fault-injection": {
            "delay": {"duration": 0.3, "vars": [[["arg_d", "==", "1"]]]},
            "abort": {
                "http_status": 418,
                "body": STRUCK.decode(),
                "headers": {"X-F": "$http_x_a"},
                "vars": [[["arg_s", "==", "1"]]],
            },
        }
    },
    b"mock": {"mocking": {"response_example": MOCKED.decode(), "response_headers": {"X-M": "$http_x_a"}}},
    b"echo": {"echo": {**_ECHO, "headers": {"X-E": "$http_x_a"}}},
    b"mixed": {
        "client-control": {"max_body_size": SMALL},
        "real-ip": {"source": "http_x_client", "trusted_addresses": TRUSTED},
        "cors": {"allow_origins": ORIGIN.decode()},
        "key-auth": {"hide_credentials": True},
        "proxy-cache": _CACHE,
        "proxy-rewrite": {"uri": "/mixed/x$uri"},
        "gzip": _CODED,
        "response-rewrite": {**_NUMBERS, "headers": {"set": {"X-S": "$status"}}},
        "echo": _ECHO,
    },
}
if brotli() is not None:
    PLUGGED[b"brotli"] = {"brotli": _CODED}
    PLUGGED[b"mixed"]["brotli"] = _CODED
_FIRST = 30000  # a priority above all
_OF_ONE_SCENE = {name for name, plugins in PLUGGED.items() if not plugins.keys().isdisjoint({"proxy-cache", "traffic-split"})}
_SCENES = itertools.count()


class _Env:
    """What the plugins above ask of the configuration that they are part of."""

    def __init__(self, owner: str, upstreams: Mapping[str, _core.Upstream]) -> None:
        self.owner = owner
        self._upstreams = upstreams

    def anonymous(self, username: str) -> None:
        """Nobody goes without a credential."""

    def metadata(self, plugin: Plugin) -> Any:
        """As where nothing is stored."""
        assert plugin.metadata_conf is not None
        return plugin.metadata_conf()

    def store(self, settings: object) -> _core.RemoteStore:
        """There is none."""
        raise LookupError(settings)

    def upstream(self, which: Any) -> _core.Upstream:
        """Of the scene."""
        return self._upstreams[which]


def _steps(name: bytes, plugins: Plugins, env: _Env) -> _core.Steps:
    steps: list[tuple[int, int, _core.Step]] = []
    for each, given in plugins.items():
        plugin = order.get(each)
        assert plugin is not None
        made = plugin.provision(msgspec.convert(given, plugin.conf), env)
        steps += [(order.number(each), plugin.priority, step) for step in made]
    if "real-ip" in plugins:  # who was connected is told before
        (peer,) = order.get("proxy-rewrite").provision(msgspec.convert(_PEER, order.get("proxy-rewrite").conf), env)
        steps.append((255, _FIRST, peer))
    return _core.Steps(steps)


class Chains:
    """The chains of one scene: in it answers that are kept outlive changes of the configuration, but no other scene has them."""

    _shared: Mapping[bytes, _core.Steps] = {
        name: _steps(name, plugins, _Env(f"routes/{name.decode()}", {}))
        for name, plugins in PLUGGED.items()
        if name not in _OF_ONE_SCENE
    }

    def __init__(self) -> None:
        self._scene = f"scene {next(_SCENES)}"

    def made(self, other: _core.Upstream) -> dict[bytes, _core.Steps]:
        """By the routes' names; `other` takes a part of /split."""
        own = {name: self._own(name, other) for name in PLUGGED if name in _OF_ONE_SCENE}
        return {**self._shared, **own}

    def _own(self, name: bytes, other: _core.Upstream) -> _core.Steps:
        plugins = dict(PLUGGED[name])
        if "proxy-cache" in plugins:
            plugins["proxy-cache"] = {**plugins["proxy-cache"], "cache_key": ["$host", "$request_uri", self._scene]}
        return _steps(name, plugins, _Env(f"routes/{name.decode()}", {"other": other}))


class Clock:
    """Time as the plugin that keeps answers has it; it stands still."""

    strftime = staticmethod(time.strftime)
    gmtime = staticmethod(time.gmtime)

    def __init__(self, now: int) -> None:
        self.now = now

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Within, it is the plugin's."""
        with patch.object(proxy_cache, "time", self):
            yield

    def time(self) -> float:
        """As time.time."""
        return float(self.now)
