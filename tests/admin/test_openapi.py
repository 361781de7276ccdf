"""The OpenAPI document: that it is one, that it says what is there, and that what is there does as it says.

The last is put to a real gateway by schemathesis, from a fixed seed. FASTGW_TEST_EXAMPLES says how many requests it makes up for
each operation.
"""

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate

from fastgw.admin import api, openapi
from fastgw.admin.examples import EXAMPLES, IDS
from fastgw.admin.kinds import RESOURCES
from fastgw.admin.resource import Resource
from fastgw.plugins import order
from fastgw.schema.kinds import KINDS, Kind
from fastgw.schema.upstream import Upstream
from tests.support.certificates import certificate
from tests.support.gateway import ADMIN_KEY, Gateway

from .conftest import VIEWER, Admin

SCHEMATHESIS = importlib.util.find_spec("schemathesis")
EXAMPLES_EACH = os.environ.get("FASTGW_TEST_EXAMPLES", "2")
SEED = os.environ.get("FASTGW_TEST_SEED", "1")
VIEWER_KEY = "a-viewer-key-for-tests-only"
# What concerns several members is in no schema, so a value that fits one may be refused; and as in APISIX, a method that
# a place has not got is 404 and not 405.
NOT_PROMISED = "positive_data_acceptance,unsupported_method"
METHODS = ("GET", "PUT", "POST", "PATCH", "DELETE")


@pytest.fixture(scope="module")
def document(admin: Admin) -> Any:
    answer = admin.call("GET", "/openapi.json")
    assert answer.status == 200
    return answer.body


def operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


# -- the document itself -------------------------------------------------------------------------------


def test_it_is_an_openapi_document(document: Any) -> None:
    assert document["openapi"] == "3.1.0"
    validate(document)


def test_it_needs_a_key_and_a_viewer_may_have_it(admin: Admin, document: Any) -> None:
    assert admin.call("GET", "/openapi.json", key=None).status == 401
    assert admin.call("GET", "/openapi.json", key=VIEWER).body == document
    for method, path in (("PUT", "/openapi.json"), ("GET", "/openapi.json/x")):
        assert admin.call(method, path, {}).status == 404


def test_the_command_line_prints_the_same(document: Any) -> None:
    command = [sys.executable, "-m", "fastgw", "schema", "--openapi"]
    printed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert json.loads(printed) == document


def test_operations_can_be_told_apart_and_found(document: Any) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids)) > 90
    assert all(re.fullmatch(r"[a-z][A-Za-z]+", id) for id in ids)
    tags = [tag["name"] for tag in document["tags"]]
    assert {tag for _, _, operation in operations(document) for tag in operation["tags"]} == set(tags)


def test_every_schema_is_used(document: Any) -> None:
    used = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert used == document["components"]["schemas"].keys()


def test_secrets_are_marked_where_they_are_sent_and_optional_where_they_are_answered(document: Any) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["key-auth.consumer"]["properties"]["key"]["writeOnly"] is True
    assert schemas["key-auth.consumer"]["required"] == ["key"]
    assert schemas["Ssl"]["properties"]["key"]["writeOnly"] is schemas["Ssl"]["properties"]["keys"]["items"]["writeOnly"] is True
    assert schemas["key-auth.consumer-Output"]["required"] == []
    assert "writeOnly" not in json.dumps({name: each for name, each in schemas.items() if name.endswith("-Output")})


def test_times_are_the_gateways(document: Any) -> None:
    schemas = document["components"]["schemas"]
    assert "create_time" not in schemas["Route"]["properties"]
    assert "create_time" in schemas["Route-Output"]["properties"]


# -- against the gateway's own tables ------------------------------------------------------------------


def filled(path: str, operation: Any) -> str:
    """The path with the examples of its parameters."""
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", parameter.get("example", parameter["schema"].get("enum", ["1"])[0]))
    query = "&".join(
        f"{each['name']}={each.get('example', each['schema'].get('const'))}"
        for each in operation.get("parameters", ())
        if each["in"] == "query" and "required" in each
    )
    return path.removeprefix("/apisix/admin") + (f"?{query}" if query else "")


ABSENT = re.compile(
    r"not found|Unsupported resource type: .*|not supported `\w+` method for .*|please use PUT method .*"
    r"|(?:missing|no) [\w ]+ id|wrong [\w ]+ id, do not need it|missing secret type"
)
"""What is said where a method is not there at all, or only with an id in the path, or without."""


