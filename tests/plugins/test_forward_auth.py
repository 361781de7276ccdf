"""forward-auth from outside: what the other server is asked, what its answer does, and what cannot be configured, row by row of
APISIX's behaviour and where this gateway is stricter on purpose. The other server is a real one, on a socket."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.forward import SPELLINGS, Auth, answer, config, fields
from tests.plugins.mirror import ask, consumer, mirror
from tests.support.gateway import Gateway
from tests.support.upstreams import Scripted

# -- what is asked -----------------------------------------------------------------------------------


def test_what_the_other_server_is_told(directory: Path) -> None:
    with mirror() as upstream, Auth() as auth, Gateway(directory, config(upstream.address, auth.address)) as gateway:
        assert ask(gateway, "/a/../a?b=c%20d", "Cookie: a=b", "X-Forwarded-For: 6.6.6.6", "Authorization: mine").status == 200
        (asked,) = auth.asked
        assert asked.startswith(b"GET /check?x=1 HTTP/1.1\r\n")
        assert sorted(fields(asked)) == [
            ("host", str(auth.address)),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-host", "test"),
            ("x-forwarded-method", "GET"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-uri", "/a/../a?b=c%20d"),
        ]


def test_headers_of_the_request_and_further_ones(directory: Path) -> None:
    extra = {
        "X-Route": "$route_id",
        "X-Who": "${consumer_name}/$arg_who/$http_x_one",
        "X-Plain": "plain",
        "X-None": "$arg_none",
        "X-Forwarded-Method": "ours",
        "X-Two": "ours",
    }
    conf = {"request_headers": ["X-One", "x-two", "X-Missing", "X-Forwarded-Proto", "X-One"], "extra_headers": extra}
    with mirror() as upstream, Auth() as auth, Gateway(directory, config(upstream.address, auth.address, **conf)) as gateway:
        sent = ("X-One: 1", "x_one: 2", "X-Two: theirs", "X-Three: 3", "X-Forwarded-Proto: https")
        assert ask(gateway, "/a?who=me", *sent).status == 200
        got = fields(auth.asked[0])
        assert [each for each in got if "one" in each[0] and each[0] != "x-none"] == [("x-one", "1"), ("x_one", "2")]
        assert dict(got)["x-who"] == "/me/1"
        assert {name: value for name, value in got if name in ("x-route", "x-plain", "x-none")} == {
            "x-route": "r",
            "x-plain": "plain",
            "x-none": "",
        }
        for name, value in (("x-two", "ours"), ("x-forwarded-method", "ours"), ("x-forwarded-proto", "http")):
            assert [each[1] for each in got if each[0] == name] == [value]
        assert not {"x-three", "x-missing"} & set(dict(got))


def test_it_is_told_of_the_consumer_and_not_of_hidden_credentials(directory: Path) -> None:
    conf = {"request_headers": ["apikey", "X-Consumer-Username"], "extra_headers": {"X-Who": "$consumer_name$http_apikey"}}
    with mirror() as upstream, Auth() as auth:
        value = config(upstream.address, auth.address, **conf)
        value["consumers"] = [consumer("kim", ("k", {"key-auth": {"key": "kim-key"}}))]
        value["routes"][0]["plugins"]["key-auth"] = {"hide_credentials": True}
        with Gateway(directory, value) as gateway:
            assert ask(gateway, "/a?apikey=z", "apikey: kim-key", "X-Consumer-Username: forged").status == 200
            assert ask(gateway, "/a").status == 401  # who is not known is not asked about
        (asked,) = auth.asked
        assert b"kim-key" not in asked
        assert b"forged" not in asked
        assert (dict(fields(asked))["x-who"], dict(fields(asked))["x-consumer-username"]) == ("kim", "kim")
        assert dict(fields(asked))["x-forwarded-uri"] == "/a"


def test_what_a_client_says_of_its_address_is_not_passed_on(directory: Path) -> None:
    names = ("X-Real-IP", "X-Forwarded-For", "X-Forwarded-Port", "Forwarded", "X-Forwarded-Client-Cert")
    conf = {"request_headers": [*names, "X-One"], "extra_headers": {"X-Said": "$http_x_real_ip$http_x_forwarded_for"}}
    forged = [spelling + ": 6.6.6.6" for name in names for spelling in (name, name.replace("-", "_"))]
    for trusted in ((), ("127.0.0.1",)):
        value = directory / str(len(trusted))
        value.mkdir()
        with mirror() as upstream, Auth() as auth:
            made = config(upstream.address, auth.address, trusted_addresses=list(trusted), **conf)
            with Gateway(value, made) as gateway:
                assert ask(gateway, "/a", *forged, "X-One: 1").status == 200
            got = fields(auth.asked[0])
            assert ("x-one", "1") in got
            assert ("6.6.6.6" in str(got)) is bool(trusted)


def test_a_client_cannot_take_out_what_the_answer_says(directory: Path) -> None:
    with (
        mirror() as upstream,
        Auth(answer("X-User: ann")) as auth,
        Gateway(directory, config(upstream.address, auth.address, upstream_headers=["X-User"])) as gateway,
    ):
        for nominated in ("X-User", "x-user, X_User"):
            got = ask(gateway, "/a", f"Connection: {nominated}", "X-User: forged")
            assert ("X-User: ann\r\n" in got.sent, "forged" in got.sent) == (True, False)


@pytest.mark.parametrize("target", ["/a%0d%0aX-Injected:%201", "/a?v=%0d%0aX-Injected:%201"])
def test_a_variable_injects_no_header(directory: Path, target: str) -> None:
    conf = {"extra_headers": {"X-Uri": "$uri", "X-V": "$arg_v"}}
    with mirror() as upstream, Auth() as auth, Gateway(directory, config(upstream.address, auth.address, **conf)) as gateway:
        assert ask(gateway, target).status == 200
        assert not any(name == "x-injected" for request in auth.asked for name, _ in fields(request))


# -- what an answer does -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "sent"),
    [
        (("X-User: ann", "X-Role: a", "x-role: b", "X-Other: o"), ["X-User: ann", "X-Role: a", "X-Role: b"]),
        (("X-Other: o",), []),
        (("X-User:",), ["X-User: "]),
    ],
)
def test_upstream_headers_are_the_answers_and_never_the_clients(directory: Path, told: tuple[str, ...], sent: list[str]) -> None:
    conf = {"upstream_headers": ["X-User", "X-Role"]}
    with (
        mirror() as upstream,
        Auth(answer(*told)) as auth,
        Gateway(directory, config(upstream.address, auth.address, **conf)) as gateway,
    ):
        got = ask(gateway, "/a", *(f"{name}: forged" for name in (*SPELLINGS, "X-Role")), "X-Mine: m")
        assert got.status == 200
        assert "forged" not in got.sent
        assert "X-Mine: m\r\n" in got.sent
        lines = got.sent.split("\r\n\r\n")[0].split("\r\n")
        assert [line for line in lines if re.match("x.(user|role|other)", line, re.I)] == sent


def test_a_header_may_be_shown_to_the_other_server_and_still_be_its_own(directory: Path) -> None:
    conf = {"request_headers": ["X-User"], "upstream_headers": ["x-user"]}
    with mirror() as upstream, Auth() as auth, Gateway(directory, config(upstream.address, auth.address, **conf)) as gateway:
        got = ask(gateway, "/a", "X-User: claimed", "x_user: claimed")
        assert [value for name, value in fields(auth.asked[0]) if "user" in name] == ["claimed", "claimed"]
        assert (got.status, "claimed" in got.sent) == (200, False)


def test_a_later_limit_counts_by_what_the_answer_said(directory: Path) -> None:
    def who(request: bytes) -> bytes:
        return answer("X-User: " + dict(fields(request)).get("x-token", ""))

    conf = {"upstream_headers": ["X-User"], "request_headers": ["X-Token"]}
    with mirror() as upstream, Auth(who) as auth:
        value = config(upstream.address, auth.address, **conf)
        limit = {"count": 1, "time_window": 600, "key": "http_x_user", "rejected_code": 429}
        value["routes"][0]["plugins"]["limit-count"] = limit
        with Gateway(directory, value) as gateway:
            statuses = [ask(gateway, "/a", f"X-Token: {token}", f"X-User: {n}").status for n, token in enumerate("aabb")]
            assert statuses == [200, 429, 200, 429]


@pytest.mark.parametrize("status", ["401 Unauthorized", "302 Found", "404 Not Found", "500 Oops", "300 Choices", "599 Odd"])
def test_a_refusal_is_the_answer(directory: Path, status: str) -> None:
    fields_ = (
        "Location: /login",
        "WWW-Authenticate: Basic",
        "X-Other: o",
        "Content-Type: text/html",
        "Set-Cookie: a",
        "Set-Cookie: b",
        "Date: stale",
        "Server: theirs",
    )
    conf = {"client_headers": ["location", "WWW-Authenticate", "Set-Cookie", "X-Missing", "Content-Type", "Date", "server"]}
    log = directory / "access.log"
    with mirror() as upstream, Auth(answer(*fields_, status=status, body=b"<no>")) as auth:
        value = config(upstream.address, auth.address, access_log={"path": str(log)}, **conf)
        with Gateway(directory, value) as gateway:
            got = ask(gateway, "/a")
            assert (got.status, got.body, got.sent) == (int(status[:3]), b"<no>", "")
            assert got.header("Location") == ["/login"]
            assert got.header("WWW-Authenticate") == ["Basic"]
            assert got.header("Set-Cookie") == ["a", "b"]
            assert got.header("Content-Type") == ["text/html"]
            assert got.header("X-Other") == []
            assert [len(got.header(name)) for name in ("Date", "Server")] == [1, 1]
            assert "stale" not in got.head
            assert "theirs" not in got.head
            assert ask(gateway, "/a").status == int(status[:3])  # and the connection to the other server is of use still
        assert len(auth.asked) == 2
        assert len(auth.received) == 1
        assert upstream.received == []
        assert json.loads(log.read_text().splitlines()[0])["refused"] == "forward.denied"


def test_a_refusal_without_a_type_or_in_a_coding(directory: Path) -> None:
    script = [answer(status="403 No", body=b"no"), answer("Content-Encoding: gzip", status="403 No", body=b"\x1f\x8b")]
    with (
        mirror() as upstream,
        Scripted(script, keep_open=True) as auth,
        Gateway(directory, config(upstream.address, auth.address)) as gateway,
    ):
        plain = ask(gateway, "/a")
        assert (plain.body, plain.header("Content-Type")) == (b"no", ["text/plain; charset=utf-8"])
        coded = ask(gateway, "/a")
        assert (coded.body, coded.header("Content-Encoding")) == (b"\x1f\x8b", ["gzip"])


@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "299 Fine"])
def test_below_300_the_request_passes(directory: Path, status: str) -> None:
    with (
        mirror() as upstream,
        Auth(
            answer(status=status).replace(b"Content-Length: 0\r\n", b"" if "204" in status else b"Content-Length: 0\r\n")
        ) as auth,
        Gateway(directory, config(upstream.address, auth.address)) as gateway,
    ):
        assert [ask(gateway, "/a").status for _ in range(2)] == [200, 200]


# -- what is written ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("member", "value", "message"),
    [
        ("uri", "ftp://h/", "expected a URL that can be asked: expected http:// or https:// and a host"),
        ("uri", "http://u:s3cret@h/", "expected a URL that can be asked: expected no user name or password in it"),
        ("uri", "http://h/#s3cret", "expected a URL that can be asked: expected no fragment"),
        ("uri", "http://h/\r\nX: s3cret", "expected a URL that can be asked: "),
        ("uri", "http://h:99999/", "expected a URL that can be asked: expected a host, and a port from 1 to 65535 if any"),
        ("uri", "http://h:0/", "expected a URL that can be asked: expected a host, and a port from 1 to 65535 if any"),
        ("request_method", "PUT", "matches none of the enum values"),
        ("max_req_body_size", 0, "expected 0 to be at least 1"),
        ("timeout", 0, "expected 0 to be at least 1"),
        ("timeout", 60001, "expected 60001 to be at most 60000"),
        ("keepalive_pool", 0, "expected 0 to be at least 1"),
        ("keepalive_timeout", 999, "expected 999 to be at least 1000"),
        ("status_on_error", 199, "expected 199 to be at least 200"),
        ("status_on_error", 600, "expected 600 to be at most 599"),
        ("extra_headers", {}, "expect object to have at least 1 properties"),
        ("extra_headers", {"X": "a\r\nY: s3cret"}, 'property "X" validation failed: expected no control characters'),
        ("extra_headers", {"Content-Length": "5"}, 'property "Content-Length" validation failed: expected a header that '),
        ("request_headers", ["content_length"], "failed to validate item 1: expected a header that "),
        ("request_headers", ["X-A", "a b"], "failed to validate item 2: "),
        ("upstream_headers", ["X-Consumer-Username"], "failed to validate item 1: expected a header that "),
        ("upstream_headers", ["X-A", "Transfer-Encoding"], "failed to validate item 2: expected a header that "),
        ("client_headers", ["Connection"], "failed to validate item 1: expected a header that "),
    ],
)
def test_what_is_refused_when_it_is_written(gateway: Gateway, member: str, value: Any, message: str) -> None:
    plugins = {"forward-auth": {"uri": "http://h/", member: value}}
    refused = gateway.api("PUT", "routes/1", {"uri": "/a", "plugins": plugins})
    assert refused.status == 400
    start = f'failed to check the configuration of plugin forward-auth err: property "{member}" validation failed: {message}'
    assert refused.json()["error_msg"].startswith(start)
    assert b"s3cret" not in refused.body


def test_the_uri_is_required(gateway: Gateway) -> None:
    refused = gateway.api("PUT", "routes/1", {"uri": "/a", "plugins": {"forward-auth": {}}})
    assert refused.json()["error_msg"].endswith('forward-auth err: property "uri" is required')


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with Gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running
