"""The walk-through of APISIX's guide "Implement JWT Authentication", both ways and against two upstreams.

Declared in the shipped config.json, or made by Admin API PUTs with curl: the guide's own commands, in which
only host, port and the upstream node differ. Upstreams: the built-in echo, and httpbin, which the guide uses.
"""

import copy
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import tokens
from tests.support.gateway import ADMIN_KEY, Gateway
from tests.support.processes import ROOT
from tests.support.programs import program
from tests.support.tokens import tampered
from tests.support.wire import Address, Client, Response

WRONG = {"message": "failed to verify jwt"}

# As printed in the guide.
PUTS = r"""
curl "http://127.0.0.1:9180/apisix/admin/consumers" -X PUT \
-H "X-API-KEY: ${ADMIN_API_KEY}" \
-d '{
"username": "johndoe",
"labels": {
"custom_id": "john-doe-junior"
},
"plugins": {
"limit-count": {
"count": 1,
"time_window": 30,
"rejected_code": 429
}
}
}'

curl "http://127.0.0.1:9180/apisix/admin/consumers" -X PUT \
-H "X-API-KEY: ${ADMIN_API_KEY}" \
-d '{
"username": "janedoe",
"labels": {
"custom_id": "jane-doe-senior"
},
"plugins": {
"limit-count": {
"count": 2,
"time_window": 30,
"rejected_code": 429
}
}
}'

curl "http://127.0.0.1:9180/apisix/admin/consumers/johndoe/credentials" -X PUT \
-H "X-API-KEY: ${ADMIN_API_KEY}" \
-d '{
"id": "cred-john-jwt-auth",
"plugins": {
"jwt-auth": {
"key": "john-key",
"secret": "john-hs256-secret"
}
}
}'

curl "http://127.0.0.1:9180/apisix/admin/consumers/janedoe/credentials" -X PUT \
-H "X-API-KEY: ${ADMIN_API_KEY}" \
-d '{
"id": "cred-jane-jwt-auth",
"plugins": {
"jwt-auth": {
"key": "jane-key",
"secret": "jane-hs256-secret"
}
}
}'

curl "http://127.0.0.1:9180/apisix/admin/routes" -X PUT \
-H "X-API-KEY: ${ADMIN_API_KEY}" \
-d '{
"id": "jwt-auth-route",
"uri": "/anything",
"plugins": {
"jwt-auth": {}
},
"upstream": {
"type": "roundrobin",
"nodes": {
"httpbin.org:80": 1
}
}
}'
"""
COUNT = r"""
resp=$(seq 3 | xargs -I{} curl "http://127.0.0.1:9080/anything" -H "Authorization: ${token}" -o /dev/null -s -w "%{http_code}\n") && \
count_200=$(echo "$resp" | grep "200" | wc -l) && \
count_429=$(echo "$resp" | grep "429" | wc -l) && \
echo "200": $count_200, "429": $count_429
"""  # noqa: E501 - the guide's line, with double quotes where its single ones would send the name of the variable


