"""Lists of plugins, JSON Schemas, and the validation of a value: `plugins`, `schema`, `schema/validate`.

Every schema is held to JSON Schema's own rules, and to the gateway's verdict over the corpus of configuration files.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from fastgw.errors import Fault
from fastgw.plugins import order
from fastgw.schema.decode import faults_of
from fastgw.schema.kinds import KINDS
from fastgw.schema.parse import SUFFIXES, parse

from .conftest import VIEWER, Admin

CORPUS = Path(__file__).parents[1] / "corpus" / "config"
NAMES = {kind.singular.replace(" ", "_"): kind.name for kind in KINDS.values()}


def schema_of(admin: Admin, path: str) -> Any:
    answer = admin.call("GET", path)
    assert answer.status == 200, answer.body
    assert answer.headers["X-API-VERSION"] == "v3"
    jsonschema.Draft202012Validator.check_schema(answer.body)
    assert "$ref" not in str(answer.body), "it stands alone"
    return answer.body


# -- plugins -------------------------------------------------------------------------------------------


def test_the_list_of_plugins_is_by_priority(admin: Admin) -> None:
    answer = admin.call("GET", "/plugins/list")
    assert answer.status == 200
    assert answer.headers["X-API-VERSION"] is None
    assert answer.body == sorted(
        (each.name for each in order.SHIPPED), key=lambda name: -(order.get(name) or order.SHIPPED[0]).priority
    )
    assert admin.call("GET", "/plugins/list?subsystem=http").body == answer.body
    assert admin.call("GET", "/plugins/list?subsystem=stream").body == []
    refused = admin.call("GET", "/plugins/list?subsystem=x")
    assert (refused.status, refused.body) == (400, "invalid subsystem passed")


@pytest.mark.parametrize("plugin", order.SHIPPED, ids=lambda plugin: plugin.name)
def test_schemas_of_a_plugin(admin: Admin, plugin: Any) -> None:
    schema = schema_of(admin, f"/plugins/{plugin.name}")
    assert schema["type"] == "object"
    assert {"disable", "priority", "filter", "error_response"} <= schema["properties"]["_meta"]["properties"].keys()
    assert schema["description"].startswith(plugin.name), "it is this plugin's, not one's that has a Struct of that name too"
    assert schema_of(admin, f"/schema/plugins/{plugin.name}") == schema
    everything = admin.call("GET", "/plugins?all=true").body[plugin.name]
    assert everything["schema"] == schema
    assert (everything["version"], everything["priority"]) == (plugin.version, plugin.priority)
    assert (everything.get("type") == "auth") == (plugin.kind == "auth")
    assert ("metadata_schema" in everything) == (plugin.metadata_conf is not None)
    of_consumer = admin.call("GET", f"/plugins/{plugin.name}?schema_type=consumer")
    if plugin.consumer_conf is None:
        assert (of_consumer.status, of_consumer.body) == (400, {"error_msg": "not found schema"})
    else:
        assert of_consumer.body == everything["consumer_schema"] != schema


def test_apisix_schema_of_jwt_auth_has_nothing_that_ours_lacks(admin: Admin) -> None:
    ours = schema_of(admin, "/plugins/jwt-auth")
    assert ours["$comment"] == "this is a mark for our injected plugin schema"
    for name, default in (("header", "authorization"), ("query", "jwt"), ("cookie", "jwt"), ("hide_credentials", False)):
        assert ours["properties"][name]["default"] == default


def test_a_secret_is_marked(admin: Admin) -> None:
    schema = admin.call("GET", "/plugins/jwt-auth?schema_type=consumer").body
    assert schema["properties"]["secret"]["writeOnly"] is True


def test_reload_is_put_and_done(admin: Admin) -> None:
    done = admin.call("PUT", "/plugins/reload")
    assert (done.status, done.body, done.headers["X-API-VERSION"]) == (200, "done", None)
    assert done.headers["Content-Type"] == "text/plain"
    for method in ("GET", "POST", "PATCH", "DELETE"):
        answer = admin.call(method, "/plugins/reload")
        message = f"please use PUT method to reload the plugins, {method} method is not allowed."
        assert (answer.status, answer.body) == (405, {"error_msg": message})
    assert admin.call("PUT", "/plugins/reload", key=VIEWER).status == 403


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/plugins/nope", 404, "plugin not found in subsystem http"),
        ("GET", "/plugins", 404, "plugin not found in subsystem http"),
        ("GET", "/plugins/jwt-auth?subsystem=stream", 404, "plugin not found in subsystem stream"),
        ("GET", "/plugins/jwt-auth?subsystem=x", 400, "unsupported subsystem: x"),
        ("GET", "/plugins/jwt-auth/more", 404, "not found"),
        ("POST", "/plugins/list", 404, "not found"),
        ("GET", "/schema/nope", 400, "not found schema: nope"),
        ("GET", "/schema", 400, "not found schema: "),
        ("GET", "/schema/routes", 400, "not found schema: routes"),
        ("GET", "/schema/plugins/nope", 404, "plugin not found in subsystem http"),
        ("POST", "/schema/route", 404, "not found"),
        ("GET", "/schema/validate/routes", 404, "not found"),
    ],
)
def test_refusal(admin: Admin, method: str, path: str, status: int, message: str) -> None:
    answer = admin.call(method, path)
    assert (answer.status, answer.body) == (status, {"error_msg": message})


# -- schemas of objects --------------------------------------------------------------------------------


def objects(name: str) -> Iterator[Any]:
    """Every object of a kind in the corpus, as it stands there."""
    for path in sorted(CORPUS.rglob("*")):
        if path.suffix not in SUFFIXES:
            continue
        data, _ = parse(path.read_bytes(), path.suffix)
        for kind, values in data.items() if isinstance(data, dict) else ():
            for value in values if isinstance(values, list) else ():
                if kind == "consumers" and isinstance(value, dict):
                    credentials = value.pop("credentials", [])
                    if name == "credentials" and isinstance(credentials, list):
                        yield from credentials
                if kind == name:
                    yield value


def told(value: Any, type_: Any, faults: list[Fault]) -> bool:
    """Whether JSON Schema can tell what is wrong: all that lies in the types, and members that are never taken."""
    try:
        msgspec.convert(value, type_)
    except msgspec.ValidationError:
        return True
    return any(fault.code == "unique" or fault.message.startswith("not supported; ") for fault in faults)


def held_to_the_gateway(schema: Any, value: Any, type_: Any) -> int:
    """The schema's verdict against the gateway's; 1 where it was a refusal that both tell."""
    refused = not jsonschema.Draft202012Validator(schema).is_valid(value)
    faults = faults_of(value, type_)[1]
    assert faults or not refused, f"the gateway takes {value!r}"
    assert refused or not told(value, type_, faults), f"the schema takes {value!r}: {faults}"
    return int(refused)


@pytest.mark.parametrize("name", NAMES)
def test_schema_of_a_kind(admin: Admin, name: str) -> None:
    schema, kind = schema_of(admin, f"/schema/{name}"), KINDS[NAMES[name]]
    for value in objects(kind.name):
        if isinstance(value, dict):
            held_to_the_gateway(schema, value, kind.type_of(value))


def test_the_corpus_says_something(admin: Admin) -> None:
    schema = schema_of(admin, "/schema/route")
    assert sum(held_to_the_gateway(schema, value, KINDS["routes"].type) for value in objects("routes")) > 10


@pytest.mark.parametrize("side", ["routes", "credentials"])
def test_plugin_schemas_over_the_corpus(admin: Admin, side: str) -> None:
    refused = 0
    for value in objects(side):
        confs = value.get("plugins") if isinstance(value, dict) else None
        for name, conf in confs.items() if isinstance(confs, dict) else ():
            plugin = order.get(name)
            type_ = plugin and (plugin.conf if side == "routes" else plugin.consumer_conf)
            if type_ is None or not isinstance(conf, dict):
                continue
            query = "" if side == "routes" else "?schema_type=consumer"
            schema = admin.call("GET", f"/plugins/{name}{query}").body
            refused += held_to_the_gateway(schema, conf, type_)
    assert refused > 5


# -- schema/validate -----------------------------------------------------------------------------------

UPSTREAM = {"type": "roundrobin", "nodes": {"127.0.0.1:8088": 1}}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("routes", {"uri": "/x", "upstream": UPSTREAM}),  # C19
        ("routes", {"uri": "/x", "plugins": {"no-such": {}, "limit-count": {}}}),
        ("routes", {"uri": "/x", "upstream_id": "nowhere"}),
        ("upstreams", {**UPSTREAM, "tls": {"client_cert": "c", "client_key": "$env://FASTGW_TEST_UNSET"}}),
        ("secrets", {"id": "aws/1", "access_key_id": "a", "secret_access_key": "s"}),
    ],
)
def test_good_values(admin: Admin, kind: str, body: Any) -> None:
    answer = admin.call("POST", f"/schema/validate/{kind}", body)
    assert (answer.status, answer.body, answer.headers["X-API-VERSION"]) == (200, "", None)


@pytest.mark.parametrize(
    ("kind", "body", "status", "message"),
    [
        (
            "routes",
            {"uri": 1, "upstream": UPSTREAM},
            400,
            'property "uri" validation failed: wrong type: expected string, got number',
        ),  # C20
        ("routes", {}, 400, "allOf 1 failed: value should match only one schema, but matches none"),
        ("routes", {"uri": "/x", "plugins": {}, "foo": 1}, 400, "additional properties forbidden, found foo"),
        ("consumers", {}, 400, 'property "username" is required'),
        ("secrets", {"id": "aws/1"}, 400, 'property "access_key_id" is required'),
        ("routes", [], 400, "wrong type: expected object, got array"),
        ("routes", None, 400, "wrong type: expected object, got nil"),
        ("nope", {}, 404, "Unsupported resource type: nope"),
    ],
)
def test_bad_values(admin: Admin, kind: str, body: Any, status: int, message: str) -> None:
    answer = admin.call("POST", f"/schema/validate/{kind}", body)
    assert (answer.status, answer.body, answer.headers["X-API-VERSION"]) == (status, {"error_msg": message}, None)


def test_validation_stores_nothing_and_repeats_no_secret(admin: Admin) -> None:
    admin.call("POST", "/schema/validate/routes", {"id": "v", "uri": "/x", "upstream": UPSTREAM})
    assert admin.call("GET", "/routes/v").status == 404
    answer = admin.call("POST", "/schema/validate/ssls", {"sni": "a", "cert": "c" * 200, "key": "k" * 70000})
    assert "kkk" not in str(answer.body)