def test_what_it_tells_of_is_there_and_nothing_else_is(admin: Admin, document: Any) -> None:
    for path, methods in document["paths"].items():
        target = filled(path, next(iter(methods.values())))
        for method in METHODS:
            body = {"PUT": {"id": "an-id"}, "POST": {}, "PATCH": {}}.get(method)
            answer = admin.call(method, target, body)
            absent = answer.status >= 400 and ABSENT.fullmatch(answer.body.get("error_msg", "")) is not None
            assert absent == (method.lower() not in methods), f"{method} {target}: {answer}"


def test_every_place_of_the_api_is_in_it(document: Any) -> None:
    told = {path.split("/")[3] for path in document["paths"] if path.count("/") > 2}
    assert told == {*api.PLACES, "configs", "explain", "audit", "limits", "stats"} - {"credentials"}
    assert {f"/apisix/admin/{kind}" for kind in RESOURCES if kind != "credentials"} < document["paths"].keys()


def test_a_new_plugin_is_in_it_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    class Another(type(order.get("key-auth"))):  # type: ignore[misc]
        name = "another"

    monkeypatch.setitem(order._BY_NAME, "another", Another())
    made = openapi.document()
    schemas = made["components"]["schemas"]
    assert schemas["Route"]["properties"]["plugins"]["properties"]["another"]["anyOf"][0] == {
        "$ref": "#/components/schemas/another"
    }
    of_consumers = schemas["Consumer"]["properties"]["plugins"]["properties"]["another"]
    assert of_consumers["anyOf"][0] == {"$ref": "#/components/schemas/another.consumer"}
    validate(json.loads(json.dumps(made)))


def test_a_new_kind_is_in_it_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "stars", Kind("stars", "star", Upstream))
    monkeypatch.setitem(RESOURCES, "stars", Resource("stars", "star", refuses=frozenset({"PATCH"})))
    made = openapi.document()
    assert made["paths"]["/apisix/admin/stars"].keys() == {"get", "put", "post"}
    assert made["paths"]["/apisix/admin/stars/{id}"].keys() == {"get", "put", "delete"}
    validate(json.loads(json.dumps(made)))


# -- against a gateway ---------------------------------------------------------------------------------


def objects() -> dict[str, list[Any]]:
    """Every example, in a config file: so it is there for all requests, whatever those before have deleted."""
    found = {
        kind: [{**example, KINDS[kind].id_field: IDS.get(kind, "1")}]
        for kind, example in EXAMPLES.items()
        if kind != "credentials"
    }
    found["secrets"][0]["id"] = "vault/1"
    found["consumers"][0]["credentials"] = [{**EXAMPLES["credentials"], "id": "1"}]
    cert, key = certificate("a.test")
    return {**found, "ssls": [{"id": "1", "sni": "a.test", "cert": cert, "key": key}]}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    # Wrong keys are among the requests; none of them is to make the others wait.
    settings = {"wrong_keys": {"count": 1000, "total": 100_000, "window": 0.1}, "viewer_key": VIEWER_KEY}
    with Gateway(tmp_path_factory.mktemp("openapi"), {**objects(), "admin": settings}) as started:
        yield started


@pytest.mark.skipif(SCHEMATHESIS is None, reason="schemathesis needs Python 3.11")
@pytest.mark.timeout(3600 if EXAMPLES_EACH != "2" else 300)
@pytest.mark.parametrize(
    ("key", "arguments", "least"),
    [
        pytest.param(ADMIN_KEY, ["--phases", "examples,fuzzing", "--max-examples", EXAMPLES_EACH], 95, id="all"),
        pytest.param(ADMIN_KEY, ["--phases", "coverage", "--include-method", "GET"], 33, id="parameters"),
        pytest.param(VIEWER_KEY, ["--phases", "examples", "--include-method", "GET"], 28, id="viewer"),
    ],
)
def test_it_does_as_the_document_says(gateway: Gateway, tmp_path: Path, key: str, arguments: list[str], least: int) -> None:
    """No 5xx, no status and no content type that is not told of, bodies as their schemas have them, bad requests refused."""
    command = [
        *(str(Path(sys.executable).with_name("schemathesis")), "run", f"http://{gateway.admin}/apisix/admin/openapi.json"),
        *("--header", f"X-API-KEY: {key}", "--seed", SEED, "--checks", "all", "--exclude-checks", NOT_PROMISED),
        *("--continue-on-failure", "--warnings", "off", "--no-color", *arguments),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    tested = re.search(r"Tested: (\d+)", done.stdout)
    assert tested is not None, done.stdout
    assert int(tested[1]) >= least, done.stdout
    assert "Traceback" not in gateway.log()
