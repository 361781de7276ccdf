"""nginx with Debian's Lua module: jwt-auth and limit-count in Lua, HMAC by OpenSSL through the FFI."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.peers import nginx
from bench.peers.base import GATEWAY, Job, Peer, Place, render
from bench.tokens import Consumer

HERE = Path(__file__).parent
CJSON = "usr/lib/*/lua/5.1/cjson.so"


def consumers_module(consumers: Iterable[Consumer]) -> str:
    """The consumers as a Lua module, by their key."""
    rows = (f'  ["{one.key}"] = {{ name = "{one.name}", secret = "{one.secret}", limit = {one.limit} }},\n' for one in consumers)
    return "return {\n" + "".join(rows) + "}\n"


class NginxLua(Peer):
    name = "nginx-lua"
    about = "nginx with lua: HS256 by FFI to OpenSSL, shared dictionary limit, access log off"
    claims = GATEWAY
    programs = ("nginx",)
    worker_title = nginx.WORKER_TITLE

    def missing(self) -> list[str]:
        lacking = super().missing()
        modules = nginx.modules_path()
        if not modules or not (modules / "ngx_http_lua_module.so").exists():
            lacking.append("nginx's Lua module")
        if not any(Path("/").glob(CJSON)):
            lacking.append("lua-cjson")
        return lacking

    def version(self) -> str:
        return nginx.version()

    def prepare(self, place: Place, job: Job) -> Sequence[str]:
        (place.folder / "consumers.lua").write_text(consumers_module(job.consumers))
        (place.folder / "gateway.lua").write_text((HERE / "gateway.lua").read_text())
        values = {"modules": nginx.modules_path(), "connections": nginx.connections(job)}
        return nginx.command(render(HERE / "nginx.conf", place, values))
