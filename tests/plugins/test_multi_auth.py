"""multi-auth from outside, row by row of APISIX's answers, and where this gateway is stricter on purpose."""

import base64
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fastgw.plugins import multi_auth, order
from fastgw.tokens import make
from tests.plugins.mirror import Answer, ask, consumer, mirror, parse
from tests.support import wire
from tests.support.gateway import Gateway
from tests.support.passwords import scrypt
from tests.support.signers import SIGNERS
from tests.support.signing import digest, signed
from tests.support.wire import Address

SECRET = "jo-secret-of-enough-bytes-for-hs256"
KIM = consumer("kim", ("k", {"key-auth": {"key": "kim-key"}}), labels={"custom_id": "cid-kim"})
BEA = consumer("bea", ("b", {"basic-auth": {"username": "bea", "password": "bea-password"}}))
JO = consumer("jo", ("j", {"jwt-auth": {"key": "jo-key", "secret": SECRET}}))
BASIC = "Authorization: Basic " + base64.b64encode(b"bea:bea-password").decode()
TOKEN = make({"key": "jo-key"}, SECRET.encode(), "HS256")
FAILED = b'{"message":"Authorization Failed"}\n'
THREE: list[dict[str, Any]] = [{"key-auth": {}}, {"basic-auth": {}}, {"jwt-auth": {}}]


def routes(upstream: Address, **confs: Any) -> list[dict[str, Any]]:
    node = {"type": "roundrobin", "nodes": {str(upstream): 1}}
    plugins = {name: {"multi-auth": conf if isinstance(conf, dict) else {"auth_plugins": conf}} for name, conf in confs.items()}
    return [{"id": name, "uri": f"/{name}", "upstream": node, "plugins": each} for name, each in plugins.items()]


def config(upstream: Address, **more: Any) -> dict[str, Any]:
    hiding = [{"key-auth": {"hide_credentials": True}}, {"basic-auth": {}}, {"jwt-auth": {"hide_credentials": True}}]
    confs: dict[str, Any] = {
        "multi": THREE,
        "hide": hiding,
        "guest": [{"key-auth": {}}, {"basic-auth": {"anonymous_consumer": "guest"}}, {"jwt-auth": {}}],
        "realms": [{"key-auth": {"realm": "r1"}}, {"key-auth": {"header": "x-other", "realm": "r2"}}],
        "part": [{"key-auth": {"_meta": {"disable": True}}}, {"basic-auth": {}}],
        "none": [{"key-auth": {"_meta": {"disable": True}}}, {"basic-auth": {"_meta": {"disable": True}}}],
        "off": {"auth_plugins": THREE, "_meta": {"disable": True}},
    }
    return {"consumers": [KIM, BEA, JO, {"username": "guest"}], "routes": routes(upstream, **confs), **more}


