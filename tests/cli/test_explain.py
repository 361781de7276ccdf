"""`fastgw explain` and POST /apisix/admin/explain beside a gateway that serves: all agree, and asking counts for nothing."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import Gateway
from tests.support.wire import Address

KEY = "the-api-key-of-john"
VIEWER = "the-viewer-of-this-test"


def config(echo: Address) -> dict[str, Any]:
    upstream = {"type": "roundrobin", "nodes": {str(echo): 1}}
    return {
        "admin": {"viewer_key": VIEWER},
        "consumers": [
            {
                "username": "john",
                "plugins": {"limit-count": {"count": 1, "time_window": 3600, "rejected_code": 429}},
                "credentials": [{"id": "c", "plugins": {"key-auth": {"key": KEY}}}],
            }
        ],
        "routes": [
            {"id": "keyed", "uri": "/anything/*", "plugins": {"key-auth": {}}, "upstream": upstream},
            {"id": "open", "uri": "/anything/open", "upstream": upstream},
        ],
    }


def command(gateway: Gateway, *arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "fastgw", "explain", str(gateway.config_path), *arguments]
    return subprocess.run(line, capture_output=True, text=True, cwd=gateway.directory, timeout=60)


def test_three_ways_to_know(directory: Path, echo: Address) -> None:
    with Gateway(directory, config(echo)) as gateway:
        gateway.put("routes/open", {"uri": "/anything/open", "priority": 1, "upstream": {"nodes": {str(echo): 1}}})
        for target, key, route, consumer, status in (
            ("/anything/x", KEY, "keyed", "john", 200),
            ("/anything/x", None, "keyed", None, 401),
            ("/anything/x", "wrong", "keyed", None, 401),
            ("/anything/open", None, "open", None, 200),
            ("/none", None, None, None, 404),
        ):
            headers = {"apikey": key} if key else {}
            body = {"host": str(gateway.data), "uri": target, "headers": headers}
            said = [gateway.api("POST", "explain", body, key=VIEWER).json() for _ in range(3)][-1]
            fields = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
            done = command(gateway, "GET", f"http://{gateway.data}{target}", *fields, "--json")
            assert (done.returncode, done.stderr) == (0, "")
            alone = json.loads(done.stdout)
            assert alone.pop("store") == str(directory / "data" / "fastgw.db")
            said.pop("revision")
            assert alone == said
            assert (said["route"] or {}).get("id") == route
            assert (said["consumer"] or {}).get("username") == consumer
            answer = gateway.get(target, headers=headers)
            assert answer.status == status, "the first request of john, however often somebody asked about it"
            assert said["outcome"].get("status", 200) == status
            if status == 200:
                assert answer.json()["headers"].get("X-Consumer-Username") == consumer
            else:
                assert said["outcome"]["body"].encode() == answer.body
            assert KEY not in done.stdout
        assert said["route"] is None
        assert gateway.api("POST", "explain", {"uri": "/anything/open"}).json()["route"]["source"] == "store"


def test_a_change_is_seen_at_once(directory: Path, echo: Address) -> None:
    with Gateway(directory, config(echo)) as gateway:
        for number in range(5):
            gateway.put(f"routes/{number}", {"uri": f"/new/{number}", "upstream": {"nodes": {str(echo): 1}}})
            said = gateway.api("POST", "explain", {"uri": f"/new/{number}"}).json()
            assert said["route"]["id"] == str(number)
            gateway.api("DELETE", f"routes/{number}")
            assert gateway.api("POST", "explain", {"uri": f"/new/{number}"}).json()["route"] is None


def test_as_text(directory: Path, echo: Address) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps({**config(echo), "data_dir": str(directory / "none")}))
    line = [sys.executable, "-m", "fastgw", "explain", str(path), "GET", "http://a/anything/x", "-H", f"apikey: {KEY}"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "store      none, the file alone",
        "route      keyed (file), priority 0",
        "           the path begins with /anything/, any host will do",
        "plugin     key-auth in rewrite, of routes/keyed, priority 2500",
        "plugin     limit-count in access, of consumers/john, priority 1002",
        "consumer   john, credential c",
        "limit      limit-count on the account of consumers/john, counts by '127.0.0.1'",
        f"upstream   of routes/keyed, http, {echo} (weight 1), pass_host pass",
        "outcome    goes to the upstream",
    ]
    assert not (directory / "none").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["get", "http://a/"], "method: expected a method in capital letters"),
        (["GET", "https://a/"], "URL: expected http://host/path"),
        (["GET", "/a"], "URL: expected http://host/path"),
        (["GET", "http://a/", "-H", "secret-without-colon"], "expected 'Name: value'"),
        (["GET", "http://a/", "-H", "a b: secret-value"], "expected a name of letters"),
        (["GET", "http://a/", "-H", "a: secret-1", "-H", "A: secret-2"], "expected each field once, found a twice"),
        (["GET", "http://a/", "--remote-addr", "10.0.0.0/8"], "remote_addr: expected an IPv4 or IPv6 address"),
    ],
)
def test_a_question_that_will_not_do(directory: Path, arguments: list[str], told: str) -> None:
    path = directory / "config.json"
    path.write_text("{}")
    line = [sys.executable, "-m", "fastgw", "explain", str(path), *arguments]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert "secret" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
