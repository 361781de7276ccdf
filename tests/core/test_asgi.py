"""GatewayMiddleware in front of a bare ASGI application: who comes through, what it is told, what is refused and how."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import json
import threading
from typing import Any

import pytest

from fastgw._core import Caller
from fastgw.asgi import GatewayMiddleware
from fastgw.core import Revocations, Table
from fastgw.embedded import EmbeddingError
from fastgw.errors import ConfigError
from tests.core.served import CONFIG, Answer, Bare, ask, asked, bearer, scope_of, task, under_way
from tests.support.passwords import scrypt
from tests.support.signers import SIGNERS
from tests.support.tokens import token

MISSING = b'{"message":"Missing JWT token in request"}\n'
EXTENSION = {"extensions": {"websocket.http.response": {}}}


def app(config: dict[str, Any] = CONFIG, **more: Any) -> GatewayMiddleware:
    return GatewayMiddleware(Bare(), config=config, **more)


def with_route(plugins: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**copy.deepcopy(CONFIG), "routes": [{"id": "r", "uri": "/*", "plugins": plugins}], **more}


def test_who_a_request_is_from_stands_in_its_state() -> None:
    (found,) = ask(app(), scope_of("/private/a", bearer("john", sub="x")))
    assert (found.status, found.body, found.headers["x-app"]) == (200, b"yes", "yes")
    assert found.scope is not None
    assert found.scope["state"]["consumer"] == Caller("john", "one", "few", "id-of-john")
    assert found.scope["state"]["claims"]["sub"] == "x"
    (found,) = ask(app(), scope_of("/open", state=None))
    assert found.scope is not None
    assert found.scope["state"] == {"consumer": None}


def test_what_is_refused_never_reaches_the_application() -> None:
    bare, wrong, unknown = ask(
        app(), scope_of("/private/a"), scope_of("/private/a", (b"authorization", b"Bearer x")), scope_of("/elsewhere")
    )
    assert (bare.status, bare.body, bare.scope) == (401, MISSING, None)
    assert bare.headers == {
        "content-type": "application/json",
        "content-length": str(len(MISSING)),
        "www-authenticate": 'Bearer realm="jwt"',
    }
    assert (wrong.status, wrong.body, wrong.scope) == (401, b'{"message":"failed to verify jwt"}\n', None)
    assert (unknown.status, unknown.body, unknown.scope) == (404, b'{"error_msg":"404 Route Not Found"}\n', None)


def test_what_no_route_takes_may_be_the_applications() -> None:
    rules = [{"id": "1", "plugins": {"ip-restriction": {"blacklist": ["192.0.2.9"]}}}]
    served = app({**CONFIG, "global_rules": rules}, unmatched="pass")
    found = ask(
        served, scope_of("/elsewhere"), scope_of("/private/a"), scope_of("/elsewhere", client=("192.0.2.9", 1)), scope_of("/")
    )
    assert [each.status for each in found] == [200, 401, 403, 200]
    with pytest.raises(ValueError, match="unmatched: expected refuse or pass"):
        app(unmatched="maybe")


@pytest.mark.parametrize(
    ("router", "uri", "path"),
    [
        ({"http": "radixtree_uri_with_parameter"}, "/users/:id", "/users/1"),
        ({"delete_uri_tail_slash": True}, "/users", "/users/"),
        ({"normalize_uri_like_servlet": True}, "/users", "/users;a=b"),
    ],
)
def test_routes_are_found_as_the_file_s_router_has_it(router: dict[str, Any], uri: str, path: str) -> None:
    routes = [{"id": "r", "uri": uri, "plugins": {"jwt-auth": {}}}]
    (found,) = ask(app({**CONFIG, "routes": routes, "router": router}, unmatched="pass"), scope_of(path))
    assert (found.status, found.scope) == (401, None)


def test_limits_count_and_tell() -> None:
    found = ask(app(), *(scope_of("/private/a", bearer("john")) for _ in range(3)))
    assert [each.status for each in found] == [200, 200, 429]
    assert [each.headers["x-ratelimit-remaining"] for each in found] == ["1", "0", "0"]
    assert found[0].headers["x-app"] == "yes"
    assert int(found[2].headers["retry-after"]) > 3500
    assert found[2].scope is None


def test_what_only_a_gateway_may_say_is_taken_out() -> None:
    forged = [
        (b"x-consumer-username", b"root"),
        (b"X_Credential_Identifier", b"1"),
        (b"x-consumer-role", b"a"),
        (b"x-mine", b"1"),
    ]
    (found,) = ask(app(), scope_of("/open", *forged))
    assert found.scope is not None
    assert found.scope["headers"] == [(b"host", b"app.example"), (b"user-agent", b"test"), (b"x-mine", b"1")]


def test_what_a_step_sets_stands_for_all_that_the_client_says_of_it() -> None:
    forged = [(b"x-trace", b"forged"), (b"X_Trace", b"forged too"), (b"x-mine", b"1")]
    (found,) = ask(app(with_route({"request-id": {"header_name": "X-Trace"}})), scope_of("/a", *forged))
    assert found.scope is not None
    assert [name for name, _ in found.scope["headers"]] == [b"host", b"user-agent", b"x-mine", b"x-trace"]
    assert found.scope["headers"][-1][1].decode() == found.headers["x-trace"]


def test_credentials_are_hidden_where_the_route_says_so() -> None:
    good = bearer()
    (found,) = ask(app(), scope_of("/private/a", good, (b"te", b"trailers"), (b"content-length", b"0")))
    assert found.scope is not None
    assert [name for name, _ in found.scope["headers"]] == [b"host", b"user-agent", b"te", b"content-length"]
    text = good[1].removeprefix(b"Bearer ")
    (found,) = ask(app(), scope_of("/private/a", query=b"a=1&jwt=%b&b=2" % text))
    assert found.scope is not None
    assert found.scope["query_string"] == b"a=1&b=2"
    (found,) = ask(app(), scope_of("/private/a", (b"cookie", b"a=1; jwt=%b; b=2" % text)))
    assert found.scope is not None
    assert dict(found.scope["headers"])[b"cookie"] == b"a=1; b=2"


@pytest.mark.parametrize(
    "path", ["/open/../private/a", "//open", "/private//a", "/private/./a", "/private/a/..", "", "open", "/a\0", "*"]
)
def test_a_path_that_two_sides_could_read_differently_is_refused(path: str) -> None:
    (found,) = ask(app(unmatched="pass"), scope_of(path, bearer()))
    assert (found.status, found.scope) == (400, None)


@pytest.mark.parametrize(
    ("path", "status"),
    [("/private/%2e%2e/a", 401), ("/private/ä b", 401), ("/private/a?b", 401), ("/open%", 404), ("/open/", 404), ("/OPEN", 404)],
)
def test_routes_are_found_by_the_path_that_the_application_sees(path: str, status: int) -> None:
    """Also where the client wrote it otherwise: the application never looks at that."""
    found = ask(app(), scope_of(path), scope_of(path, raw_path=b"/open"), scope_of("/private/x", raw_path=b"/private%2Fx"))
    assert [each.status for each in found] == [status, status, 401]


@pytest.mark.parametrize(
    ("root", "path", "status"),
    [
        ("/mounted", "/mounted/private/a", 401),
        ("/mounted", "/private/a", 401),
        ("/mounted/", "/private/a", 401),
        ("/mount", "/mounted/private/a", 200),
        ("/mounted", "/mounted/open", 200),
        ("/mounted/..", "/mounted/private/a", 400),
        ("\ud800", "/mounted/private/a", 400),
    ],
)
def test_a_path_is_whole_wherever_the_application_is_mounted(root: str, path: str, status: int) -> None:
    """Applications take what stands in front for the mount's path where it is there, and do without where it is not."""
    routes = [{"id": "r", "uri": "/mounted/private/*", "plugins": {"jwt-auth": {}}}]
    (found,) = ask(app({**CONFIG, "routes": routes}, unmatched="pass"), scope_of(path, root_path=root))
    assert found.status == status


