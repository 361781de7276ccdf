"""redirect from outside: what clients get, and configurations that are refused."""

from pathlib import Path
from typing import Any

import pytest

from fastgw.plugins.check import check_plugin
from tests.plugins.mirror import ask, mirror, parse
from tests.support import wire
from tests.support.certificates import Authority
from tests.support.gateway import Gateway
from tests.support.tls import client_context, connect


def test_redirects(directory: Path) -> None:
    confs: dict[str, dict[str, Any]] = {
        "redir": {"uri": "/there$request_uri", "ret_code": 301},
        "https": {"http_to_https": True},
        "old": {"regex_uri": ["^/old/(.*)/(.*)", "/$2/$1"], "append_query_string": True},
    }
    with mirror() as upstream:
        node = {"type": "roundrobin", "nodes": {str(upstream.address): 1}}
        routes = [{"id": n, "uri": f"/{n}*", "upstream": node, "plugins": {"redirect": c}} for n, c in confs.items()]
        cert, key = Authority("them").issue("a.test")
        ssl = {"id": "1", "snis": ["a.test"], "cert": cert, "key": key}
        with Gateway(directory, {"routes": routes, "ssls": [ssl], "tls": {"listen": ["127.0.0.1:0"]}}) as gateway:
            answer = ask(gateway, "/redir?a=1")
            assert (answer.status, answer.header("Location"), answer.body) == (301, ["/there/redir?a=1"], b"")
            assert ask(gateway, "/old/a/b/c?x=1").header("Location") == ["/c/a/b?x=1"]
            assert ask(gateway, "/old").sent.startswith("GET /old HTTP/1.1")
            answer = ask(gateway, "/https?a=1")
            assert (answer.status, answer.header("Location")) == (301, [f"https://test:{gateway.tls.port}/https?a=1"])
            sock = connect(gateway.tls, "a.test", client_context())
            sock.sendall(b"GET /https HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
            assert parse(wire.read_to_end(sock)).sent.startswith("GET /https HTTP/1.1")
            sock.close()
            gateway.put("plugin_metadata/redirect", {"https_port": 443})
            assert ask(gateway, "/https").header("Location") == ["https://test/https"]
            conf = {"http_to_https": True, "append_query_string": True}
            refused = gateway.api("PUT", "routes/x", {"uri": "/x", "plugins": {"redirect": conf}})
            assert refused.status == 400
            assert b"only one of `http_to_https` and `append_query_string` can be configured." in refused.body


@pytest.mark.parametrize(
    ("conf", "found"),
    [
        ({}, "expected one of http_to_https, uri, regex_uri, found none"),
        ({"uri": "/x", "http_to_https": True}, "found http_to_https and uri"),
        ({"uri": "/"}, "expected at least 2"),
        ({"uri": "/%00"}, "expected no %00"),
        ({"uri": "https://$uri"}, "expected a host behind ://"),
        ({"uri": "/x", "ret_code": 199}, "expected at least 200"),
        ({"uri": "/x", "ret_code": 600}, "expected at most 599"),
        ({"regex_uri": ["^/a"]}, "expected at least 2"),
        ({"regex_uri": ["^/a", "/b", "^/c", "/d"]}, "expected at most 2"),
        ({"regex_uri": ["(", "/b"]}, "expected a regular expression"),
        ({"regex_uri": ["^/a", "/$1"]}, "expected at most $0"),
        ({"http_to_https": True, "append_query_string": True}, "expected none beside http_to_https"),
    ],
)
def test_confs_that_are_refused(conf: dict[str, Any], found: str) -> None:
    faults = check_plugin("routes", "redirect", conf)[0]
    assert any(found in fault.message for fault in faults), faults
