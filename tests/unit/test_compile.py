"""Resources to snapshots, judged by what a request meets: which plugin of several wins, what is kept, what is left out."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import pytest

from fastgw import _core
from fastgw.compile import Build, Compiler
from fastgw.tokens import make

NODE = {"type": "roundrobin", "nodes": {"192.0.2.10:80": 1}}
SECRET = "a-secret-for-tests-only-0123456789"


class Change(NamedTuple):
    kind: str
    id: str
    value: dict[str, Any] | None
    created: int = 0


def route(id_: str, uri: str = "/", **fields: Any) -> Change:
    return Change("routes", id_, {"id": id_, "uri": uri, "upstream": NODE, **fields})


def limit(count: int, **fields: Any) -> dict[str, Any]:
    return {"limit-count": {"count": count, "time_window": 60, "key_type": "constant", "key": "k", **fields}}


def consumer(name: str, **fields: Any) -> list[Change]:
    conf = {"key": f"{name}-key", "secret": SECRET}
    return [
        Change("consumers", name, {"username": name, **fields}),
        Change("credentials", f"{name}/c", {"id": "c", "plugins": {"jwt-auth": conf}}),
    ]


def ask(
    build: Build, target: str = "/", host: str = "test", user: str | None = None, secret: str = SECRET
) -> tuple[int, dict[str, str], bytes]:
    """One request: its status (200 when it went upstream), the answer's headers, what the upstream saw."""
    wire = _core.Wire(build.snapshot)
    line = wire.open()
    token = "" if user is None else f"Authorization: {make({'key': f'{user}-key'}, secret.encode(), 'HS256')}\r\n"
    wire.push(line, f"GET {target} HTTP/1.1\r\nHost: {host}\r\n{token}\r\n".encode())
    ups = [i for i, side, _ in wire.lines() if side == "up"]
    seen = wire.pull(ups[0]) if ups else b""
    if ups:
        wire.push(ups[0], b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    head = wire.pull(line).split(b"\r\n\r\n")[0].decode().split("\r\n")
    return int(head[0].split()[1]), dict(field.split(": ", 1) for field in head[1:]), seen


def limit_of(build: Build, **request: Any) -> str | None:
    return ask(build, **request)[1].get("X-RateLimit-Limit")


def compiled(*changes: Change | Iterable[Change]) -> Build:
    flat = [each for change in changes for each in ([change] if isinstance(change, Change) else change)]
    build = Compiler().apply(flat)
    assert build.faults == ()
    return build


def test_exact_before_prefix_and_longer_prefix_before_shorter() -> None:
    build = compiled(
        route("all", "/*", plugins=limit(1)),
        route("prefix", "/a/*", plugins=limit(2)),
        route("exact", "/a/b", plugins=limit(3)),
        route("first", "/p", plugins=limit(4), priority=1),
        route("second", "/p", plugins=limit(5)),
    )
    found = {target: limit_of(build, target=target) for target in ("/", "/a", "/a/", "/a/bc", "/a/b", "/p")}
    assert found == {"/": "1", "/a": "1", "/a/": "2", "/a/bc": "2", "/a/b": "3", "/p": "4"}


def test_exact_host_before_wildcard_before_any() -> None:
    build = compiled(
        route("any", "/*", plugins=limit(1)),
        route("wild", "/*", host="*.example.com", plugins=limit(2)),
        route("deep", "/*", host="*.b.example.com", plugins=limit(3)),
        route("exact", "/only", host="A.example.com", plugins=limit(4)),
    )
    hosts = {
        host: limit_of(build, target="/only", host=host)
        for host in ("other", "example.com", "x.example.com", "x.B.example.com:80", "a.example.com")
    }
    assert hosts == {
        "other": "1",
        "example.com": "1",
        "x.example.com": "2",
        "x.B.example.com:80": "3",
        "a.example.com": "4",
    }
    assert limit_of(build, target="/else", host="a.example.com") == "2"  # falls through to the wildcard


def test_patterns_are_brought_to_the_form_of_requests() -> None:
    build = compiled(route("r", "/café/a b*"))
    assert ask(build, "/caf%c3%a9/./a%20b/c")[0] == 200
    assert ask(build, "/caf")[0] == 404


def test_methods_and_client_addresses_are_conditions() -> None:
    assert ask(compiled(route("r", methods=["POST"])))[0] == 404
    assert ask(compiled(route("r", methods=["GET"], remote_addr="192.0.2.0/24")))[0] == 200
    assert ask(compiled(route("r", remote_addrs=["10.0.0.0/8", "::1"])))[0] == 404
    assert ask(compiled(route("r", status=0)))[0] == 404


def test_consumer_beats_group_beats_route_beats_config_beats_service() -> None:
    group = Change("consumer_groups", "g", {"id": "g", "plugins": limit(4)})
    config = Change("plugin_configs", "p", {"id": "p", "plugins": limit(2)})
    service = Change("services", "s", {"id": "s", "plugins": limit(1), "upstream": NODE})
    links = {"plugins": {"jwt-auth": {}}, "service_id": "s"}
    assert limit_of(compiled(service, consumer("u"), route("r", **links)), user="u") == "1"
    links["plugin_config_id"] = "p"
    assert limit_of(compiled(service, config, consumer("u"), route("r", **links)), user="u") == "2"
    links["plugins"] = {"jwt-auth": {}, **limit(3)}
    assert limit_of(compiled(service, config, consumer("u"), route("r", **links)), user="u") == "3"
    changes = [service, config, group, route("r", **links)]
    assert limit_of(compiled(*changes, consumer("u", group_id="g")), user="u") == "4"
    assert limit_of(compiled(*changes, consumer("u", group_id="g", plugins=limit(5))), user="u") == "5"


def test_every_kind_of_window_is_counted() -> None:
    for kind in ("fixed", "sliding", "token-bucket"):
        build = compiled(route("r", plugins=limit(1, window_type=kind, rejected_code=429)))
        wire = _core.Wire(build.snapshot)
        line = wire.open()
        wire.push(line, b"GET / HTTP/1.1\r\nHost: t\r\n\r\n" * 2)
        wire.push(1, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        answers = wire.pull(line)
        assert [answers.count(b"HTTP/1.1 200"), answers.count(b"HTTP/1.1 429")] == [1, 1]


def test_a_disabled_plugin_of_a_higher_layer_switches_the_lower_one_off() -> None:
    service = Change("services", "s", {"id": "s", "plugins": limit(1)})
    off = {"limit-count": {"_meta": {"disable": True}}}
    assert limit_of(compiled(service, route("r", service_id="s", plugins=off))) is None


def test_global_rules_run_on_every_request() -> None:
    build = compiled(Change("global_rules", "1", {"id": "1", "plugins": {"jwt-auth": {}}}), route("r"))
    assert ask(build)[0] == 401
    assert ask(build, "/no-route")[0] == 401


def test_a_request_falls_back_to_the_anonymous_consumer() -> None:
    build = compiled(consumer("guest", plugins=limit(7)), route("r", plugins={"jwt-auth": {"anonymous_consumer": "guest"}}))
    status, headers, seen = ask(build)
    assert (status, headers["X-RateLimit-Limit"]) == (200, "7")
    assert b"X-Consumer-Username: guest\r\n" in seen
    assert b"X-Credential-Identifier" not in seen


def test_no_priority_is_before_the_stripping_of_headers() -> None:
    """What a filter is told of a header that a plugin owns is never the client's word."""
    first = {"_meta": {"priority": 2**40, "filter": [["http_x_role", "~=", "admin"]]}}
    roles = {"claims_to_headers": {"role": "X-Role"}, "anonymous_consumer": "guest"}
    build = compiled(consumer("guest"), route("r", plugins={"key-auth": first, "jwt-auth": roles}))
    for host in ("test", "test\r\nX-Role: admin"):
        assert ask(build, host=host)[0] == 401


def test_plugin_metadata_renames_headers() -> None:
    metadata = Change("plugin_metadata", "limit-count", {"id": "limit-count", "limit_header": "X-Quota"})
    assert ask(compiled(metadata, route("r", plugins=limit(9))))[1]["X-Quota"] == "9"


def test_a_bad_object_keeps_its_last_good_version() -> None:
    compiler = Compiler()
    compiler.apply([route("r", plugins=limit(1)), route("other", "/other")])
    build = compiler.apply([Change("routes", "r", {"id": "r", "uri": 5}), route("new", "/new")])
    assert [fault.id for fault in build.faults] == ["r"]
    assert limit_of(build) == "1"
    assert ask(build, "/new")[0] == ask(build, "/other")[0] == 200
    dangling = compiler.apply([route("r", service_id="nope")])
    assert [str(fault) for fault in dangling.faults] == ["routes/r: service 'nope': expected an existing one, found none"]
    assert limit_of(dangling) == "1"


def test_a_deleted_object_is_gone() -> None:
    compiler = Compiler()
    compiler.apply([route("r"), *consumer("u")])
    assert ask(compiler.apply([Change("routes", "r", None)]))[0] == 404


def test_of_two_credentials_with_one_key_the_same_serves_in_every_worker() -> None:
    twins = [*consumer("u"), Change("consumers", "a", {"username": "a"})]
    conf = {"key": "u-key", "secret": SECRET}
    twins.append(Change("credentials", "a/c", {"id": "c", "plugins": {"jwt-auth": conf}}))
    for changes in (twins, twins[::-1]):
        build = Compiler().apply([*changes, route("r", plugins={"jwt-auth": {}})])
        assert [str(fault) for fault in build.faults] == [
            "credentials/u/c: expected a key of its own, found that of credential a/c"
        ]
        assert b"X-Consumer-Username: a\r\n" in ask(build, user="u")[2]


def test_names_are_resolved_by_others_and_addresses_at_once() -> None:
    named = {"type": "roundrobin", "nodes": {"name.test:8080": 1}}
    compiler = Compiler()
    build = compiler.apply([Change("routes", "r", {"id": "r", "uri": "/", "upstream": named})])
    assert build.names == {"name.test"}
    assert ask(build)[0] == 503
    compiler.set_found("name.test", ("192.0.2.7",))
    assert ask(build)[0] == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"priority": 1 << 31},
        {"upstream": {"nodes": {"192.0.2.1:80": 1 << 31}}},
        {"upstream": {**NODE, "retries": 1 << 64}},
        {"plugins": limit(1, _meta={"priority": 1 << 31})},
    ],
)
def test_a_number_beyond_what_the_core_holds_serves(wrong: dict[str, Any]) -> None:
    """APISIX knows no bound for these."""
    build = Compiler().apply([route("large", "/large", **wrong), route("good", "/good")])
    assert build.faults == ()
    assert ask(build, "/good")[0] == 200
    assert ask(build, "/large")[0] == 200