@pytest.mark.parametrize(
    "spoilt",
    [
        {"headers": [(b"host", b"a"), (b"x", b"1\r\nauthorization: Bearer x")]},
        {"headers": [(b"host", b"a"), (b"x", b"1\r\n\r\nGET / HTTP/1.1")]},
        {"headers": [(b"host", b"a"), (b"host", b"b")]},
        {"headers": [(b"host", b"a"), (b"x y", b"1")]},
        {"headers": [(b"host", b"a"), (b"", b"1")]},
        {"headers": [(b"host", b"a b")]},
        {"query_string": b"a HTTP/1.1\r\nx: y"},
        {"query_string": b"a b"},
        {"method": "GET /x HTTP/1.1\r\nx: y\r\n"},
        {"method": "G T"},
        {"headers": [(b"host", b"a"), (b"content-length", b"99999999999")]},
    ],
)
def test_parts_that_are_no_lawful_request_are_refused(spoilt: dict[str, Any]) -> None:
    (found,) = ask(app(), scope_of("/open", **spoilt))
    assert found.status in (400, 413, 501, 405)
    assert found.scope is None


def test_a_request_without_host_or_client_is_served() -> None:
    found = ask(
        app(),
        scope_of("/open", headers=[]),
        scope_of("/open", client=None, server=None),
        scope_of("/open", client=("testclient", 1)),
    )
    assert [each.status for each in found] == [200, 200, 200]


