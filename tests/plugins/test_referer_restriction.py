"""referer-restriction from outside: by the page that leads to a request."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.plugins.mirror import ask
from tests.support.gateway import Gateway
from tests.support.upstreams import Answering

REFUSED = b'{"message":"Your referer host is not allowed"}\n'
CONFS: dict[str, dict[str, Any]] = {
    "allow": {"whitelist": ["a.com", "*.B.com", "[::1]"]},
    "deny": {"blacklist": ["a.com", "*b.com"]},
    "bypass": {"whitelist": ["a.com"], "bypass_missing": True},
    "any": {"whitelist": ["*"], "message": 'go "away"\n'},
}


@pytest.fixture(scope="module")
def gateway(up: Answering, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    node = {"type": "roundrobin", "nodes": {str(up.address): 1}}
    routes = [{"id": n, "uri": f"/{n}", "upstream": node, "plugins": {"referer-restriction": c}} for n, c in CONFS.items()]
    directory = tmp_path_factory.mktemp("referer")
    with Gateway(directory, {"routes": routes}) as running:
        yield running


@pytest.mark.parametrize(
    ("target", "referer", "status"),
    [
        ("/allow", "http://a.com", 200),
        ("/allow", "https://A.com:8443/page?x=http://evil.com#y", 200),
        ("/allow", "HTTPS://a.com.", 200),
        ("/allow", "http://a.com.evil.com/", 403),
        ("/allow", "http://evil.com/a.com", 403),
        ("/allow", "http://evil.com?http://a.com/", 403),
        ("/allow", "http://evil.com#http://a.com/", 403),
        ("/allow", r"http://evil.com\.a.com/", 403),
        ("/allow", "http://x.b.com", 200),
        ("/allow", "http://y.x.b.com", 200),
        ("/allow", "http://b.com", 403),
        ("/allow", "http://xb.com", 403),
        ("/allow", "http://[::1]:80/", 200),
        ("/deny", "http://a.com", 403),
        ("/deny", "http://A.COM/", 403),
        ("/deny", "http://b.com", 403),
        ("/deny", "http://xb.com", 403),
        ("/deny", "http://c.com", 200),
        ("/any", "http://x", 200),
        # No Referer at all, and what browsers do not send: as if there were none.
        ("/allow", None, 403),
        ("/deny", None, 403),
        ("/bypass", None, 200),
        ("/bypass", "http://c.com/", 403),
        *[
            (target, text, status)
            for target, status in (("/allow", 403), ("/deny", 403), ("/bypass", 200), ("/any", 403))
            for text in (
                "",
                "a.com",
                "//a.com/",
                "ftp://a.com/",
                "http://",
                "http:///a.com",
                "http://u@a.com/",
                "http://a.com:x/",
            )
        ],
        ("/bypass", "http://a.com:99999/", 200),
        ("/bypass", "http://" + "a" * 300 + "/", 200),
        ("/bypass", "http://a..com/", 200),
        ("/bypass", "\u00ff\u00fe", 200),
    ],
)
def test_lists_admit_and_refuse(gateway: Gateway, target: str, referer: str | None, status: int) -> None:
    answer = ask(gateway, target, *([] if referer is None else [f"Referer: {referer}"]))
    assert answer.status == status
    if status == 403 and target != "/any":
        assert (answer.body, answer.header("Content-Type")) == (REFUSED, ["application/json"])


def test_of_several_each_must_pass(gateway: Gateway) -> None:
    good, bad = "Referer: http://a.com/", "Referer: http://evil.com/"
    assert ask(gateway, "/allow", good, good).status == 200
    assert ask(gateway, "/allow", good, bad).status == ask(gateway, "/allow", bad, good).status == 403
    assert ask(gateway, "/deny", "Referer: http://c.com/", good).status == 403


def test_the_message_is_ones_own(gateway: Gateway) -> None:
    answer = ask(gateway, "/any")
    assert (answer.status, json.loads(answer.body)) == (403, {"message": 'go "away"\n'})


def test_one_list_and_lawful_ones(gateway: Gateway) -> None:
    for conf in (
        {},
        {"whitelist": ["a.com"], "blacklist": ["b.com"]},
        {"whitelist": []},
        {"whitelist": ["a*.com"]},
        {"whitelist": ["http://a.com"]},
        {"whitelist": [""]},
        {"whitelist": ["a.com"], "message": ""},
        {"whitelist": ["a.com"], "bypass_missing": "no"},
    ):
        answer = gateway.api("PUT", "routes/x", {"uri": "/x", "plugins": {"referer-restriction": conf}})
        assert answer.status == 400, conf
        assert b"failed to check the configuration of plugin referer-restriction err: " in answer.body