def test_rows_of_the_reference(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        for field, name in (("apikey: kim-key", "kim"), (BASIC, "bea"), (f"Authorization: Bearer {TOKEN}", "jo")):
            good = ask(gateway, "/multi", field, "X-Consumer-Username: forged", "x_credential_identifier: forged")
            assert good.status == 200
            assert f"X-Consumer-Username: {name}\r\nX-Credential-Identifier: {name[0]}\r\n" in good.sent
            assert "forged" not in good.sent
            assert good.header("WWW-Authenticate") == []
        first = ask(gateway, "/multi", BASIC, "apikey: kim-key")  # both are good: the first in the list decides
        assert "X-Consumer-Username: kim\r\n" in first.sent
        challenges = ['apikey realm="key"', 'Basic realm="basic"', 'Bearer realm="jwt"']
        assert ask(gateway, f"/multi?jwt={TOKEN}", "Authorization:").body == FAILED  # a place that is there decides
        for fields in ((), ("apikey: no",), ("Authorization: Basic no", "apikey: no"), ("Authorization: Bearer a.b.c",)):
            refused = ask(gateway, "/multi", *fields)
            assert (refused.status, refused.body, refused.sent) == (401, FAILED, "")
            assert refused.header("WWW-Authenticate") == challenges
        assert ask(gateway, "/realms", "X-Other: kim-key").status == 200  # one plugin, two ways
        assert ask(gateway, "/realms").header("WWW-Authenticate") == ['apikey realm="r1"', 'apikey realm="r2"']


def test_what_members_hide_as_they_are_tried(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        answer = ask(gateway, f"/hide?jwt={TOKEN}&a=1", "apikey: wrong", BASIC)
        assert "X-Consumer-Username: bea\r\n" in answer.sent
        assert "apikey" not in answer.sent
        assert BASIC in answer.sent
        last = ask(gateway, f"/hide?jwt={TOKEN}&a=1", "apikey: wrong")
        assert last.sent.startswith("GET /hide?a=1 HTTP/1.1\r\n")
        assert "X-Consumer-Username: jo\r\n" in last.sent


def test_a_member_with_an_anonymous_consumer_lets_anyone_in(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        for fields in ((), ("apikey: wrong",), (f"Authorization: Bearer {TOKEN}",)):
            guest = ask(gateway, "/guest", *fields)
            assert (guest.status, guest.header("WWW-Authenticate")) == (200, [])
            assert "X-Consumer-Username: guest\r\n" in guest.sent
        assert "X-Consumer-Username: kim\r\n" in ask(gateway, "/guest", "apikey: kim-key").sent


@pytest.mark.parametrize("name", ["RS256", "ES512", "EdDSA"])
def test_a_member_whose_signatures_are_judged_elsewhere(directory: Path, name: str) -> None:
    signer = SIGNERS[name]
    right = f"X-Token: {signer.token().decode()}"
    wrong = right[:-8] + ("AAAAAAAA" if right[-8:] != "AAAAAAAA" else "BBBBBBBB")
    with mirror() as upstream:
        value = config(upstream.address)
        value["consumers"].append(signer.consumer())
        members = [{"basic-auth": {}}, {"jwt-auth": {"header": "X-Token", "hide_credentials": True}}, {"key-auth": {}}]
        value["routes"] += routes(upstream.address, far=members)
        with Gateway(directory, value) as gateway:
            for _ in range(3):
                good = ask(gateway, "/far", right)
                assert f"X-Consumer-Username: {signer.name.lower()}\r\n" in good.sent
                assert "X-Token" not in good.sent
                assert good.header("WWW-Authenticate") == []
                next_one = ask(gateway, "/far", wrong, "apikey: kim-key")
                assert "X-Consumer-Username: kim\r\n" in next_one.sent
                assert next_one.header("WWW-Authenticate") == []
                refused = ask(gateway, "/far", wrong)
                assert (refused.status, refused.body) == (401, FAILED)
                assert len(refused.header("WWW-Authenticate")) == 3


def test_a_member_whose_passwords_are_hashed(directory: Path) -> None:
    ann = consumer("ann", ("a", {"basic-auth": {"username": "ann", "password": scrypt("right")}}))

    def basic(password: str) -> str:
        return "Authorization: Basic " + base64.b64encode(f"ann:{password}".encode()).decode()

    with mirror() as upstream:
        value = config(upstream.address)
        value["consumers"].append(ann)
        with Gateway(directory, value) as gateway:
            for _ in range(2):
                assert "X-Consumer-Username: ann\r\n" in ask(gateway, "/multi", basic("right")).sent
                assert ask(gateway, "/multi", basic("wrong")).body == FAILED


def test_a_member_that_waits_for_the_body(directory: Path) -> None:
    hal = consumer("hal", ("h", {"hmac-auth": {"key_id": "kim-id", "secret_key": "kim-secret"}}))
    body = b"x" * 100_000
    members = [{"hmac-auth": {"validate_request_body": True, "max_req_body_size": len(body)}}, {"key-auth": {}}]
    with mirror() as upstream:
        value = config(upstream.address)
        value["consumers"].append(hal)
        value["routes"] += routes(upstream.address, body=members)
        with Gateway(directory, value) as gateway:

            def post(told: bytes, *fields: str) -> Answer:
                proof = (f"Digest: {digest(told)}", *signed("/body", method="POST"), f"Content-Length: {len(body)}")
                lines = ["POST /body HTTP/1.1", "Host: test", "Connection: close", *fields, *proof, "", ""]
                head = "\r\n".join(lines).encode()
                return parse(wire.raw(gateway.data, wire.cut(head + body, len(head), len(head) + 50_000)))

            good = post(body)
            assert "X-Consumer-Username: hal\r\n" in good.sent
            assert good.body.endswith(b"\r\n\r\n" + body)
            other = post(b"another", "apikey: kim-key")
            assert "X-Consumer-Username: kim\r\n" in other.sent
            assert other.body.endswith(b"\r\n\r\n" + body)
            assert other.header("WWW-Authenticate") == []
            refused = post(b"another")
            assert (refused.status, refused.body, len(refused.header("WWW-Authenticate"))) == (401, FAILED, 2)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_was_too_large_for_one_member_is_whole_for_the_next(directory: Path, chunked: bool) -> None:
    hal = consumer("hal", ("h", {"hmac-auth": {"key_id": "kim-id", "secret_key": "kim-secret"}}))
    body = bytes(range(256)) * 200
    sizes = [{"hmac-auth": {"validate_request_body": True, "max_req_body_size": size}} for size in (9, len(body))]
    framed = b"".join(b"800\r\n%b\r\n" % body[at : at + 0x800] for at in range(0, len(body), 0x800)) + b"0\r\n\r\n"
    with mirror() as upstream:
        value = config(upstream.address)
        value["consumers"].append(hal)
        value["routes"] += routes(upstream.address, body=[*sizes, {"key-auth": {}}])
        with Gateway(directory, value) as gateway:
            for told, name in ((body, "hal"), (b"another", "kim")):
                framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
                proof = (f"Digest: {digest(told)}", *signed("/body", method="POST"), "apikey: kim-key", framing)
                head = "\r\n".join(["POST /body HTTP/1.1", "Host: test", "Connection: close", *proof, "", ""]).encode()
                whole = head + (framed if chunked else body)
                got = parse(wire.raw(gateway.data, wire.cut(whole, len(head), len(head) + 5, len(head) + 3000)))
                assert (got.status, f"X-Consumer-Username: {name}\r\n" in got.sent) == (200, True)
                assert got.body.endswith(b"\r\n\r\n" + body)


def test_headers_that_a_member_may_set_are_never_the_clients(directory: Path) -> None:
    members = [{"key-auth": {}}, {"jwt-auth": {"claims_to_headers": {"role": "X-Role"}}}]
    token = make({"key": "jo-key", "role": "boss"}, SECRET.encode(), "HS256")
    with mirror() as upstream:
        value = config(upstream.address)
        value["routes"] += routes(upstream.address, claims=members)
        with Gateway(directory, value) as gateway:
            for forged in ("X-Role: forged", "x_role: forged"):
                by_key = ask(gateway, "/claims", "apikey: kim-key", forged)
                assert (by_key.status, "forged" in by_key.sent) == (200, False)
                by_token = ask(gateway, "/claims", f"Authorization: Bearer {token}", forged)
                assert ("X-Role: boss\r\n" in by_token.sent, "forged" in by_token.sent) == (True, False)


def test_members_that_are_disabled(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        assert ask(gateway, "/part", "apikey: kim-key").header("WWW-Authenticate") == ['Basic realm="basic"']
        assert ask(gateway, "/part", BASIC).status == 200
        assert ask(gateway, "/none", BASIC, "apikey: kim-key").body == FAILED
        assert ask(gateway, "/off").status == 200


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({}, 'property "auth_plugins" is required'),
        ({"auth_plugins": THREE[:1]}, 'property "auth_plugins" validation failed: expect array to have at least 2 items'),
        ({"auth_plugins": [{"no-auth": {}}, {"key-auth": {}}]}, "no-auth plugin did not found"),
        ({"auth_plugins": [{"limit-count": {}}, {"key-auth": {}}]}, "limit-count plugin is not supported"),
        ({"auth_plugins": [{"multi-auth": {"auth_plugins": THREE}}, {"key-auth": {}}]}, "multi-auth plugin is not supported"),
        (
            {"auth_plugins": [{"key-auth": {"header": 1}}, {"basic-auth": {}}]},
            'plugin key-auth check schema failed: property "header" validation failed: wrong type: expected string, got number',
        ),
        (
            {"auth_plugins": [{"basic-auth": {}}, {"key-auth": []}]},
            "plugin key-auth check schema failed: wrong type: expected object, got table",
        ),
        (
            {"auth_plugins": [{"jwt-auth": {}, "key-auth": {}}, {"basic-auth": {}}]},
            'property "auth_plugins" validation failed: failed to validate item 1: '
            "expected one plugin, found jwt-auth and key-auth",
        ),
        (
            {"auth_plugins": [{}, {"basic-auth": {}}]},
            'property "auth_plugins" validation failed: failed to validate item 1: expected one plugin, found none',
        ),
        (
            {"auth_plugins": [{"key-auth": {"_meta": {"filter": [["uri", "==", "/"]]}}}, {"basic-auth": {}}]},
            'plugin key-auth check schema failed: property "_meta" validation failed: property "filter" validation failed: '
            "not supported: a member is tried in its turn, so give it to multi-auth itself",
        ),
    ],
)
def test_what_is_refused_when_it_is_written(conf: Any, message: str, gateway: Gateway) -> None:
    answer = gateway.api("PUT", "routes/1", {"uri": "/a", "plugins": {"multi-auth": conf}})
    assert answer.status == 400
    assert answer.json() == {"error_msg": f"failed to check the configuration of plugin multi-auth err: {message}"}


def test_it_is_no_credential_and_of_no_use_on_a_consumer(gateway: Gateway) -> None:
    gateway.put("consumers/ada", {"username": "ada", "plugins": {"multi-auth": {"auth_plugins": THREE}}})
    answer = gateway.api("PUT", "consumers/ada/credentials/c", {"plugins": {"multi-auth": {"auth_plugins": THREE}}})
    assert (answer.status, b"only supports auth type plugins" in answer.body) == (400, True)


def test_members_are_shown_by_what_their_plugins_call_open(gateway: Gateway) -> None:
    members = [{"key-auth": {"header": "x", "secrt": "s3cret"}}, {"basic-auth": {}}]
    gateway.put("routes/1", {"uri": "/a", "plugins": {"multi-auth": {"auth_plugins": members}}})
    asked = {"uri": "/a"}
    told = gateway.api("POST", "explain", asked).json()
    shown = next(each for each in told["plugins"] if each["name"] == "multi-auth")
    assert shown["conf"] == {"auth_plugins": [{"key-auth": {"header": "x"}}, {"basic-auth": {}}]}
    assert told["outcome"]["reason"] == "multi.failed"
    assert "secrt: not known to the plugin, and ignored" in gateway.log()
    assert "s3cret" not in gateway.log()


def test_refusals_are_in_the_log_and_secrets_are_not(directory: Path) -> None:
    log = directory / "access.log"
    with mirror() as upstream:
        with Gateway(directory, config(upstream.address, access_log={"path": str(log)})) as gateway:
            for fields in ((), ("apikey: s3cret", "Authorization: Basic s3cret"), ("apikey: no", BASIC)):
                ask(gateway, "/multi", *fields)
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert [line.get("refused") for line in lines] == ["multi.failed", "multi.failed", None]
        assert lines[0]["members"] == ["key.missing", "basic.missing", "jwt.no_token"]
        assert lines[1]["members"][:2] == ["key.unknown", "basic.malformed"]
        assert (lines[2]["consumer"], lines[2]["credential"], "members" in lines[2]) == ("bea", "b", False)
        assert "s3cret" not in log.read_text() + gateway.log()


def test_every_plugin_by_which_consumers_are_found_can_be_a_member() -> None:
    found = [name for name in order.names() if (plugin := order.get(name)) and plugin.key_field is not None]
    assert sorted(plugin.name for plugin in multi_auth.MEMBERS) == sorted(found)
    assert sorted(field.encode_name for field in msgspec.structs.fields(multi_auth.Member)) == sorted(found)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with Gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running
