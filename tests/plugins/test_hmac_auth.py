"""hmac-auth from outside, row by row of APISIX's answers; signatures are made by the standard library."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.mirror import Answer, ask, consumer, mirror
from tests.support.gateway import Gateway
from tests.support.signing import date, field, signature, signed
from tests.support.wire import Address

KIM = consumer("kim", ("h", {"hmac-auth": {"key_id": "kim-id", "secret_key": "kim-secret"}}), labels={"custom_id": "cid-kim"})
LEE = consumer("lee", plugins={"hmac-auth": {"key_id": "lee, id", "secret_key": "s" * 256}})
PREFIX = b"client request can't be validated"
INVALID = b'{"message":"%b"}\n' % PREFIX
MISSING = b'{"message":"%b: missing Authorization header"}\n' % PREFIX
SCHEME = b'{"message":"%b: Authorization header does not start with \'Signature\'"}\n' % PREFIX
IDENTITY = "X-Consumer-Username: kim\r\nX-Credential-Identifier: h\r\nX-Consumer-Custom-ID: cid-kim\r\n"
CONFS: dict[str, dict[str, Any]] = {
    "hmac": {},
    "hide": {"hide_credentials": True, "realm": "staff only"},
    "strict": {
        "signed_headers": ["date", "X-Custom", "@request-target"],
        "allowed_algorithms": ["hmac-sha512"],
        "clock_skew": 60,
    },
    "loose": {"signed_headers": []},
    "guest": {"anonymous_consumer": "guest", "hide_credentials": True},
    "nobody": {"anonymous_consumer": "gone"},
}


def config(upstream: Address, **more: Any) -> dict[str, Any]:
    node = {"type": "roundrobin", "nodes": {str(upstream): 1}}
    routes = [{"id": n, "uris": [f"/{n}", f"/{n}/*"], "upstream": node, "plugins": {"hmac-auth": c}} for n, c in CONFS.items()]
    return {"consumers": [KIM, LEE, {"username": "guest"}], "routes": routes, **more}


def refuses(answer: Answer, body: bytes = INVALID, realm: str = "hmac") -> bool:
    found = (answer.status, answer.body, answer.header("WWW-Authenticate"), answer.header("Content-Type"), answer.sent)
    return found == (401, body, [f'hmac realm="{realm}"'], ["application/json"], "")


@pytest.mark.parametrize("algorithm", ["hmac-sha1", "hmac-sha256", "hmac-sha512"])
def test_a_good_signature_is_known(algorithm: str, directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        fields = signed("/hmac", algorithm=algorithm)
        good = ask(gateway, "/hmac", *fields, "X-Consumer-Username: root", "x_credential_identifier: root")
        assert good.status == 200
        assert IDENTITY in good.sent
        assert "root" not in good.sent
        assert all(f"{each}\r\n" in good.sent for each in fields)
        hidden = ask(gateway, "/hide", *signed("/hide", algorithm=algorithm))
        assert IDENTITY in hidden.sent
        assert "uthorization" not in hidden.sent
        assert "Date: " in hidden.sent
        plain = ask(gateway, "/hmac", *signed("/hmac", key_id="lee, id", secret="s" * 256, algorithm=algorithm))
        assert "X-Consumer-Username: lee\r\n" in plain.sent
        assert "X-Credential-Identifier" not in plain.sent


def test_rows_of_the_reference(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        now, names = date(), "@request-target date"
        code = signature("kim-secret", ["kim-id", "GET /hmac", f"date: {now}"])
        assert ask(gateway, "/hmac", f"Date: {now}", field("kim-id", names, code)).status == 200
        stamp = f"Date: {now}"
        for fields, body in (
            ((), MISSING),
            ((stamp,), MISSING),
            (("Authorization:",), SCHEME),
            (("Authorization: Basic a2ltdTpraW1w",), SCHEME),
            ((stamp, field("kim-id", names, code).replace("Signature", "signature")), SCHEME),
            ((stamp, field("kim-id", names, code).replace("Signature", "Bearer")), SCHEME),
            (("Authorization: Signature",), INVALID),
            (("Authorization: Signature x",), INVALID),
            ((stamp, field("kim-id", names, code).replace("Signature ", "Signature")), INVALID),
            ((stamp, field("kim-id", names, code).replace('keyId="kim-id",', "")), INVALID),
            ((stamp, field("kim-id", names, code).replace('algorithm="hmac-sha256",', "")), INVALID),
            ((stamp, field("kim-id", names, code).rpartition(",")[0]), INVALID),
            ((stamp, field("kim-id", names, "A" + code[1:] if code[0] != "A" else "B" + code[1:])), INVALID),
            ((stamp, field("kim-id", names, code[:-4])), INVALID),
            ((stamp, field("kim-id", names, "")), INVALID),
            ((stamp, field("zz", names, code)), INVALID),
            ((stamp, field("", names, code)), INVALID),
            ((stamp, field("lee, id", names, code)), INVALID),
            ((stamp, field("kim-id", names, code, "hmac-md5")), INVALID),
            ((stamp, field("kim-id", names, code, "hmac-sha512")), INVALID),
            ((stamp, field("kim-id", names, code, "HMAC-SHA256")), INVALID),
            ((stamp, field("kim-id", "date @request-target", code)), INVALID),
            ((stamp, field("kim-id", "@request-target", code)), INVALID),
            ((stamp, field("kim-id", "", code)), INVALID),
            ((field("kim-id", names, code),), INVALID),  # no date
            ((stamp, stamp, field("kim-id", names, code)), INVALID),
            ((stamp, field("kim-id", names, code), field("kim-id", names, code)), INVALID),
            ((stamp, field("kim-id", names, code) + ',keyId="zz"'), INVALID),
            ((stamp, field("kim-id", names, code) + "x"), INVALID),
        ):
            assert refuses(ask(gateway, "/hmac", *fields), body), fields
        assert refuses(ask(gateway, "/hide"), MISSING, "staff only")
        assert refuses(ask(gateway, "/hmac", *signed("/hmac", method="POST")))
        assert refuses(ask(gateway, "/hmac?a=1", *signed("/hmac")))
        assert refuses(ask(gateway, "/hmac/b", *signed("/hmac/a")))
        assert refuses(ask(gateway, "/hmac", *signed("/hmac", secret="other")))


def test_the_date_may_differ_by_the_skew(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        for offset in (-290, -1, 1, 290):
            assert ask(gateway, "/hmac", *signed("/hmac", when=date(offset))).status == 200, offset
        for offset in (-310, 310, -86400 * 365, 86400 * 365):
            assert refuses(ask(gateway, "/hmac", *signed("/hmac", when=date(offset)))), offset
        for text in ("", "now", "0", date().replace("GMT", "UTC"), "Thu, 01 Jan 1970 00:00:00 GMT", date()[5:]):
            assert refuses(ask(gateway, "/hmac", *signed("/hmac", when=text))), text
        fields = {"algorithm": "hmac-sha512"}
        for offset, status in ((-50, 200), (50, 200), (-70, 401), (70, 401)):
            answer = ask(gateway, "/strict", *signed("/strict", "X-Custom: 1", when=date(offset), **fields))
            assert answer.status == status, offset


def test_what_must_be_signed(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        sha512 = {"algorithm": "hmac-sha512"}
        assert ask(gateway, "/strict", *signed("/strict", "x-custom: a, b", **sha512)).status == 200
        assert refuses(ask(gateway, "/strict", *signed("/strict", "X-Other: 1", **sha512)))
        assert refuses(ask(gateway, "/strict", *signed("/strict", "X-Custom: 1")))  # by an algorithm that is not allowed here
        now = date()
        for names, lines in (
            ("date x-custom", [f"date: {now}", "x-custom: 1"]),
            ("@request-target x-custom", ["GET /strict", "x-custom: 1"]),
            ("@request-target date", ["GET /strict", f"date: {now}"]),
        ):
            code = signature("kim-secret", ["kim-id", *lines], "hmac-sha512")
            assert refuses(ask(gateway, "/strict", f"Date: {now}", "X-Custom: 1", field("kim-id", names, code, "hmac-sha512")))
        # A listed header that is not there says nothing, and one that was put in later is noticed.
        code = signature("kim-secret", ["kim-id", "GET /strict", f"date: {now}"], "hmac-sha512")
        fields = (f"Date: {now}", field("kim-id", "@request-target date X-CUSTOM", code, "hmac-sha512"))
        assert ask(gateway, "/strict", *fields).status == 200
        assert refuses(ask(gateway, "/strict", "X-Custom: 1", *fields))
        assert refuses(ask(gateway, "/strict", "X-Custom:", *fields))
        # Where nothing must be signed a key id alone may be.
        bare = (
            f'Authorization: Signature keyId="kim-id",algorithm="hmac-sha256",signature="{signature("kim-secret", ["kim-id"])}"'
        )
        assert ask(gateway, "/loose", f"Date: {now}", bare).status == 200
        assert refuses(ask(gateway, "/loose", bare))
        assert refuses(ask(gateway, "/hmac", f"Date: {now}", bare))


def test_a_signed_field_is_there_once(directory: Path) -> None:
    """The upstream might read another one than the one that was signed."""
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        fields = signed("/hmac", "X-Amount: 5")
        assert ask(gateway, "/hmac", *fields).status == 200
        for more in ("X-Amount: 6", "x-amount: 5", "X_Amount: 6", "X.AMOUNT:"):
            assert refuses(ask(gateway, "/hmac", *fields, more)), more
            assert refuses(ask(gateway, "/hmac", more, *fields)), more
        assert ask(gateway, "/hmac", *fields, "X-Unsigned: 1", "X-Unsigned: 2").status == 200


def test_a_signed_field_reaches_the_upstream(directory: Path) -> None:
    """Who caught a signed request could name a signed field in Connection, by which it would stay here."""
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        fields = signed("/hmac", "X-Amount: 5", "Cookie: a=1")
        for nominated in ("X-Amount", "x-amount, close", "x-other, X-AMOUNT"):
            assert refuses(ask(gateway, "/hmac", *fields, f"Connection: {nominated}")), nominated
        for nominated in ("Authorization", "Date", "Cookie", "X-Other"):  # which never stay here, or are not signed
            sent = ask(gateway, "/hmac", *fields, f"Connection: {nominated}").sent
            assert all(f"{field}\r\n" in sent for field in fields), nominated


def test_what_is_signed_of_a_target(directory: Path) -> None:
    """The path in its normal form, by which it was routed; the query as it came."""
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        for target, said in (
            ("/hmac?b=%41&a=1", "/hmac?b=%41&a=1"),
            ("/hmac?", "/hmac"),
            ("/hmac/a/../b//c", "/hmac/b/c"),
            ("/hmac/%41%2f", "/hmac/A%2F"),
            ("/hmac/a%20b", "/hmac/a%20b"),
        ):
            assert ask(gateway, target, *signed(said)).status == 200, target
        assert refuses(ask(gateway, "/hmac/a/../b", *signed("/hmac/a/../b")))
        absolute = [each.replace("host: other", "host: test") for each in signed("/hmac")]
        assert ask(gateway, "http://test/hmac", *absolute).status == 200


def test_the_host_that_is_signed_is_the_one_asked_for(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        now = date()
        code = signature("kim-secret", ["kim-id", "GET /hmac", f"date: {now}", "host: test"])
        fields = (f"Date: {now}", field("kim-id", "@request-target date host", code))
        assert ask(gateway, "/hmac", *fields).status == 200
        assert refuses(ask(gateway, "http://other/hmac", *fields))


def test_the_anonymous_consumer(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        wrong = signed("/guest", secret="other")
        old = signed("/guest", when=date(-4000))
        for fields in ((), ("Authorization: Bearer x",), ("Authorization: Signature x",), wrong, old):
            guest = ask(gateway, "/guest", *fields, "X-Consumer-Username: kim")
            assert "X-Consumer-Username: guest\r\n" in guest.sent
            assert "kim" not in guest.sent
            assert "uthorization" not in guest.sent
            assert guest.header("WWW-Authenticate") == []
        assert IDENTITY in ask(gateway, "/guest", *signed("/guest")).sent
        assert refuses(ask(gateway, "/nobody"), b'{"message":"Invalid user authorization"}\n')


def test_a_changed_secret_is_in_force_when_its_write_is_answered(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address, workers=2)) as gateway:
        for number in range(3):
            conf = {"key_id": "kim-id", "secret_key": f"secret {number}"}
            gateway.put("consumers/kim/credentials/h", {"plugins": {"hmac-auth": conf}})
            assert ask(gateway, "/hmac", *signed("/hmac", secret=f"secret {number}")).status == 200
            assert refuses(ask(gateway, "/hmac", *signed("/hmac")))
        same = gateway.api("PUT", "consumers/guest/credentials/h", {"plugins": {"hmac-auth": {**conf, "secret_key": "x"}}})
        assert same.status == 400
        assert b"secret 2" not in same.body


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with Gateway(tmp_path_factory.mktemp("one"), {"consumers": [KIM]}) as gateway:
        yield gateway


@pytest.mark.parametrize(
    ("conf", "fault"),
    [
        ({"allowed_algorithms": []}, b"expect array to have at least 1 items"),
        ({"allowed_algorithms": ["hmac-md5"]}, b"matches none of the enum values"),
        ({"allowed_algorithms": ["hmac-sha1", "hmac-sha1"]}, b"expected unique items"),
        ({"clock_skew": 0}, b"expected 0 to be at least 1"),
        ({"clock_skew": "1"}, b"wrong type: expected integer, got string"),
        ({"signed_headers": [""]}, b"string too short"),
        ({"signed_headers": ["x" * 51]}, b"string too long"),
        ({"validate_request_body": 1}, b"wrong type: expected boolean, got number"),
        ({"max_req_body_size": 0}, b"expected 0 to be at least 1"),
        ({"hide_credentials": "yes"}, b"wrong type: expected boolean, got string"),
        ({"realm": 'a"b'}, b"realm"),
        ({"prevent_replay": True, "signed_headers": ["x-nonce"]}, b"expected date among them"),
        ({"prevent_replay": True, "signed_headers": []}, b"expected date among them"),
    ],
)
def test_write_errors_of_a_route(conf: dict[str, Any], fault: bytes, one: Gateway) -> None:
    answer = one.api("PUT", "routes/x", {"uri": "/x", "plugins": {"hmac-auth": conf}})
    assert answer.status == 400
    assert b"failed to check the configuration of plugin hmac-auth err: " in answer.body
    assert fault in answer.body


@pytest.mark.parametrize(
    ("conf", "fault"),
    [
        ({"secret_key": "s"}, b"key_id"),
        ({"key_id": "k"}, b"secret_key"),
        ({"key_id": "", "secret_key": "s"}, b"string too short"),
        ({"key_id": "k", "secret_key": ""}, b"string too short"),
        ({"key_id": "k" * 257, "secret_key": "s"}, b"string too long"),
        ({"key_id": "k", "secret_key": "hunter2" * 37}, b"string too long"),
        ({"key_id": "kim-id", "secret_key": "hunter2"}, b"kim"),
    ],
)
def test_write_errors_of_a_credential(conf: dict[str, Any], fault: bytes, one: Gateway) -> None:
    one.put("consumers/lee", {"username": "lee"})
    answer = one.api("PUT", "consumers/lee/credentials/h", {"plugins": {"hmac-auth": conf}})
    assert answer.status == 400
    assert fault in answer.body
    assert b"hunter2" not in answer.body


def test_refusals_are_in_the_log_and_secrets_are_not(directory: Path) -> None:
    log = directory / "access.log"
    now = date()
    wrong = signed("/hmac", secret="s3cret")
    rows: list[tuple[str, tuple[str, ...], str | None]] = [
        ("/hmac", (), "hmac.missing"),
        ("/hmac", ("Authorization: Bearer x",), "hmac.scheme"),
        ("/hmac", ("Authorization: Signature x",), "hmac.malformed"),
        ("/hmac", (*signed("/hmac"), "authorization: x"), "hmac.repeated"),
        ("/hmac", tuple(signed("/hmac", key_id="zz")), "hmac.unknown_key"),
        ("/strict", tuple(signed("/strict")), "hmac.bad_algorithm"),
        ("/hmac", (field("kim-id", "date", "x"),), "hmac.no_date"),
        ("/hmac", ("Date: today", field("kim-id", "date", "x")), "hmac.bad_date"),
        ("/hmac", tuple(signed("/hmac", when=date(-4000))), "hmac.clock_skew"),
        ("/hmac", (f"Date: {now}", field("kim-id", "host", "x")), "hmac.missing_header"),
        ("/hmac", (*signed("/hmac", "X-A: 1"), "X-A: 2"), "hmac.repeated_header"),
        ("/hmac", (f"Date: {now}", field("kim-id", "date " * 65, "x")), "hmac.malformed"),
        ("/hmac", tuple(wrong), "hmac.bad_signature"),
        ("/hmac", tuple(signed("/hmac")), None),
    ]
    with mirror() as upstream:
        with Gateway(directory, config(upstream.address, access_log={"path": str(log)})) as gateway:
            for target, fields, _ in rows:
                ask(gateway, target, *fields)
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert [line.get("refused") for line in lines] == [reason for _, _, reason in rows]
        assert (lines[-1]["consumer"], lines[-1]["credential"]) == ("kim", "h")
        written = log.read_text() + gateway.log()
        assert not any(secret in written for secret in ("kim-secret", wrong[-1][-20:-2]))