def test_a_bad_global_rule_does_not_switch_the_others_off() -> None:
    """Nor in a worker that never saw it in order."""
    closed = Change("global_rules", "closed", {"id": "closed", "plugins": {"ip-restriction": {"blacklist": ["0.0.0.0/0"]}}}, 1)
    bad = Change("global_rules", "bad", {"id": "bad", "plugins": limit(1 << 60)}, 2)
    compiler = Compiler()
    build = compiler.apply([route("r"), bad, closed])
    assert [(fault.kind, fault.id) for fault in build.faults] == [("global_rules", "bad")]
    assert ask(build)[0] == 403
    build = compiler.apply([closed._replace(value=None), bad._replace(value={"id": "bad", "plugins": limit(7)})])
    assert build.faults == ()
    assert limit_of(build) == "7"
    assert compiler.apply([bad]).faults
    assert limit_of(compiler.build) == "7", "the last good version goes on"


def signed_by(secret: str) -> Change:
    return Change("credentials", "u/c", {"id": "c", "plugins": {"jwt-auth": {"key": "u-key", "secret": secret}}})


def test_a_reference_to_the_environment_stands_for_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTGW_TEST_SECRET", SECRET)
    guarded = route("r", plugins={"jwt-auth": {}})
    assert ask(compiled(consumer("u")[0], guarded, signed_by("$env://FASTGW_TEST_SECRET")), user="u")[0] == 200