def test_websockets() -> None:
    good, bad, told = ask(
        app(),
        scope_of("/private/a", bearer("john"), kind="websocket"),
        scope_of("/private/a", kind="websocket"),
        scope_of("/private/a", kind="websocket", **EXTENSION),
    )
    assert good.scope is not None
    assert good.scope["state"]["consumer"].username == "john"
    assert good.messages[0]["type"] == "websocket.accept"
    assert (b"x-ratelimit-remaining", b"1") in good.messages[0]["headers"]
    assert bad.messages == [{"type": "websocket.close", "code": 1008, "reason": ""}]
    assert (told.status, told.body) == (401, MISSING)


def test_other_scopes_pass() -> None:
    served = app()
    inner: Any = served.app

    async def lifespan() -> None:
        await served({"type": "lifespan"}, None, lambda _: asyncio.sleep(0))  # type: ignore[arg-type]

    asyncio.run(lifespan())
    assert [each["type"] for each in inner.seen] == ["lifespan"]


def test_steps_that_have_a_say_in_the_answer_have_it() -> None:
    (found,) = ask(app(), scope_of("/named"))
    assert found.scope is not None
    assert found.headers["x-request-id"] == dict(found.scope["headers"])[b"x-request-id"].decode()


def test_a_message_stays_the_application_s() -> None:
    start = {"type": "http.response.start", "status": 200, "headers": [(b"x-app", b"yes")]}

    class Frugal(Bare):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            self.seen.append(scope)
            await send(start)
            await send({"type": "http.response.body", "body": b"yes"})

    found = ask(GatewayMiddleware(Frugal(), config=CONFIG), scope_of("/named"), scope_of("/named"))
    assert [sum(name == b"x-request-id" for name, _ in each.messages[0]["headers"]) for each in found] == [1, 1]
    assert start["headers"] == [(b"x-app", b"yes")]


def test_steps_that_wait_do() -> None:
    """A delay, a password that threads judge, a signature that they do: all beside one another, on one loop."""
    slow = SIGNERS["ES512"]
    config = {
        **CONFIG,
        "routes": [
            {"id": "delay", "uri": "/delay", "plugins": {"limit-req": {"rate": 10, "burst": 5, "key": "remote_addr"}}},
            {"id": "basic", "uri": "/basic", "plugins": {"basic-auth": {}}},
            {"id": "jwt", "uri": "/jwt", "plugins": {"jwt-auth": {}}},
        ],
        "consumers": [
            {
                "username": "ann",
                "credentials": [{"id": "1", "plugins": {"basic-auth": {"username": "ann", "password": scrypt("pw")}}}],
            },
            {
                "username": "eve",
                "credentials": [
                    {
                        "id": "1",
                        "plugins": {"jwt-auth": {"key": "eve", "algorithm": "ES512", "public_key": slow.public_bytes().decode()}},
                    }
                ],
            },
        ],
    }
    del config["consumer_groups"]
    served = app(config)
    signed = slow.token(payload=b'{"key":"eve","exp":9999999999}')
    scopes = [
        *(scope_of("/delay") for _ in range(3)),
        scope_of("/basic", (b"authorization", b"Basic YW5uOnB3")),
        scope_of("/basic", (b"authorization", b"Basic YW5uOnh4")),
        scope_of("/jwt", (b"authorization", signed)),
        scope_of("/jwt", (b"authorization", signed[:-8] + b"AAAAAAAA")),
    ]

    async def all_() -> list[int]:
        found = await asyncio.gather(*(asked(served, each) for each in scopes))
        assert under_way(served) == 0
        return [each.status for each in found]

    assert asyncio.run(all_()) == [200, 200, 200, 200, 401, 200, 401]


def test_a_client_that_leaves_ends_its_wait() -> None:
    served = app(with_route({"limit-req": {"rate": 0.001, "burst": 5, "key": "remote_addr"}}))

    async def leave() -> None:
        assert (await asked(served, scope_of("/a"))).status == 200
        async with task(asked(served, scope_of("/a"))) as waiting:
            await asyncio.sleep(0)
            assert (under_way(served), waiting.done()) == (1, False)
        await asyncio.gather(waiting, return_exceptions=True)
        assert under_way(served) == 0

    asyncio.run(leave())


def test_an_application_that_raises_ends_its_request() -> None:
    class Broken(Bare):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            self.seen.append(scope)
            raise LookupError("mine")

    served = GatewayMiddleware(Broken(), config=CONFIG)

    async def one() -> None:
        with pytest.raises(LookupError, match="mine"):
            await asked(served, scope_of("/named"))
        assert under_way(served) == 0

    asyncio.run(one())


