"""server-info: which gateway this is, and since when it runs.

Owns the facts. Must not know who asks: public-api on a route, or the Control API.
"""

import socket
import time
import uuid
from typing import Any, Final

from fastgw import __version__, _core
from fastgw.plugins.contract import Env, Plugin, PluginConf

__all__ = ["Conf", "ServerInfo", "facts"]

_STARTED: Final = int(time.time())  # of the master: its workers are forks, which do not import this again


class Conf(PluginConf, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """server-info: there is nothing to configure."""


class ServerInfo(Plugin):
    """Does nothing to requests; its endpoint is `GET /v1/server_info`."""

    name = "server-info"
    version = 0.1
    # What plugins answer themselves; it runs in no phase.
    priority = 990
    phases = ()
    conf = Conf
    endpoints = {"GET /v1/server_info": "answer"}

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """No step."""
        return []

    def answer(self, request: _core.Request) -> _core.Reply:
        """The facts as JSON."""
        return _core.Reply(200, facts())


def facts() -> dict[str, Any]:
    """As APISIX names them; there is no etcd, and nothing is reported to one."""
    host = socket.gethostname()
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_DNS, host)),
        "hostname": host,
        "version": __version__,
        "boot_time": _STARTED,
        "up_time": int(time.time()) - _STARTED,
        "last_report_time": -1,
        "etcd_version": "unknown",
    }
