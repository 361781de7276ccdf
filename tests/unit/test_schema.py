"""Schemas and their decode: all faults, in msgspec's verdict, and never a secret in one."""

import base64
import contextlib
import json
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from fastgw.errors import ROOT, ConfigError, Fault, Path
from fastgw.plugins import jwt_auth, limit_count, limited
from fastgw.schema import KINDS, faults_of
from fastgw.schema.base import FromEnv, Nested, Schema
from fastgw.schema.decode import _info, _walk
from fastgw.schema.document import field_texts
from fastgw.schema.env import resolve_env, resolve_object
from fastgw.schema.expression import expression_faults
from fastgw.schema.formats import Endpoint, parse_address, parse_node
from fastgw.schema.settings import Settings
from fastgw.schema.upstream import Node, Upstream, nodes_of
from tests.support.certificates import certificate, key_pem


def lines(value: Any, type_: type) -> list[str]:
    return [str(fault) for fault in faults_of(value, type_)[1]]


# -- faults --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (ROOT, ""),
        (Path(("routes", 2, "plugins", "jwt-auth", "header")), "routes[2].plugins.jwt-auth.header"),
        (Path(("nodes", "127.0.0.1:80")), 'nodes["127.0.0.1:80"]'),
        (Path(("a\nb\x1b", 0)), '["a\\nb\\u001b"][0]'),
        (Path(("",)), '[""]'),
    ],
)
def test_a_path_is_one_readable_line(path: Path, text: str) -> None:
    assert str(path) == text


def test_a_config_error_has_one_line_per_fault() -> None:
    error = ConfigError("c.json", [Fault(ROOT, "empty"), Fault(Path(("a", 1)), "missing", "required")])
    assert str(error) == "c.json: empty\nc.json: a[1]: missing"
    assert error.faults[1].under(Path(("x",))).where == "x.a[1]"


# -- decode --------------------------------------------------------------------------------------------


class Inner(Nested, frozen=True, kw_only=True):
    x: Annotated[int, Meta(ge=1, le=9)]
    y: Annotated[str, Meta(min_length=1, max_length=3, pattern="^a")] = "a"


class Outer(Schema, frozen=True, kw_only=True, forbid_unknown_fields=True):
    number: Annotated[float, Meta(gt=0)] = 1
    flag: bool = False
    choice: Literal["p", "q"] = "p"
    zero: Literal[0, 1] = 0
    either: int | Literal["auto"] = "auto"
    both: dict[str, int] | tuple[Inner, ...] = ()
    inner: Inner | None = None
    names: Annotated[list[str], Meta(min_length=1, max_length=2)] = msgspec.field(default_factory=list)
    table: Annotated[dict[Annotated[str, Meta(max_length=1)], int], Meta(max_length=1)] = {}
    anything: Any = 0


scalars = st.one_of(st.booleans(), st.integers(-3, 12), st.floats(-2, 2), st.sampled_from(["", "a", "ab", "q", "auto"]))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["x", "y", "ab", "z"]), inner, max_size=3),
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*Outer.__struct_fields__, "other"]), values, max_size=4))
def test_the_walk_and_msgspec_agree(value: dict[str, Any]) -> None:
    found = list(_walk(_info(Outer), value, False))
    try:
        converted = msgspec.convert(value, Outer)
    except msgspec.ValidationError:
        assert found
        assert faults_of(value, Outer) == (None, found)
    else:
        assert found == []
        assert faults_of(value, Outer) == (converted, [])


def test_all_faults_are_found_at_once_in_the_order_of_the_data() -> None:
    value = {
        "table": {"ab": "x", "c": 1},
        "number": 0,
        "inner": {"y": "bbb", "unknown": 1},
        "flag": 1,
        "names": [],
        "either": "x",
        "chioce": "p",
        "zero": 3,
        "both": 7,
    }
    assert lines(value, Outer) == [
        "table: expected at most 1 member, found 2",
        "table.ab: expected at most 1 character, found 2",
        "table.ab: expected int, found str",
        "number: expected more than 0, found 0",
        'inner.y: expected text that matches ^a, found "bbb"',
        "inner.x: missing",
        "flag: expected bool, found int",
        "names: expected at least 1 item, found 0",
        'either: expected int or "auto", found "x"',
        'chioce: unknown key; nearest known key is "choice"',
        "zero: expected one of 0, 1, found 3",
        "both: expected dict or list, found int",
    ]


def test_faults_can_be_read_by_machines() -> None:
    faults = faults_of({"number": -1, "zero": 3, "other": 1, "inner": {}}, Outer, "body")[1]
    assert [(fault.path, fault.code, fault.expected, fault.found) for fault in faults] == [
        (("body", "number"), "above", 0, -1),
        (("body", "zero"), "enum", (0, 1), 3),
        (("body", "other"), "unknown", Outer.__struct_fields__, "other"),
        (("body", "inner", "x"), "required", None, None),
    ]