@pytest.mark.parametrize("reference", ["$env://FASTGW_TEST_UNSET", "$secret://vault/1/path/key", "$SECRET://aws/1/x"])
def test_a_reference_that_leads_nowhere_is_no_secret_and_ends_the_one_before(reference: str) -> None:
    compiler = Compiler()
    assert ask(compiler.apply([*consumer("u"), route("r", plugins={"jwt-auth": {}})]), user="u")[0] == 200
    build = compiler.apply([signed_by(reference)])
    assert [(fault.kind, fault.id, fault.withdrawn) for fault in build.faults] == [("credentials", "u/c", True)]
    for secret in (SECRET, reference):
        assert ask(build, user="u", secret=secret)[0] == 401
    assert compiler.apply([signed_by(SECRET)]).faults == ()


def test_a_consumer_that_is_its_own_credential_ends_with_its_secret() -> None:
    own = {"username": "u", "plugins": {"jwt-auth": {"key": "u-key", "secret": SECRET}}}
    compiler = Compiler()
    assert ask(compiler.apply([Change("consumers", "u", own), route("r", plugins={"jwt-auth": {}})]), user="u")[0] == 200
    lost = {"username": "u", "plugins": {"jwt-auth": {"key": "u-key", "secret": "$env://FASTGW_TEST_UNSET"}}}
    build = compiler.apply([Change("consumers", "u", lost)])
    assert [(fault.kind, fault.id, fault.withdrawn) for fault in build.faults] == [("consumers", "u", True)]
    assert ask(build, user="u")[0] == 401


def test_a_consumers_limit_survives_a_reference_that_leads_nowhere() -> None:
    compiler = Compiler()
    assert ask(compiler.apply([*consumer("u"), route("r", plugins={"jwt-auth": {}})]), user="u")[0] == 200
    limit = {"count": 1, "time_window": 60, "rejected_msg": "$env://FASTGW_TEST_UNSET"}
    build = compiler.apply([Change("consumers", "u", {"username": "u", "plugins": {"limit-count": limit}})])
    assert [(fault.kind, fault.id, fault.withdrawn) for fault in build.faults] == [("consumers", "u", False)]
    assert ask(build, user="u")[0] == 200
