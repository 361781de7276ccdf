"""The peers, in the order reports show them. A new peer is a folder beside this file and a line below."""

from bench.peers.aiohttp_proxy.peer import AiohttpProxy
from bench.peers.base import Peer
from bench.peers.caddy_plain.peer import CaddyPlain
from bench.peers.envoy_jwt.peer import EnvoyJwt, EnvoyJwtCached
from bench.peers.fastapi_proxy.peer import FastapiProxy
from bench.peers.fastgw.peer import Fastgw
from bench.peers.haproxy_jwt.peer import HaproxyJwt
from bench.peers.haproxy_plain.peer import HaproxyPlain
from bench.peers.nginx_lua.peer import NginxLua
from bench.peers.nginx_plain.peer import NginxPlain
from bench.peers.relay.peer import Relay

REFERENCE = "nginx-plain"
PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        Fastgw(),
        NginxPlain(),
        NginxLua(),
        HaproxyPlain(),
        HaproxyJwt(),
        EnvoyJwt(),
        EnvoyJwtCached(),
        CaddyPlain(),
        Relay(),
        AiohttpProxy(),
        FastapiProxy(),
    )
}
INSTALL = "apt-get install -y --no-install-recommends wrk nginx libnginx-mod-http-lua lua-cjson haproxy gcc libc6-dev util-linux"

__all__ = ["INSTALL", "PEERS", "REFERENCE", "Peer"]
