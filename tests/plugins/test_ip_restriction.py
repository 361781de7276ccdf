"""ip-restriction from outside: by the peer's address, whatever a client says of itself."""

import json
import socket
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.plugins.mirror import Answer, ask, mirror, parse
from tests.support import wire
from tests.support.gateway import Gateway
from tests.support.wire import Address

REFUSED = b'{"message":"Your IP address is not allowed"}\n'


def config(upstream: Address, **more: Any) -> dict[str, Any]:
    node = {"type": "roundrobin", "nodes": {str(upstream): 1}}
    confs = {
        "allow": {"whitelist": ["127.0.0.2", "10.0.0.0/8", "::1"]},
        "deny": {"blacklist": ["127.0.0.2/32", "2001:db8::/32"]},
        "all": {"blacklist": ["0.0.0.0/0", "::/0"]},
        "own": {"blacklist": ["127.0.0.0/8"], "message": 'go "away"\n', "response_code": 404},
    }
    routes = [{"id": n, "uri": f"/{n}", "upstream": node, "plugins": {"ip-restriction": c}} for n, c in confs.items()]
    return {"routes": routes, **more}


def from_(address: str, gateway: Gateway, target: str, *fields: str) -> Answer:
    """One request out of another loopback address."""
    lines = [f"GET {target} HTTP/1.1", "Host: test", "Connection: close", *fields, "", ""]
    with closing(socket.create_connection(gateway.data, wire.TIMEOUT, source_address=(address, 0))) as sock:
        sock.sendall("\r\n".join(lines).encode())
        return parse(wire.read_to_end(sock))


def test_lists_admit_and_refuse(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        refused = ask(gateway, "/allow")
        assert (refused.status, refused.body, refused.header("Content-Type")) == (403, REFUSED, ["application/json"])
        assert from_("127.0.0.2", gateway, "/allow").status == 200
        assert ask(gateway, "/deny").status == 200
        assert from_("127.0.0.2", gateway, "/deny").body == REFUSED
        own = ask(gateway, "/own")
        assert (own.status, json.loads(own.body)) == (404, {"message": 'go "away"\n'})


def test_what_a_client_says_of_itself_counts_for_nothing(directory: Path) -> None:
    says = [
        f"{name}: {value}" for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded") for value in ("10.0.0.1", "for=10.0.0.1")
    ]
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        assert ask(gateway, "/allow", *says).status == 403
        assert ask(gateway, "/deny", "X-Real-IP: 127.0.0.2").status == 200


def test_a_unix_socket_has_no_address_and_is_in_no_list(directory: Path) -> None:
    path = directory / "gateway.sock"
    with mirror() as upstream, Gateway(directory, config(upstream.address, listen=["127.0.0.1:0", f"unix:{path}"])):
        for target, status in (("/allow", 403), ("/deny", 200), ("/all", 200)):
            with closing(socket.socket(socket.AF_UNIX)) as sock:
                sock.settimeout(wire.TIMEOUT)
                sock.connect(str(path))
                sock.sendall(f"GET {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
                assert parse(wire.read_to_end(sock)).status == status, target


def test_it_runs_after_authentication_and_its_reason_is_logged(directory: Path) -> None:
    log = directory / "access.log"
    with mirror() as upstream:
        settings = config(upstream.address, access_log={"path": str(log)})
        settings["routes"][2]["plugins"]["key-auth"] = {}
        settings["consumers"] = [{"username": "kim", "plugins": {"key-auth": {"key": "kim-key"}}}]
        with Gateway(directory, settings) as gateway:
            assert ask(gateway, "/all").status == 401
            assert ask(gateway, "/all", "apikey: kim-key").status == 403
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert [line["refused"] for line in lines] == ["key.missing", "ip-restriction.refused"]


def test_a_consumers_list_replaces_the_routes(directory: Path) -> None:
    with mirror() as upstream:
        settings = config(upstream.address)
        settings["routes"][2]["plugins"]["key-auth"] = {}
        own = {"key-auth": {"key": "kim-key"}, "ip-restriction": {"whitelist": ["127.0.0.1"]}}
        settings["consumers"] = [{"username": "kim", "plugins": own}]
        with Gateway(directory, settings) as gateway:
            assert ask(gateway, "/all", "apikey: kim-key").status == 200
            assert from_("127.0.0.2", gateway, "/all", "apikey: kim-key").status == 403


def test_one_list_and_lawful_ones(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        for conf in (
            {},
            {"whitelist": ["127.0.0.1"], "blacklist": ["127.0.0.1"]},
            {"whitelist": []},
            {"whitelist": ["127.0.0.1/33"]},
            {"whitelist": ["localhost"]},
            {"whitelist": ["127.0.0.1"], "message": ""},
            {"whitelist": ["127.0.0.1"], "response_code": 200},
        ):
            answer = gateway.api("PUT", "routes/x", {"uri": "/x", "plugins": {"ip-restriction": conf}})
            assert answer.status == 400, conf
            assert b"failed to check the configuration of plugin ip-restriction err: " in answer.body
