"""jwt-auth from outside, row by row of APISIX's answers, and where this gateway decides otherwise on purpose."""

import base64
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.mirror import Answer, ask, consumer, mirror
from tests.support.gateway import Gateway
from tests.support.tokens import token
from tests.support.upstreams import Answering
from tests.support.wire import Address

SECRET = "john-hs256-secret-of-enough-bytes"
RAW = bytes(range(200, 240))  # no text
JOHN = consumer(
    "john",
    ("j", {"jwt-auth": {"key": "john-key", "secret": SECRET}}),
    ("b64", {"jwt-auth": {"key": "b64-key", "secret": base64.b64encode(RAW).decode(), "base64_secret": True}}),
    ("late", {"jwt-auth": {"key": "late-key", "secret": SECRET, "lifetime_grace_period": 1000}}),
    labels={"custom_id": "cid-john"},
)
ANN = consumer("ann", plugins={"jwt-auth": {"key": "ann-key", "secret": SECRET}})
MISSING = b'{"message":"Missing JWT token in request"}\n'
NO_KEY = b'{"message":"missing user key in JWT token"}\n'
UNKNOWN = b'{"message":"Invalid user key in JWT token"}\n'
WRONG = b'{"message":"failed to verify jwt"}\n'
CONFS: dict[str, dict[str, Any]] = {
    "plain": {},
    "hide": {"hide_credentials": True},
    "own": {"header": "X-Token", "query": "t", "cookie": "c", "realm": "staff only", "key_claim_name": "iss"},
    "guest": {"anonymous_consumer": "guest"},
    "guesthide": {"anonymous_consumer": "guest", "hide_credentials": True},
    "nobody": {"anonymous_consumer": "gone"},
    "exp": {"claims_to_verify": ["exp"]},
    "nbf": {"claims_to_verify": ["nbf"]},
    "both": {"claims_to_verify": ["exp", "nbf"]},
    "none": {"claims_to_verify": []},
}


def config(upstream: Address, **more: Any) -> dict[str, Any]:
    node = {"type": "roundrobin", "nodes": {str(upstream): 1}}
    routes = [{"id": n, "uri": f"/{n}", "upstream": node, "plugins": {"jwt-auth": c}} for n, c in CONFS.items()]
    return {"consumers": [JOHN, ANN, {"username": "guest"}], "routes": routes, **more}


