"""`fastgw token revoke`: at a gateway that runs, and in the store of one that does not."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from fastgw.store import Store
from tests.cli.test_export import fastgw, good, refused, stopped
from tests.support import tokens
from tests.support.gateway import Gateway, one_route
from tests.support.upstreams import Answering

CONSUMERS = {"consumers": [{"username": "john", "plugins": {"jwt-auth": tokens.JOHN}}]}
OWN = ("create_time", "update_time", "id")


def stored(directory: Path) -> list[dict[str, Any]]:
    store = Store(directory / "data" / "fastgw.db")
    try:
        return [{name: each for name, each in row.value.items() if name not in OWN} for row in store.list("revocations")]
    finally:
        store.close()


def test_at_a_running_gateway(directory: Path) -> None:
    with Answering() as upstream:
        config = {**one_route(upstream.address, plugins={"jwt-auth": {}}), **CONSUMERS}
        with Gateway(directory, config) as gateway:
            where = ("--admin", str(gateway.admin), "config.json")
            texts = {name: tokens.john(jti=name, sub=f"sub-{name}") for name in ("a", "b", "c", "d")}
            assert {gateway.get("/", text).status for text in texts.values()} == {200}
            out = good("token", "revoke", "--jti", "a", *where, cwd=directory)
            assert out.endswith(": tokens of this jti: every worker serves it\n")
            good("token", "revoke", "--sub", "sub-b", "--issued-before", "0s", *where, cwd=directory)
            good("token", "revoke", "--token", texts["c"], *where, cwd=directory)
            assert [gateway.get("/", text).status for text in texts.values()] == [401, 401, 401, 200]
            good("token", "revoke", "--credential", "john", "--desc", "lost", *where, cwd=directory)
            assert gateway.get("/", texts["d"]).status == 401
            again = good("token", "revoke", "--jti", "a", *where, cwd=directory)
            assert again == out
            rows = json.loads(gateway.api("GET", "revocations").body)
            assert rows["total"] == 4
            line = refused("token", "revoke", "--jti", "a", "--id", "not/one", *where, cwd=directory)[0]
            assert "the running gateway" in line


def test_in_the_store_of_a_stopped_one(directory: Path) -> None:
    stopped(directory, {**CONSUMERS, "shared_memory": {"revocations": 3}})
    out = good("token", "revoke", "--credential", "john", "--id", "first", "config.json", cwd=directory)
    assert out == "revocations/first: credential john: it is served when the gateway starts\n"
    exp = int(time.time()) + 100
    text = tokens.token("john-key", "x" * 32, expires_in=None, jti="t", exp=exp)
    out = good("token", "revoke", "--token", text, "config.json", cwd=directory)
    assert f"tokens of this jti, until {exp + 86401}: " in out
    assert text not in out
    good("token", "revoke", "--token", text, "--expires", "never", "config.json", cwd=directory)
    good("token", "revoke", "--issued-before=1000", "--expires", "5000000000", "config.json", cwd=directory)
    assert stored(directory) == [
        {"credential": "john"},
        {"jti": "t"},
        {"issued_before": 1000, "expires": 5_000_000_000},
    ]
    (line,) = refused("token", "revoke", "--sub", "x", "config.json", cwd=directory)
    assert "revocations: expected at most 3 (shared_memory.revocations), found 4: nothing was changed" in line
    audit = (directory / "data" / "fastgw.db").exists()
    assert audit


def test_a_token_on_standard_input(directory: Path) -> None:
    stopped(directory, CONSUMERS)
    (directory / "token").write_text(tokens.john(jti="piped") + "\n")
    with (directory / "token").open() as stdin:
        good("token", "revoke", "--token", "-", "config.json", cwd=directory, stdin=stdin)
    assert stored(directory)[0]["jti"] == "piped"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "expected one of --jti, --sub, --credential, --token, or --issued-before"),
        (("--jti", "a", "--sub", "b"), "not allowed with argument"),
        (("--token", "secret-thing"), "--token: expected three parts between dots, found 1"),
        (("--token", "a.secret-thing.b"), "--token: expected a payload that is a JSON object in base64url, found another"),
        (("--token", tokens.john()), "--token: it has no jti by which it could be revoked; use --sub or --credential"),
        (("--jti", "a", "--expires", "soon"), "expected a duration like 30s"),
        (("--credential", "a/b/c"), "validation failed"),
        (("--jti", ""), "string too short"),
    ],
)
def test_what_cannot_be_revoked(directory: Path, arguments: tuple[str, ...], message: str) -> None:
    stopped(directory, CONSUMERS)
    lines = refused("token", "revoke", *arguments, "config.json", cwd=directory)
    assert message in lines[-1]
    assert "secret-thing" not in lines[-1]


def test_tokens_are_made_as_before(directory: Path) -> None:
    assert fastgw("token", "--key", "revoke", "--secret", "s" * 32, cwd=directory).returncode == 0
    assert "--issued-before" in good("token", "revoke", "--help", cwd=directory)