def shell(script: str, gateway: Gateway, upstream: Address, **variables: str) -> str:
    """Runs a piece of the guide with our addresses in place of the guide's."""
    program("curl")
    for theirs, ours in {
        "127.0.0.1:9180": gateway.admin,
        "127.0.0.1:9080": gateway.data,
        "httpbin.org:80": upstream,
    }.items():
        script = script.replace(theirs, str(ours))
    env = {**os.environ, "ADMIN_API_KEY": ADMIN_KEY, **variables}
    done = subprocess.run(["bash", "-euc", script], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def declared(upstream: Address) -> dict[str, Any]:
    """The shipped config.json, with its route led to `upstream`."""
    config: dict[str, Any] = json.loads((ROOT / "config.json").read_text())
    objects = {key: config[key] for key in ("consumers", "routes")}
    objects["routes"] = copy.deepcopy(config["routes"])
    objects["routes"][0]["upstream"]["nodes"] = {str(upstream): 1}
    return objects


@pytest.fixture(params=["echo", "httpbin"])
def upstream(request: pytest.FixtureRequest) -> Address:
    address = request.getfixturevalue(request.param)
    assert isinstance(address, Address)
    return address


@pytest.fixture(params=["declared", "by PUTs"])
def gateway(request: pytest.FixtureRequest, directory: Path, upstream: Address) -> Iterator[Gateway]:
    """A gateway that has just been set up for the guide: nothing of any limit is used yet."""
    by_puts = request.param == "by PUTs"
    with Gateway(directory, {} if by_puts else declared(upstream), arguments=("--workers", "2")) as running:
        if by_puts:
            answers = shell(PUTS.replace("curl ", 'curl -s -w "\\n%{http_code}\\n" '), running, upstream)
            assert re.findall(r"(?m)^\d{3}$", answers) == ["201"] * 5, answers
        yield running


def assert_refused(response: Response) -> None:
    assert (response.status, response.json()) == (401, WRONG)
    assert response.headers["content-type"].startswith("application/json")


def test_identity_reaches_the_upstream(gateway: Gateway) -> None:
    response = gateway.get("/anything", tokens.john())
    assert response.status == 200
    seen = response.json()["headers"]
    assert seen["X-Consumer-Username"] == "johndoe"
    assert seen["X-Credential-Identifier"] == "cred-john-jwt-auth"
    assert seen["X-Consumer-Custom-Id"] == "john-doe-junior"
    assert seen["X-Forwarded-Host"] == str(gateway.data)


def test_a_client_cannot_set_the_identity(gateway: Gateway) -> None:
    forged = {
        "X-Consumer-Username": "root",
        "x-credential-identifier": "forged",
        "X_Consumer_Custom_Id": "forged",
        "X-Consumer-Custom-ID": "forged",
    }
    seen = gateway.get("/anything", tokens.jane(), forged).json()["headers"]
    identity = {key: value for key, value in seen.items() if "onsumer" in key or "redential" in key}
    assert identity == {
        "X-Consumer-Username": "janedoe",
        "X-Credential-Identifier": "cred-jane-jwt-auth",
        "X-Consumer-Custom-Id": "jane-doe-senior",
    }


def test_each_consumer_has_a_limit_of_its_own(gateway: Gateway, upstream: Address) -> None:
    assert shell(COUNT, gateway, upstream, token=tokens.john()) == "200: 1, 429: 2\n"
    assert shell(COUNT, gateway, upstream, token=tokens.jane()) == "200: 2, 429: 1\n"


@pytest.mark.parametrize(("make", "admitted"), [(tokens.john, 1), (tokens.jane, 2)], ids=["john", "jane"])
def test_limits_hold_on_a_kept_connection_too(gateway: Gateway, make: Callable[[], str], admitted: int) -> None:
    fields = {"Authorization": make()}
    with Client(gateway.data) as client:
        codes = [client.request("GET", "/anything", headers=fields).status for _ in range(3)]
    assert codes == [200] * admitted + [429] * (3 - admitted)


def test_wrong_tokens_are_refused_alike(gateway: Gateway) -> None:
    good = tokens.john()
    for wrong in (
        "somewrongkey",
        tokens.john(expires_in=-10),
        tampered(good),
        tokens.token("john-key", "not-the-secret-of-john"),
        tokens.token("john-key", tokens.JOHN["secret"], algorithm="HS384"),
        good.rsplit(".", 1)[0] + ".",
    ):
        assert_refused(gateway.get("/anything", wrong))
    assert gateway.get("/anything", good).status == 200, "refused requests must not count"


def test_a_token_as_the_command_prints_it(gateway: Gateway, directory: Path) -> None:
    token = [sys.executable, "-m", "fastgw", "token"]
    of_john = ["--key", "john-key", "--secret", "john-hs256-secret", "--expires", "1h", "--not-before", "0s"]
    made = subprocess.run([*token, *of_john], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    assert gateway.get("/anything", f"Bearer {made}").status == 200
    assert gateway.get("/anything", made).status == 429


def test_other_paths_have_no_route(gateway: Gateway) -> None:
    assert gateway.get("/headers", tokens.john()).status == 404


def test_the_shipped_config_runs_the_guide_by_itself(directory: Path) -> None:
    """As `fastgw config.json` does, with its built-in echo upstream; only the ports are others."""
    config = json.loads((ROOT / "config.json").read_text())
    gateway = Gateway(directory)
    config["routes"][0]["upstream"]["nodes"] = {str(gateway.echo): 1}
    config |= {"listen": ["127.0.0.1:0"], "echo": str(gateway.echo)}
    config["admin"]["listen"] = "127.0.0.1:0"
    config["data_dir"] = str(directory / "data")
    gateway.write_config(config)
    with gateway:
        assert gateway.pids("echo"), "the echo upstream is a process of its own"
        response = gateway.get("/anything", tokens.jane())
        assert response.status == 200
        assert response.json()["headers"]["X-Consumer-Username"] == "janedoe"
        gateway.put("routes/over", {"uri": "/headers", "upstream": config["routes"][0]["upstream"]})
        assert gateway.get("/headers").status == 200
