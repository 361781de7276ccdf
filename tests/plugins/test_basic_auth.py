"""basic-auth from outside, row by row of APISIX's answers, and what it gets wrong and this gateway does not."""

import json
from pathlib import Path
from typing import Any

from tests.plugins.mirror import ask, consumer, mirror
from tests.support.gateway import Gateway
from tests.support.wire import Address

KIM = consumer(
    "kim",
    ("b", {"basic-auth": {"username": "kimu", "password": "kimp"}}),
    ("c", {"basic-auth": {"username": "kim two", "password": "a:b c"}}),
    labels={"custom_id": "cid-kim"},
)
GOOD = "Authorization: Basic a2ltdTpraW1w"
MALFORMED, REFUSED = b'{"message":"Invalid authorization in request"}\n', b'{"message":"Invalid user authorization"}\n'


def config(upstream: Address, **more: Any) -> dict[str, Any]:
    node = {"type": "roundrobin", "nodes": {str(upstream): 1}}
    confs = {
        "basic": {},
        "basichide": {"hide_credentials": True, "realm": "staff only"},
        "guest": {"anonymous_consumer": "guest", "hide_credentials": True},
        "nobody": {"anonymous_consumer": "gone"},
    }
    routes = [{"id": n, "uri": f"/{n}", "upstream": node, "plugins": {"basic-auth": c}} for n, c in confs.items()]
    return {"consumers": [KIM, {"username": "guest"}], "routes": routes, **more}


def test_rows_of_the_reference(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        good = ask(gateway, "/basic", GOOD)
        assert "X-Consumer-Username: kim\r\nX-Credential-Identifier: b\r\nX-Consumer-Custom-ID: cid-kim\r\n" in good.sent
        assert GOOD in good.sent
        for fields, body in (
            ((), b'{"message":"Missing authorization in request"}\n'),
            (("Authorization: Basic a2ltdTp4",), REFUSED),  # wrong password
            (("Authorization: Basic eno6eA==",), REFUSED),  # unknown user
            (("Authorization: Basic !!",), MALFORMED),
            (("Authorization: Bearer x",), MALFORMED),
            (("Authorization: Basic bm9jb2xvbg==",), MALFORMED),
            (("Authorization:",), MALFORMED),
            (("Authorization: Basic",), MALFORMED),
            (("Authorization: a2ltdTpraW1w",), MALFORMED),
            (("Authorization: Basic Og==",), REFUSED),  # a colon alone
            (("Authorization: Basic a2ltdTo=",), REFUSED),  # no password
            (("Authorization: Basic S2ltdTpraW1w",), REFUSED),  # another user: names have a case
            (("Authorization: Basic a2ltdTpraW1wCg==",), REFUSED),  # a line feed belongs to a password
            ((GOOD, GOOD), MALFORMED),
        ):
            answer = ask(gateway, "/basic", *fields)
            assert (answer.status, answer.body) == (401, body), fields
            assert answer.header("WWW-Authenticate") == ['Basic realm="basic"']
        for scheme in ("basic", "BASIC", "bAsIc", "Basic  "):
            assert "X-Consumer-Username: kim\r\n" in ask(gateway, "/basic", GOOD.replace("Basic", scheme)).sent
        hidden = ask(gateway, "/basichide", GOOD)
        assert (hidden.status, "uthorization" in hidden.sent) == (200, False)
        assert ask(gateway, "/basichide").header("WWW-Authenticate") == ['Basic realm="staff only"']


def test_colons_and_spaces_belong_to_a_password(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        assert "X-Credential-Identifier: c\r\n" in ask(gateway, "/basic", "Authorization: basic a2ltIHR3bzphOmIgYw==").sent
        assert ask(gateway, "/basic", "Authorization: Basic a2ltdHdvOmE6YmM=").body == REFUSED  # without its spaces
        assert ask(gateway, "/basic", "Authorization: Basic a2ltIHR3bzph").body == REFUSED  # up to its colon


def test_the_anonymous_consumer(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        for fields in ((), ("Authorization: Basic a2ltdTp4",), ("Authorization: Digest x",)):
            guest = ask(gateway, "/guest", *fields)
            assert "X-Consumer-Username: guest\r\n" in guest.sent
            assert "uthorization" not in guest.sent
        nobody = ask(gateway, "/nobody")
        assert (nobody.status, nobody.body) == (401, REFUSED)


def test_a_hash_that_cannot_be_judged_is_refused_where_it_is_written(directory: Path) -> None:
    hashes = (
        "$argon2id$v=19$m=16$c2FsdA$aGFzaA",
        "$argon2i$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$2b$12$abcdefghijklmnopqrstuv",
        "$scrypt$ln=16$a$b",
        "$6$salt$hash",
        "{SSHA}x",
    )
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        for password in hashes:
            conf = {"username": "h", "password": password}
            answer = gateway.api("PUT", "consumers/kim/credentials/h", {"plugins": {"basic-auth": conf}})
            assert answer.status == 400
            assert b"found another hash" in answer.body
            assert password.encode() not in answer.body
        for password in ("$ecret", "$2", "{x}", "$6$"):
            gateway.put("consumers/kim/credentials/h", {"plugins": {"basic-auth": {"username": "h", "password": password}}})


def test_a_changed_password_is_in_force_when_its_write_is_answered(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address, workers=2)) as gateway:
        gateway.put("consumers/kim/credentials/b", {"plugins": {"basic-auth": {"username": "kimu", "password": "new"}}})
        assert ask(gateway, "/basic", GOOD).body == REFUSED
        assert ask(gateway, "/basic", "Authorization: Basic a2ltdTpuZXc=").status == 200
        same = gateway.api(
            "PUT", "consumers/guest/credentials/b", {"plugins": {"basic-auth": {"username": "kimu", "password": "x"}}}
        )
        assert same.status == 400


def test_refusals_are_in_the_log_and_passwords_are_not(directory: Path) -> None:
    log = directory / "access.log"
    with mirror() as upstream:
        with Gateway(directory, config(upstream.address, access_log={"path": str(log)})) as gateway:
            for fields in ((), ("Authorization: Bearer s3cret",), (GOOD, GOOD), ("Authorization: Basic a2ltdTp4",), (GOOD,)):
                ask(gateway, "/basic", *fields)
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        reasons = ["basic.missing", "basic.malformed", "basic.repeated", "basic.refused", None]
        assert [line.get("refused") for line in lines] == reasons
        assert lines[4]["consumer"] == "kim"
        written = log.read_text() + gateway.log()
        assert not any(secret in written for secret in ("s3cret", "kimp", "a2ltdTpraW1w"))
