"""What all plugins of authentication do alike: identity headers, the anonymous consumer, several on one route, nobody to find."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.mirror import ask, consumer, mirror
from tests.support.gateway import Gateway
from tests.support.signing import signed
from tests.support.tokens import token
from tests.support.wire import Address

LABEL = {"labels": {"custom_id": "cid-kim"}}
SIDES: dict[str, dict[str, Any]] = {
    "key-auth": {"key": "kim-key"},
    "basic-auth": {"username": "kim", "password": "pw"},
    "hmac-auth": {"key_id": "kim-id", "secret_key": "kim-secret"},
    "jwt-auth": {"key": "kim-jwt", "secret": "kim-jwt-secret-of-enough-bytes-0"},
}
NAMES = tuple(SIDES)
REFUSALS = {
    "key-auth": ('apikey realm="key"', b'{"message":"Invalid API key in request"}\n'),
    "basic-auth": ('Basic realm="basic"', b'{"message":"Invalid user authorization"}\n'),
    "hmac-auth": ('hmac realm="hmac"', b'{"message":"client request can\'t be validated"}\n'),
    "jwt-auth": ('Bearer realm="jwt"', b'{"message":"Invalid user key in JWT token"}\n'),
}
FORGED = [
    f"{spelling}: forged"
    for name in ("X-Consumer-Username", "X-Credential-Identifier", "X-Consumer-Custom-ID")
    for spelling in (name, name.lower(), name.upper(), name.replace("-", "_"), name.replace("-", "_", 1), name.replace("-", "."))
]


def shows(name: str, target: str) -> list[str]:
    """The fields by which kim is known."""
    if name == "key-auth":
        return ["apikey: kim-key"]
    if name == "basic-auth":
        return ["Authorization: Basic a2ltOnB3"]
    if name == "jwt-auth":
        return [f"Authorization: Bearer {token(SIDES[name]['key'], SIDES[name]['secret'])}"]
    return signed(target)


def config(upstream: Address, consumers: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    node = {"type": "roundrobin", "nodes": {str(upstream): 1}}
    routes = [{"id": n, "uri": f"/{n}", "upstream": node, "plugins": {n: {}}} for n in NAMES]
    for n in NAMES:
        guest = {n: {"anonymous_consumer": "guest", "realm": "x"}}
        routes.append({"id": f"{n}-guest", "uri": f"/{n}-guest", "upstream": node, "plugins": guest})
    two = {"basic-auth": {}, "key-auth": {}}
    skipped = {"key-auth": {"_meta": {"disable": True}}}
    routes += [
        {"id": "two", "uri": "/two", "upstream": node, "plugins": two},
        {"id": "open", "uri": "/open", "upstream": node},
        {"id": "skipped", "uri": "/skipped", "upstream": node, "plugins": skipped},
    ]
    return {"consumers": consumers, "routes": routes, **more}


def kim(own: bool = False) -> dict[str, Any]:
    """kim, by credentials or by plugins of its own."""
    if own:
        return consumer("kim", plugins=SIDES, **LABEL)
    return consumer("kim", *((name[0], {name: side}) for name, side in SIDES.items()), **LABEL)


@pytest.mark.parametrize("own", [False, True], ids=["credential", "own"])
def test_identity_headers_are_the_gateways(own: bool, directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address, [kim(own)])) as gateway:
        for name in NAMES:
            sent = ask(gateway, f"/{name}", *shows(name, f"/{name}"), *FORGED).sent
            assert "forged" not in sent
            assert sent.count("X-Consumer-Username: kim\r\n") == 1
            assert sent.count("X-Consumer-Custom-ID: cid-kim\r\n") == 1
            assert sent.count(f"X-Credential-Identifier: {name[0]}\r\n") == (0 if own else 1)
            assert sent.lower().count("identifier") == (0 if own else 1)
        for target in ("/open", "/skipped"):
            sent = ask(gateway, target, *FORGED).sent
            assert sent
            assert "forged" not in sent
            assert "consumer" not in sent.lower()


@pytest.mark.parametrize("labels", [{}, {"labels": {"custom_id": "cid-guest"}}], ids=["without", "with"])
def test_the_anonymous_consumers_headers(labels: dict[str, Any], directory: Path) -> None:
    people = [kim(), consumer("guest", ("g", {"key-auth": {"key": "guest-key"}}), **labels)]
    with mirror() as upstream, Gateway(directory, config(upstream.address, people)) as gateway:
        for name in NAMES:
            sent = ask(gateway, f"/{name}-guest", *FORGED).sent
            assert "X-Consumer-Username: guest\r\n" in sent
            assert ("X-Consumer-Custom-ID: cid-guest\r\n" in sent) is bool(labels)
            assert "X-Credential-Identifier" not in sent
            assert "forged" not in sent


def test_where_nobody_has_the_plugin(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address, [{"username": "kim"}])) as gateway:
        for name in NAMES:
            challenge, body = REFUSALS[name]
            answer = ask(gateway, f"/{name}", *shows(name, f"/{name}"))
            assert (answer.status, answer.body, answer.header("WWW-Authenticate"), answer.sent) == (401, body, [challenge], "")


def test_several_on_one_route_must_all_pass_and_the_last_one_counts(directory: Path) -> None:
    people = [kim(), consumer("lee", ("k", {"key-auth": {"key": "lee-key"}}))]
    with mirror() as upstream, Gateway(directory, config(upstream.address, people)) as gateway:
        basic = "Authorization: Basic a2ltOnB3"
        both = ask(gateway, "/two", basic, "apikey: lee-key")
        assert "X-Consumer-Username: lee\r\nX-Credential-Identifier: k\r\n" in both.sent
        assert "kim" not in both.sent.replace("a2ltOnB3", "")
        no_key = ask(gateway, "/two", basic)
        assert (no_key.status, no_key.header("WWW-Authenticate")) == (401, ['apikey realm="key"'])
        no_user = ask(gateway, "/two", "apikey: lee-key")
        assert (no_user.status, no_user.header("WWW-Authenticate")) == (401, ['Basic realm="basic"'])


def test_an_unresolved_reference_is_never_a_credential(directory: Path) -> None:
    """The text of the reference is no key, password or secret, and everybody else goes on."""
    reference = "$env://FASTGW_TEST_IS_NOT_SET"
    people = [
        kim(),
        consumer("ann", ("k", {"key-auth": {"key": reference}})),
        consumer("bob", ("b", {"basic-auth": {"username": "bob", "password": reference}})),
        consumer("cid", ("h", {"hmac-auth": {"key_id": "cid-id", "secret_key": reference}})),
        consumer("dan", ("j", {"jwt-auth": {"key": "dan-key", "secret": reference}})),
        consumer("eve", ("j", {"jwt-auth": {"key": reference, "secret": "eve-secret-of-enough-bytes-00000"}})),
    ]
    with mirror() as upstream, Gateway(directory, config(upstream.address, people)) as gateway:
        for key, secret in (("dan-key", reference), (reference, "eve-secret-of-enough-bytes-00000")):
            assert ask(gateway, "/jwt-auth", f"Authorization: {token(key, secret)}").body == REFUSALS["jwt-auth"][1]
        assert ask(gateway, "/key-auth", f"apikey: {reference}").status == 401
        # bob:$env://FASTGW_TEST_IS_NOT_SET
        assert ask(gateway, "/basic-auth", "Authorization: Basic Ym9iOiRlbnY6Ly9GQVNUR1dfVEVTVF9JU19OT1RfU0VU").status == 401
        assert ask(gateway, "/hmac-auth", *signed("/hmac-auth", key_id="cid-id", secret=reference)).status == 401
        for name in NAMES:
            assert ask(gateway, f"/{name}", *shows(name, f"/{name}")).status == 200


def test_a_resolved_reference_is(directory: Path) -> None:
    people = [
        consumer("ann", ("k", {"key-auth": {"key": "$env://ANN_KEY"}})),
        consumer("cid", ("h", {"hmac-auth": {"key_id": "kim-id", "secret_key": "$ENV://CID/secret"}})),
    ]
    env = {"ANN_KEY": "kim-key", "CID": json.dumps({"secret": "kim-secret"})}
    with mirror() as upstream, Gateway(directory, config(upstream.address, people), env=env) as gateway:
        assert "X-Consumer-Username: ann\r\n" in ask(gateway, "/key-auth", "apikey: kim-key").sent
        assert "X-Consumer-Username: cid\r\n" in ask(gateway, "/hmac-auth", *signed("/hmac-auth")).sent


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with Gateway(tmp_path_factory.mktemp("one"), {"consumers": [kim(), {"username": "lee"}]}) as gateway:
        yield gateway


@pytest.mark.parametrize("name", NAMES)
def test_write_errors_that_all_have(name: str, one: Gateway) -> None:
    for conf, fault in (
        ({"hide_credentials": 1}, b"wrong type: expected boolean, got number"),
        ({"realm": ""}, b"string too short"),
        ({"realm": "x" * 129}, b"string too long"),
        ({"realm": 'a"b'}, b"realm"),
        ({"realm": "a\\b"}, b"realm"),
        ({"realm": "a\r\nX: y"}, b"realm"),
        ({"realm": "ä"}, b"realm"),
        ({"anonymous_consumer": ""}, b"string too short"),
        ({"anonymous_consumer": ["guest"]}, b"wrong type: expected string, got"),
    ):
        answer = one.api("PUT", "routes/x", {"uri": "/x", "plugins": {name: conf}})
        assert answer.status == 400, conf
        assert f"failed to check the configuration of plugin {name} err: ".encode() in answer.body
        assert fault in answer.body, conf
    for member in SIDES[name]:
        for value, fault in ((None, b"wrong type"), (5, b"wrong type: expected string, got number"), ("", b"string too short")):
            side = {**SIDES[name], member: value}
            answer = one.api("PUT", "consumers/lee/credentials/x", {"plugins": {name: side}})
            assert (answer.status, fault in answer.body) == (400, True), (side, answer.body)
        side = {each: value for each, value in SIDES[name].items() if each != member}
        answer = one.api("PUT", "consumers/lee/credentials/x", {"plugins": {name: side}})
        assert (answer.status, member.encode() in answer.body) == (400, True), side
    # A key is of one credential only, wherever it stands.
    taken = one.api("PUT", "consumers/lee/credentials/x", {"plugins": {name: SIDES[name]}})
    assert taken.status == 400
    own = one.api("PUT", "consumers/lee", {"username": "lee", "plugins": {name: SIDES[name]}})
    assert own.status == 400