def test_null_is_never_a_value() -> None:
    assert lines({"inner": None, "anything": None}, Outer) == ["inner: expected dict, found null"]


def test_long_values_are_cut_and_values_of_the_environment_are_not_shown() -> None:
    (fault,) = faults_of({"choice": "x" * 500}, Outer)[1]
    assert len(fault.message) < 120
    (fault,) = faults_of({"choice": FromEnv("s3cr3t")}, Outer)[1]
    assert (fault.message, fault.found) == ('expected one of "p", "q"', None)


# -- objects -------------------------------------------------------------------------------------------


def test_every_field_is_described_and_every_description_has_its_field() -> None:
    def below(base: type) -> list[type]:
        return [base, *(deeper for struct in base.__subclasses__() for deeper in below(struct))]

    for struct in below(Schema):
        if struct.__module__.startswith("fastgw."):
            names = {field.encode_name for field in msgspec.structs.fields(struct)}
            assert names == set(field_texts(struct)), struct


def test_nodes_have_one_form() -> None:
    def nodes(written: Any) -> tuple[Node, ...]:
        upstream, faults = faults_of({"nodes": written}, Upstream)
        assert upstream is not None, faults
        return nodes_of(upstream)

    assert nodes({"[::1]:80": 1, "a.b": 0}) == (Node("::1", 80, 1, 0), Node("a.b", None, 0, 0))
    assert nodes([{"host": "[::1]", "weight": 2, "priority": -1, "port": 81}]) == (Node("::1", 81, 2, -1),)
    assert nodes([]) == nodes({}) == ()
    assert nodes_of(Upstream(service_name="s", discovery_type="dns")) == ()


def test_reasons_of_apisix_are_kept_where_they_do_not_follow_from_the_code() -> None:
    def reasons(kind: str, value: Any) -> list[str]:
        return [fault.apisix for fault in faults_of(value, KINDS[kind].type)[1]]

    assert reasons("upstreams", {"nodes": {"a:70000": 1}}) == ["invalid port 70000"]
    assert "IPv6 address must be enclosed" in reasons("upstreams", {"nodes": {"::1": 1}})[0]
    assert reasons("upstreams", {"nodes": {"a": 1}, "type": "chash"}) == ["missing key"]
    assert reasons("routes", {"uri": "/", "plugins": {}, "host": "a", "hosts": ["a"]}) == ["only one of host or hosts is allowed"]
    assert reasons("routes", {"uri": "/", "plugins": {}, "vars": [["a", "=", "1"]]}) == [
        "failed to validate the 'vars' expression: invalid operator '='"
    ]


@pytest.fixture(scope="module")
def certificates() -> tuple[str, str, str]:
    """A certificate, its key, and another key."""
    return *certificate(), key_pem(ec.generate_private_key(ec.SECP256R1()))


def test_a_certificate_needs_its_own_key(certificates: tuple[str, str, str]) -> None:
    cert, key, other = certificates
    ssl = KINDS["ssls"].type
    assert lines({"sni": "a.example", "cert": cert, "key": key}, ssl) == []
    assert lines({"type": "client", "cert": cert, "key": key}, ssl) == []
    assert lines({"sni": "*", "cert": cert, "key": other}, ssl) == ["key: expected the key of cert, found another"]
    pairs = {"certs": [cert, cert], "keys": [key, other]}
    assert lines({"sni": "a", "cert": cert, "key": key, **pairs}, ssl) == ["keys[1]: expected the key of certs[1], found another"]


# -- formats, expressions, environment -----------------------------------------------------------------


def test_addresses() -> None:
    assert parse_address("127.0.0.1:0") == Endpoint("127.0.0.1", 0)
    assert parse_address("[::1]:80") == Endpoint("::1", 80)
    assert parse_address("unix:/run/x") == Endpoint("", 0, "/run/x")
    for wrong in (
        "",
        ":80",
        "a",
        "a:",
        "a:b",
        "a:-1",
        "a:65536",
        "a:\uff11",
        "::1:80",
        "unix:",
        "unix:/\0",
        "[a]:1",
    ):
        with pytest.raises(ValueError):
            parse_address(wrong)


@given(st.text(max_size=20), st.sampled_from([parse_address, parse_node]))
def test_parsing_an_address_raises_nothing_but_value_errors(text: str, parse: Callable[[str], Any]) -> None:
    with contextlib.suppress(ValueError):
        parse(text)