def test_a_table_is_shared_and_what_is_revoked_there_is_refused(tmp_path: Any) -> None:
    path = tmp_path / "table"
    one, two = app(table=path), app(table=str(path))
    assert [ask(each, scope_of("/private/a", bearer("john")))[0].status for each in (one, two, one)] == [200, 200, 429]
    good = bearer(jti="7")
    assert ask(two, scope_of("/private/a", good))[0].status == 200
    Revocations(Table.attach(path)).revoke(jti="7")
    assert ask(two, scope_of("/private/a", good))[0].status == 401
    assert ask(one, scope_of("/private/a", bearer(jti="8")))[0].status == 200


def test_what_the_file_revokes_is_refused() -> None:
    served = app({**CONFIG, "revocations": [{"id": "1", "jti": "7"}]})
    found = ask(served, scope_of("/private/a", bearer(jti="7")), scope_of("/private/a", bearer(jti="8")))
    assert [each.status for each in found] == [401, 200]


def test_a_config_file_is_read_and_its_path_is_that_of_the_table(tmp_path: Any) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, "shared_memory": {"path": str(tmp_path / "table")}}))
    served = GatewayMiddleware(Bare(), config=tmp_path / "config.json")
    assert ask(served, scope_of("/open"))[0].status == 200
    assert Table.attach(tmp_path / "table").slots == served.table.slots


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        (with_route({"limit-conn": {"conn": 1, "burst": 1, "default_conn_delay": 1, "key": "remote_addr"}}), "plugin limit-conn"),
        (
            with_route({"limit-count": {"count": 1, "time_window": 1, "policy": "redis", "redis_host": "127.0.0.1"}}),
            "policy: expected local",
        ),
        (
            with_route(
                {},
                consumers=[
                    {
                        "username": "u",
                        "group_id": "few",
                        "credentials": [
                            {"id": "1", "plugins": {"jwt-auth": {"key": "k", "algorithm": "RS256", "jwks_uri": "https://a/b"}}}
                        ],
                    }
                ],
            ),
            "jwks_uri: expected none",
        ),
    ],
)
def test_what_no_application_can_do_is_refused_at_the_start(config: dict[str, Any], fault: str) -> None:
    with pytest.raises(EmbeddingError, match=fault):
        app(config)


def test_a_config_with_faults_names_them() -> None:
    with pytest.raises(ConfigError, match="routes"):
        app({"routes": [{"id": "1"}]})


def test_a_body_that_a_step_would_have_to_see_is_refused() -> None:
    plugins = {"hmac-auth": {"validate_request_body": True, "signed_headers": []}}
    config = with_route(
        plugins,
        consumers=[{"username": "u", "credentials": [{"id": "1", "plugins": {"hmac-auth": {"key_id": "k", "secret_key": "s"}}}]}],
    )
    del config["consumer_groups"]
    found = ask(app(config), scope_of("/a", (b"content-length", b"5")))
    assert found[0].scope is None


def test_a_body_that_routes_would_have_to_see_is_refused() -> None:
    routes = [{"id": "r", "uri": "/form", "vars": [["post_arg_a", "==", "b"]], "plugins": {}}]
    form = [(b"content-type", b"application/x-www-form-urlencoded"), (b"content-length", b"3")]

    async def one() -> Answer:
        return await asyncio.wait_for(asked(served, scope_of("/form", *form, method="POST")), 60)

    served = app({"routes": routes})
    found = asyncio.run(one())
    assert (found.status, found.scope) == (500, None)


def test_a_password_whose_loop_has_gone_is_judged_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    plugins = {"basic-auth": {"username": "ann", "password": scrypt("pw")}}
    config = {
        "routes": [{"id": "r", "uri": "/a", "plugins": {"basic-auth": {}}}],
        "consumers": [{"username": "ann", "credentials": [{"id": "1", "plugins": plugins}]}],
    }
    served = app(config)
    good = (b"authorization", b"Basic YW5uOnB3")
    begun, ended = threading.Event(), threading.Event()
    judge = hashlib.scrypt

    def held(*parts: Any, **more: Any) -> bytes:
        begun.set()
        ended.wait(60)
        return judge(*parts, **more)

    async def leave() -> None:
        async with task(asked(served, scope_of("/a", good))):
            await asyncio.to_thread(begun.wait, 60)

    async def come() -> int:
        ended.set()
        return (await asyncio.wait_for(asked(served, scope_of("/a", good)), 60)).status

    monkeypatch.setattr(hashlib, "scrypt", held)
    asyncio.run(leave())
    assert asyncio.run(come()) == 200


def test_tokens_that_were_made_for_another_loop_do_not_matter() -> None:
    """Each test of an application has a loop of its own, and all have one middleware."""
    served = app()
    for _ in range(3):
        assert (
            ask(served, scope_of("/private/a", (b"authorization", token("jane-key", "jane-hs256-secret").encode())))[0].status
            == 200
        )