@pytest.fixture(scope="module")
def gateway(up: Answering, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("jwt")
    log = {"path": str(directory / "access.log")}
    with Gateway(directory, config(up.address, access_log=log)) as running:
        yield running


def john(**options: Any) -> str:
    return token("john-key", SECRET, **options)


def refused(answer: Answer, body: bytes = WRONG, realm: str = "jwt") -> bool:
    assert answer.sent == ""
    return (answer.status, answer.body, answer.header("WWW-Authenticate")) == (401, body, [f'Bearer realm="{realm}"'])


# -- where the token lies --------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["", "Bearer ", "bearer "])
def test_the_header_alone_or_behind_bearer(gateway: Gateway, scheme: str) -> None:
    good = ask(gateway, "/plain", f"Authorization: {scheme}{john()}")
    assert good.status == 200
    identity = "X-Consumer-Username: john\r\nX-Credential-Identifier: j\r\nX-Consumer-Custom-ID: cid-john\r\n"
    assert identity in good.sent
    assert f"Authorization: {scheme}" in good.sent
    assert ask(gateway, "/plain", f"authorization: \t {scheme}{john()} ").status == 200  # blanks around are no part of the value


@pytest.mark.parametrize("scheme", ["BEARER ", "bEARER ", "Bearer  ", "Bearer", "Bearer\t", "Basic ", "JWT ", "Token "])
def test_any_other_scheme_is_part_of_the_token(gateway: Gateway, scheme: str) -> None:
    assert refused(ask(gateway, "/plain", f"Authorization: {scheme}{john()}"))


def test_query_and_cookie(gateway: Gateway) -> None:
    for target, fields in (
        (f"/plain?jwt={john()}", ()),
        (f"/plain?a=1&jwt={john()}&b", ()),
        (f"/plain?j%77t={john()}", ()),
        ("/plain", (f"Cookie: jwt={john()}",)),
        ("/plain", (f"Cookie: a=1; jwt={john()}; b=2",)),
        ("/plain", ("Cookie: a=1", f"Cookie: jwt={john()}")),
        ("/plain?jwts=x", (f"Cookie: xjwt=y; jwt={john()}",)),
    ):
        assert "X-Consumer-Username: john\r\n" in ask(gateway, target, *fields).sent, (target, fields)


def test_a_place_that_is_there_decides_even_empty(gateway: Gateway) -> None:
    good = john()
    for target, fields in (
        (f"/plain?jwt={good}", ("Authorization:",)),
        (f"/plain?jwt={good}", ("Authorization: Bearer ",)),
        (f"/plain?jwt={good}", ("Authorization: somewrongkey",)),
        ("/plain", ("Authorization:", f"Cookie: jwt={good}")),
        ("/plain?jwt=", (f"Cookie: jwt={good}",)),
        ("/plain?jwt", (f"Cookie: jwt={good}",)),
        ("/plain?jwt=x", (f"Cookie: jwt={good}",)),
        ("/plain", ("Cookie: jwt=",)),
    ):
        assert refused(ask(gateway, target, *fields)), (target, fields)
    assert ask(gateway, "/plain?jwt=x", f"Authorization: {good}", "Cookie: jwt=x").status == 200
    assert ask(gateway, f"/plain?jwt={good}", "Cookie: jwt=x").status == 200


def test_what_is_there_twice_is_refused(gateway: Gateway) -> None:
    good = john()
    for target, fields in (
        ("/plain", (f"Authorization: {good}", f"Authorization: {good}")),
        ("/plain", (f"Authorization: {good}", "authorization: x")),
        ("/plain", ("Authorization:", f"Authorization: {good}")),
        (f"/plain?jwt={good}&jwt={good}", ()),
        (f"/plain?jwt={good}&jwt=x", ()),
        (f"/plain?jwt={good}&j%77t=x", ()),
        (f"/plain?jwt&jwt={good}", ()),
        ("/plain", (f"Cookie: jwt={good}; jwt={good}",)),
        ("/plain", (f"Cookie: jwt={good};a=1;jwt=x",)),
        ("/plain", (f"Cookie: jwt={good}", "Cookie: jwt=x")),
        ("/plain", (f"Cookie: jwt=; jwt={good}",)),
    ):
        assert refused(ask(gateway, target, *fields)), (target, fields)


def test_nothing_at_all(gateway: Gateway) -> None:
    for target, fields in (
        ("/plain", ()),
        ("/plain?jw=x&jwts=y", ("Cookie: jwts=x; JWT=y",)),
        ("/plain", ("X-Authorization: x",)),
        ("/own", (f"Authorization: {john(iss='john-key')}",)),
    ):
        assert refused(ask(gateway, target, *fields), MISSING, "staff only" if target == "/own" else "jwt"), (target, fields)


def test_places_claim_and_realm_of_ones_own(gateway: Gateway) -> None:
    good = token(None, SECRET, iss="john-key")
    for target, fields in (
        ("/own", (f"X-Token: {good}",)),
        ("/own", (f"x-token: Bearer {good}", "Authorization: x")),
        (f"/own?t={good}&jwt=x", ()),
        ("/own", (f"Cookie: c={good}; jwt=x",)),
    ):
        assert "X-Consumer-Username: john\r\n" in ask(gateway, target, *fields).sent, (target, fields)
    assert refused(ask(gateway, "/own", f"X-Token: {john()}"), NO_KEY, "staff only")


def test_nobody_is_given_a_token(gateway: Gateway) -> None:
    """APISIX signed tokens on request once."""
    assert ask(gateway, "/apisix/plugin/jwt/sign?key=john-key").status == 404


# -- what is hidden --------------------------------------------------------------------------------


def test_credentials_stay_unless_they_are_hidden(gateway: Gateway) -> None:
    good = john()
    assert ask(gateway, f"/plain?a=1&jwt={good}").sent.startswith(f"GET /plain?a=1&jwt={good} HTTP/1.1\r\n")
    assert f"Cookie: jwt={good}; a=1\r\n" in ask(gateway, "/plain", f"Cookie: jwt={good}; a=1").sent
    for route, status in (("hide", 200), ("guesthide", 200)):
        for text in (good, "not.a.token"):
            if text != good and route == "hide":
                continue
            seen = ask(gateway, f"/{route}", f"Authorization: Bearer {text}", "Accept: */*")
            assert (seen.status, text in seen.sent, "uthorization" in seen.sent) == (status, False, False)
            assert "Accept: */*\r\n" in seen.sent
            seen = ask(gateway, f"/{route}?a=1&jwt={text}&b=%20")
            assert seen.sent.startswith(f"GET /{route}?a=1&b=%20 HTTP/1.1\r\n")
            seen = ask(gateway, f"/{route}", f"Cookie: a=1; jwt={text}; b=x/y")
            assert ("Cookie: a=1; b=x/y\r\n" in seen.sent, text in seen.sent) == (True, False)
            assert "Cookie" not in ask(gateway, f"/{route}", f"Cookie: jwt={text}").sent
    every = ask(gateway, "/hide?jwt=x&a=1", f"Authorization: {good}", "Cookie: jwt=y; b=2", "X-Consumer-Username: z").sent
    assert every.startswith("GET /hide?a=1 HTTP/1.1\r\n")
    assert ("Cookie: b=2\r\n" in every, "uthorization" in every, "jwt=" in every) == (True, False, False)
    twice = ask(gateway, "/guesthide", f"Cookie: jwt={good}; a=1", "Cookie: b=2; jwt=x; jwt=y").sent
    assert "X-Consumer-Username: guest\r\n" in twice
    assert ("Cookie: a=1; b=2\r\n" in twice, "jwt=" in twice) == (True, False)


# -- verification, in APISIX's order ---------------------------------------------------------------


def part(value: Any) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def signed(claims: Any, header: Any = {"alg": "HS256"}) -> str:  # noqa: B006
    """Also what no library would sign."""
    text = f"{part(header)}.{part(claims)}"
    return f"{text}.{part(hmac.digest(SECRET.encode(), text.encode(), 'sha256'))}"


def test_malformed_tokens(gateway: Gateway) -> None:
    head, payload, signature = john().split(".")
    for text in (
        "somewrongkey",
        ".",
        "..",
        "...",
        f"{head}.{payload}",
        f"{head}.{payload}.",
        f".{payload}.{signature}",
        f"{head}..{signature}",
        f"{head}.{payload}.{signature}.",
        f"{head}.{payload}.{signature}.x",
        f"{head}.{payload}.{signature}.x.y",
        f"{head}=.{payload}.{signature}",
        f"{head}.{payload}.{signature}=",
        f"{head}.{payload}.{signature}+",
        f"{head}. {payload}.{signature}",
        f"{part(b'x')}.{payload}.{signature}",
        f"{part(b'[]')}.{payload}.{signature}",
        f"{head}.{part(b'x')}.{signature}",
        f"{head}.{part([])}.{signature}",
    ):
        assert refused(ask(gateway, "/plain", f"Authorization: {text}")), text


def test_the_key_claim(gateway: Gateway) -> None:
    assert refused(ask(gateway, "/plain", f"Authorization: {token(None, SECRET)}"), NO_KEY)
    for key in ("", "no-key", "JOHN-KEY", "john-key ", "john-key\0", 1, True, None, ["john-key"], {"john-key": 1}):
        assert refused(ask(gateway, "/plain", f"Authorization: {signed({'key': key})}"), UNKNOWN), key
    assert refused(ask(gateway, "/plain", f"Authorization: {token('john-key', 'wrong' * 8)}")), (
        "the key is found before the signature"
    )


def test_the_algorithm_is_the_credentials(gateway: Gateway) -> None:
    for algorithm in ("HS384", "HS512"):
        assert refused(ask(gateway, "/plain", f"Authorization: {john(algorithm=algorithm)}"))
    unsigned = f"{part({'alg': 'none'})}.{part({'key': 'john-key'})}."
    assert refused(ask(gateway, "/plain", f"Authorization: {unsigned}"))


def test_base64_secrets(gateway: Gateway) -> None:
    assert ask(gateway, "/plain", f"Authorization: {token('b64-key', RAW)}").status == 200
    assert refused(ask(gateway, "/plain", f"Authorization: {token('b64-key', base64.b64encode(RAW).decode())}"))


FAR = 1000  # seconds: farther than any test takes


@pytest.mark.parametrize(
    ("route", "times", "good"),
    [
        ("plain", {}, True),
        ("none", {}, True),
        ("plain", {"exp": FAR}, True),
        ("plain", {"exp": -1}, False),
        ("plain", {"nbf": -FAR}, True),
        ("plain", {"nbf": 0}, True),
        ("plain", {"nbf": FAR}, False),
        ("plain", {"exp": FAR, "nbf": -FAR}, True),
        ("plain", {"exp": FAR, "nbf": FAR}, False),
        ("plain", {"exp": -1, "nbf": -FAR}, False),
        ("none", {"exp": -1}, False),
        ("none", {"nbf": FAR}, False),
        ("exp", {}, False),
        ("exp", {"nbf": -FAR}, False),
        ("exp", {"exp": FAR}, True),
        ("exp", {"exp": -1}, False),
        ("exp", {"exp": FAR, "nbf": FAR}, True),
        ("nbf", {}, False),
        ("nbf", {"exp": FAR}, False),
        ("nbf", {"nbf": -FAR}, True),
        ("nbf", {"nbf": FAR}, False),
        ("nbf", {"nbf": -FAR, "exp": -1}, True),
        ("both", {"exp": FAR}, False),
        ("both", {"nbf": -FAR}, False),
        ("both", {"exp": FAR, "nbf": -FAR}, True),
    ],
)
def test_times(gateway: Gateway, route: str, times: dict[str, int], good: bool) -> None:
    now = int(time.time())
    text = john(expires_in=None, **{name: now + offset for name, offset in times.items()})
    for _ in range(2):  # verified, and remembered
        answer = ask(gateway, f"/{route}", f"Authorization: {text}")
        assert answer.status == 200 if good else refused(answer)


def test_times_that_are_no_numbers(gateway: Gateway) -> None:
    for name in ("exp", "nbf"):
        for value in ("0", str(int(time.time()) + FAR), None, True, [1], {}):
            assert refused(ask(gateway, "/plain", f"Authorization: {john(expires_in=None, **{name: value})}")), (name, value)


def test_times_are_numbers_however_they_are_written(gateway: Gateway) -> None:
    late = int(time.time()) + FAR
    for claim, good in (
        (f'"exp":{late}.5', True),
        (f'"exp":{late}e0', True),
        ('"exp":1e15', True),
        ('"nbf":0.5,"exp":9007199254740991', True),
        ('"nbf":-1', True),
        ('"exp":-1', False),
        ('"exp":0', False),
        ('"exp":-1.5e300', False),
        ('"exp":1e400', False),
        (f'"nbf":{late}.5', False),
    ):
        text = signed(f'{{"key":"john-key",{claim}}}'.encode())
        answer = ask(gateway, "/plain", f"Authorization: {text}")
        assert answer.status == 200 if good else refused(answer), claim


def test_the_grace_period(gateway: Gateway) -> None:
    now = int(time.time())
    for times, good in (
        ({"exp": now - 500}, True),
        ({"exp": now - 1500}, False),
        ({"nbf": now + 500}, True),
        ({"nbf": now + 1500}, False),
    ):
        text = token("late-key", SECRET, expires_in=None, **times)
        assert (ask(gateway, "/plain", f"Authorization: {text}").status == 200) == good


def test_what_nothing_asks_for_is_not_checked(gateway: Gateway) -> None:
    claims = {"key": "john-key", "iss": 1, "aud": {}, "sub": [], "jti": None, "iat": "soon"}
    text = signed(claims, {"alg": "HS256", "kid": "no-such", "typ": "whatever"})
    assert ask(gateway, "/plain", f"Authorization: {text}").status == 200


# -- who it is -------------------------------------------------------------------------------------


def test_identity_headers(gateway: Gateway) -> None:
    forged = ["X-Consumer-Username: forged", "x-credential-identifier: forged", "X_Consumer_Custom_ID: forged"]
    sent = ask(gateway, "/plain", f"Authorization: {token('ann-key', SECRET)}", *forged).sent
    assert "X-Consumer-Username: ann\r\n" in sent
    assert "forged" not in sent
    assert "X-Credential-Identifier" not in sent
    assert "X-Consumer-Custom-ID" not in sent


def test_the_anonymous_consumer(gateway: Gateway) -> None:
    for fields in (
        (),
        ("Authorization: x",),
        (f"Authorization: {token('no-key', SECRET)}",),
        (f"Authorization: {john(expires_in=-1)}",),
    ):
        guest = ask(gateway, "/guest", *fields)
        assert guest.status == 200
        assert "X-Consumer-Username: guest\r\n" in guest.sent
        assert "X-Credential-Identifier" not in guest.sent
    assert "X-Consumer-Username: john\r\n" in ask(gateway, "/guest", f"Authorization: {john()}").sent
    assert ask(gateway, "/nobody", f"Authorization: {john()}").status == 200
    for fields in ((), ("Authorization: x",), (f"Authorization: {john(expires_in=-1)}",)):
        assert refused(ask(gateway, "/nobody", *fields), b'{"message":"Invalid user authorization"}\n')


def test_refusals_are_in_the_log_and_tokens_are_not(directory: Path) -> None:
    log = directory / "access.log"
    good = john()
    with mirror() as upstream:
        with Gateway(directory, config(upstream.address, access_log={"path": str(log)})) as running:
            for fields in (
                (),
                (f"Authorization: {good}", "Authorization: x"),
                ("Authorization: x",),
                (f"Authorization: {token(None, SECRET)}",),
                (f"Authorization: {token('no', SECRET)}",),
                (f"Authorization: {john(algorithm='HS384')}",),
                (f"Authorization: {token('john-key', 'wrong' * 8)}",),
                (f"Authorization: {john(expires_in=-1)}",),
                (f"Authorization: {good}",),
            ):
                ask(running, "/plain", *fields)
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        names = ["no_token", "repeated", "malformed", "no_key_claim", "unknown_key", "bad_alg", "bad_signature", "expired"]
        assert [line.get("refused") for line in lines] == [*(f"jwt.{name}" for name in names), None]
        assert (lines[-1]["consumer"], lines[-1]["credential"]) == ("john", "j")
        for text in (good, SECRET):
            assert text not in log.read_text() + running.log()


# -- what may be written ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"key": "k"}, 'property "secret" is required when using HS based algorithms'),
        ({"key": "k", "algorithm": "HS512"}, 'property "secret" is required when using HS based algorithms'),
        ({"key": "k", "algorithm": "HS256", "public_key": "x"}, 'property "secret" is required when using HS based algorithms'),
        ({"key": "k", "secret": "a b", "base64_secret": True}, "base64_secret required but the secret is not in base64 format"),
        ({"key": "k", "secret": "YQ", "base64_secret": True}, "base64_secret required but the secret is not in base64 format"),
        ({"key": "k", "algorithm": "RS256"}, "missing valid public key"),
        ({"key": "k", "algorithm": "RS256", "public_key": "no key"}, "missing valid public key"),
        ({"key": "k", "algorithm": "EdDSA", "secret": "s"}, "missing valid public key"),
        ({"secret": "s"}, 'property "key" is required'),
        ({"key": "", "secret": "s"}, 'property "key" validation failed'),
        ({"key": "k", "secret": ""}, 'property "secret" validation failed'),
        ({"key": "k", "secret": "s", "algorithm": "none"}, 'property "algorithm" validation failed'),
        ({"key": "k", "secret": "s", "algorithm": "hs256"}, 'property "algorithm" validation failed'),
        ({"key": "k", "secret": "s", "exp": 0}, 'property "exp" validation failed'),
        ({"key": "k", "secret": "s", "lifetime_grace_period": -1}, 'property "lifetime_grace_period" validation failed'),
    ],
)
def test_credentials_that_are_refused(gateway: Gateway, conf: dict[str, Any], message: str) -> None:
    answer = gateway.api("PUT", "consumers/john/credentials/new", {"plugins": {"jwt-auth": conf}})
    assert answer.status == 400
    assert message in answer.json()["error_msg"]


def test_a_key_belongs_to_one_credential(gateway: Gateway) -> None:
    answer = gateway.api("PUT", "consumers/ann/credentials/new", {"plugins": {"jwt-auth": {"key": "john-key", "secret": "s"}}})
    assert answer.status == 400
    assert "duplicate key" in answer.json()["error_msg"]
