"""The shipped plugins in running order, and the registry by name, into which those of users go.

Owns the list. Must not know what any plugin does. Order follows APISIX's priorities; a test fails when an
entry stands where its priority does not put it or shares one, and when a plugin's module is not listed.
"""

from collections.abc import Iterable
from typing import Final

from fastgw.plugins.acl import Acl
from fastgw.plugins.api_breaker import ApiBreaker
from fastgw.plugins.attach_consumer_label import AttachConsumerLabel
from fastgw.plugins.basic_auth import BasicAuth
from fastgw.plugins.brotli import Brotli
from fastgw.plugins.client_control import ClientControl
from fastgw.plugins.consumer_restriction import ConsumerRestriction
from fastgw.plugins.contract import Plugin
from fastgw.plugins.cors import Cors
from fastgw.plugins.csrf import Csrf
from fastgw.plugins.data_mask import DataMask
from fastgw.plugins.echo import Echo
from fastgw.plugins.fault_injection import FaultInjection
from fastgw.plugins.file_logger import FileLogger
from fastgw.plugins.forward_auth import ForwardAuth
from fastgw.plugins.gzip import Gzip
from fastgw.plugins.hmac_auth import HmacAuth
from fastgw.plugins.http_logger import HttpLogger
from fastgw.plugins.ip_restriction import IpRestriction
from fastgw.plugins.jwt_auth import JwtAuth
from fastgw.plugins.key_auth import KeyAuth
from fastgw.plugins.limit_conn import LimitConn
from fastgw.plugins.limit_count import LimitCount
from fastgw.plugins.limit_req import LimitReq
from fastgw.plugins.mocking import Mocking
from fastgw.plugins.multi_auth import MultiAuth
from fastgw.plugins.opentelemetry import OpenTelemetry
from fastgw.plugins.prometheus import Prometheus
from fastgw.plugins.proxy_cache import ProxyCache
from fastgw.plugins.proxy_mirror import ProxyMirror
from fastgw.plugins.proxy_rewrite import ProxyRewrite
from fastgw.plugins.public_api import PublicApi
from fastgw.plugins.real_ip import RealIp
from fastgw.plugins.redirect import Redirect
from fastgw.plugins.referer_restriction import RefererRestriction
from fastgw.plugins.request_id import RequestId
from fastgw.plugins.request_validation import RequestValidation
from fastgw.plugins.response_rewrite import ResponseRewrite
from fastgw.plugins.server_info import ServerInfo
from fastgw.plugins.traffic_split import TrafficSplit
from fastgw.plugins.ua_restriction import UaRestriction
from fastgw.plugins.uri_blocker import UriBlocker
from fastgw.plugins.workflow import Workflow

__all__ = ["MOST", "SHIPPED", "get", "group_fields", "key_fields", "names", "number", "shipped", "use"]

SHIPPED: Final[tuple[type[Plugin], ...]] = (
    # Whose request is it: 23000. Before all that may ask.
    RealIp,  # 23000
    # How much may it send: 22000. Before anything reads a body.
    ClientControl,  # 22000
    # What everything later may name: 12015. Before all that may answer, so that a refusal has it too.
    RequestId,  # 12015
    OpenTelemetry,  # 12009
    # What is done to try clients out: 11000 and 10900.
    FaultInjection,  # 11000
    Mocking,  # 10900
    # Who may read the answer: 4000. Before all that may refuse, as browsers ask without credentials.
    Cors,  # 4000
    # Where does it come from: 3000 to 2990, in `access`.
    IpRestriction,  # 3000
    UaRestriction,  # 2999
    RefererRestriction,  # 2990
    # Did another site's page send it: 2980, in `access`.
    Csrf,  # 2980
    # Does it look like an attack: 2900, in `rewrite`.
    UriBlocker,  # 2900
    # Is it what the upstream takes: 2800, in `rewrite`.
    RequestValidation,  # 2800
    # Who is it: 2600 to 2500. All in `rewrite`, so that everything later may depend on the consumer.
    MultiAuth,  # 2600
    HmacAuth,  # 2530
    BasicAuth,  # 2520
    JwtAuth,  # 2510
    KeyAuth,  # 2500
    # May they: 2410 and 2400, in `access`.
    Acl,  # 2410
    ConsumerRestriction,  # 2400
    # What is the upstream told of them: 2399, in `before_proxy`.
    AttachConsumerLabel,  # 2399
    # Does somebody else let it in: 2002, in `access`.
    ForwardAuth,  # 2002
    # What must no log tell of it: 1500, in `log`. Before all that logs.
    DataMask,  # 1500
    # Is the answer known already: 1085. After every check of who may have it.
    ProxyCache,  # 1085
    # Who else is to see it: 1010, in `before_proxy`: what the upstream gets is known.
    ProxyMirror,  # 1010
    # What is the upstream asked: 1008, in `rewrite`, when the consumer is known.
    ProxyRewrite,  # 1008
    # What is to be done with it: 1006. Before the plugins whose work it may do.
    Workflow,  # 1006
    # Is the upstream well enough: 1005, in `access` and `log`.
    ApiBreaker,  # 1005
    # How much may they: 1003 to 1001. After every check that may refuse, as a refused request must not count.
    LimitConn,  # 1003
    LimitCount,  # 1002
    LimitReq,  # 1001
    # What becomes of the answer: 996 to 412. Codings are only asked for here, and given behind all of it.
    Brotli,  # 996
    Gzip,  # 995
    # What plugins answer themselves: 990, which runs in no phase, and 501, in `access`.
    ServerInfo,  # 990
    # Which upstream takes it: 966, in `access`, for what is let through.
    TrafficSplit,  # 966
    # Is the client to go elsewhere: 900, in `rewrite`.
    Redirect,  # 900
    ResponseRewrite,  # 899
    PublicApi,  # 501
    # What is told of it: 500.
    Prometheus,  # 500
    Echo,  # 412
    # Who is told of it: 410 and 399. Last in `access`, so that nobody's body is kept who is refused; `log`.
    HttpLogger,  # 410
    FileLogger,  # 399
)

MOST: Final = 256  # numbers there are in a chain (native/plan)
_SHIPPED: Final = [plugin() for plugin in SHIPPED]
_BY_NAME: Final[dict[str, Plugin]] = {plugin.name: plugin for plugin in _SHIPPED}


def use(own: Iterable[Plugin]) -> None:
    """Puts plugins of users where their priorities put them, behind shipped ones of the same, in place of those before: in a
    process that has compiled nothing, for a plugin's number is its place."""
    running = sorted([*_SHIPPED, *own], key=lambda plugin: -plugin.priority)
    _BY_NAME.clear()
    _BY_NAME.update((plugin.name, plugin) for plugin in running)


def get(name: str) -> Plugin | None:
    """The plugin of this name, None where there is none."""
    return _BY_NAME.get(name)


def number(name: str) -> int:
    """The plugin's number in the native chain, the same for all its configurations."""
    return tuple(_BY_NAME).index(name)


def shipped(plugin: Plugin) -> bool:
    """Whether it came with the gateway."""
    return type(plugin) in SHIPPED


def names() -> tuple[str, ...]:
    """The names of all plugins, in running order."""
    return tuple(_BY_NAME)


def key_fields() -> dict[str, str]:
    """Of each auth plugin by which consumers are found, the member of its configuration that is the key."""
    return {name: plugin.key_field for name, plugin in _BY_NAME.items() if plugin.key_field}


def group_fields() -> dict[str, str]:
    """Of each plugin whose configurations can share state, the member that says which do."""
    return {name: plugin.group_field for name, plugin in _BY_NAME.items() if plugin.group_field}
