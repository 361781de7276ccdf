"""real-ip from outside: limits, lists and the log go by what a proxy says, where it may say it."""

import json
import socket
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.plugins.mirror import ask, mirror, parse
from tests.support import wire
from tests.support.gateway import Gateway
from tests.support.waiting import until


def test_the_address_that_is_found_is_the_clients(directory: Path) -> None:
    log = directory / "access.log"
    real = {"source": "http_x_real_ip", "trusted_addresses": ["127.0.0.1"]}
    confs: dict[str, dict[str, Any]] = {
        "list": {"real-ip": real, "ip-restriction": {"whitelist": ["192.0.2.0/24"]}},
        "count": {"real-ip": real, "limit-count": {"count": 1, "time_window": 3600, "rejected_code": 429}},
    }
    with mirror() as upstream:
        node = {"type": "roundrobin", "nodes": {str(upstream.address): 1}}
        routes = [{"id": n, "uri": f"/{n}", "upstream": node, "plugins": p} for n, p in confs.items()]
        with Gateway(directory, {"routes": routes, "access_log": {"path": str(log)}}) as gateway:
            assert ask(gateway, "/list").status == 403
            assert ask(gateway, "/list", "X-Real-IP: 192.0.2.9").status == 200
            with closing(socket.create_connection(gateway.data, wire.TIMEOUT, source_address=("127.0.0.2", 0))) as sock:
                sock.sendall(b"GET /list HTTP/1.1\r\nHost: t\r\nX-Real-IP: 192.0.2.9\r\nConnection: close\r\n\r\n")
                assert parse(wire.read_to_end(sock)).status == 403
            seen = [ask(gateway, "/count", f"X-Real-IP: 192.0.2.{n}").status for n in (1, 1, 2, 1)]
            assert seen == [200, 429, 200, 429]
            refused = gateway.api("PUT", "routes/x", {"uri": "/x", "plugins": {"real-ip": {}}})
            assert refused.status == 400
            text = until(lambda: text if (text := log.read_text()).count("\n") >= 7 else "", "seven lines")
    addresses = [json.loads(line)["remote_addr"] for line in text.splitlines()]
    assert addresses == ["127.0.0.1", "192.0.2.9", "127.0.0.2", "192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.1"]