@pytest.mark.parametrize(
    "expression",
    [
        [],
        [["arg_a", "==", "1"]],
        [["arg_a", "!", "IN", ["1"]], ["a", "has", 1], ["a", "b"]],
        ["or", ["a", "==", None], ["b", ">", 1], ["!AND", ["c", "~*", "^x"], ["d", "ipmatch", "::1"]]],
        [[["a", "==", 1], ["b", "==", 2]]],
    ],
)
def test_lawful_expressions(expression: Any) -> None:
    assert expression_faults(expression) == []


@given(st.recursive(st.sampled_from(["OR", "a", "==", "!", "~~", "(", 1, None]), lambda inner: st.lists(inner)))
def test_any_expression_gets_a_verdict(expression: Any) -> None:
    assert all(isinstance(fault, Fault) for fault in expression_faults(expression))


def test_deep_expressions_are_refused() -> None:
    expression: list[Any] = ["a", "==", "1"]
    for _ in range(20):
        expression = ["OR", expression, ["a", "==", "1"]]
    assert [fault.message for fault in expression_faults([expression])] == ["expected at most 256 rules, nested at most 16 deep"]


def test_references_to_the_environment() -> None:
    environ = {"A": "a", "J": '{"x": {"y": "deep", "n": 1}}', "E": "", "BAD": "\udcff"}
    value = {"k": ["$env://A", "$ENV://J/x/y", "text $env://A", 1, None]}
    assert resolve_env(value, environ) == ({"k": ["a", "deep", "text $env://A", 1, None]}, [])
    for wrong in (
        "$env://NO",
        "$env://",
        "$env://E",
        "$env://J/x/n",
        "$env://J/q",
        "$env://A/x",
        "$env://BAD",
    ):
        unchanged, faults = resolve_env([wrong], environ)
        assert unchanged == [wrong]
        assert [(fault.path, fault.code) for fault in faults] == [((0,), "unresolved")]
    assert "not fetched yet" in resolve_env("$secret://vault/1/x", environ)[1][0].message


def test_references_count_in_plugins_and_keys_only() -> None:
    reference = "$env://A"
    route = {
        "uri": reference,
        "plugins": {"p": {"k": reference}},
        "upstream": {"tls": {"client_key": reference}},
    }
    assert resolve_object("routes", route, {"A": "a"})[0] == {
        "uri": reference,
        "plugins": {"p": {"k": "a"}},
        "upstream": {"tls": {"client_key": "a"}},
    }
    assert resolve_object("plugin_metadata", {"id": "p", "x": reference}, {"A": "a"})[0]["x"] == "a"


# -- plugins' configurations ---------------------------------------------------------------------------


def public_text(key: Any) -> str:
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    text: bytes = key.public_key().public_bytes(*form)
    return text.decode()


def test_a_shared_secret_may_not_be_public_text() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    pem = public_text(key)
    ssh = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    for secret in (pem, f"\n {pem}", ssh):
        for conf in (
            {"secret": secret},
            {"secret": base64.b64encode(secret.encode()).decode(), "base64_secret": True},
        ):
            (fault,) = faults_of({"key": "k", **conf}, jwt_auth.ConsumerConf)[1]
            assert fault.path == ("secret",)
            assert conf["secret"] not in fault.message


def test_curves_are_those_of_the_algorithm() -> None:
    curves = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
    for name, curve in curves.items():
        text = public_text(ec.generate_private_key(curve))
        for algorithm in curves:
            found = lines({"key": "k", "algorithm": algorithm, "public_key": text}, jwt_auth.ConsumerConf)
            assert (found == []) == (algorithm == name)


def test_defaults_are_those_of_apisix() -> None:
    jwt, _ = faults_of({}, jwt_auth.Conf)
    assert jwt is not None
    assert (jwt.header, jwt.query, jwt.cookie, jwt.key_claim_name, jwt.realm) == (
        "authorization",
        "jwt",
        "jwt",
        "key",
        "jwt",
    )
    limit, _ = faults_of({"count": 1, "time_window": 30, "unknown": 1}, limit_count.Conf)
    assert limit is not None
    assert (limit.rejected_code, limit.key, limit.key_type, limit.policy, limit.window_type) == (
        503,
        "remote_addr",
        "var",
        "local",
        "fixed",
    )
    assert limit.meta == limited.LimitMeta()


def test_meta_is_strict_and_configurations_are_not() -> None:
    assert lines({"unknown": 1, "_meta": {"priority": 1}}, jwt_auth.Conf) == []
    assert lines({"_meta": {"prioriti": 1}}, jwt_auth.Conf) == ['_meta.prioriti: unknown key; nearest known key is "priority"']


def test_defaults_of_settings_are_lawful() -> None:
    written = json.loads(msgspec.json.encode(msgspec.to_builtins(Settings())))

    def given_only(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: given_only(item) for name, item in value.items() if item is not None}
        return [given_only(item) for item in value] if isinstance(value, list) else value

    assert faults_of(given_only(written), Settings) == (Settings(), [])
