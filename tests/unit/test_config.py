"""The configuration file: the corpus of bad files, the good ones, and no other error than ConfigError."""

import copy
import json
import re
from pathlib import Path as FilePath
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastgw import config
from fastgw.errors import ConfigError
from fastgw.schema.document import OBJECT_LISTS, Document
from fastgw.schema.settings import Settings

ROOT = FilePath(__file__).parents[2]
CORPUS = ROOT / "tests" / "corpus" / "config"
BAD = sorted(path.name.removesuffix(".expect") for path in CORPUS.glob("*.expect"))
GOOD = sorted(path.name for path in (CORPUS / "good").iterdir())
SECRET = "c2VjcmV0"  # stands as a secret in good/full.json


def verdict(raw: bytes, suffix: str, environ: dict[str, str] | None = None) -> ConfigError | None:
    try:
        config.loads(raw, suffix, "c", environ or {})
    except ConfigError as error:
        return error
    return None


def faults(data: Any, environ: dict[str, str] | None = None) -> list[str]:
    error = verdict(json.dumps(data).encode(), ".json", environ)
    return [str(fault) for fault in error.faults] if error else []


def one_line_each(error: ConfigError | None) -> bool:
    return error is None or 0 < len(error.faults) == len(str(error).splitlines())


@pytest.mark.parametrize("name", BAD)
def test_bad_files_say_exactly_this(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CORPUS)
    with pytest.raises(ConfigError) as caught:
        config.load(name, {})
    assert str(caught.value) + "\n" == (CORPUS / f"{name}.expect").read_text()


def test_every_file_of_the_corpus_has_its_lines() -> None:
    files = {path.name for path in CORPUS.iterdir() if path.is_file() and path.suffix not in (".expect", ".md")}
    assert files == set(BAD)
    assert len(files) >= 45


@pytest.mark.parametrize("name", GOOD)
def test_good_files_load(name: str) -> None:
    loaded = config.load(CORPUS / "good" / name, {})
    assert isinstance(loaded.settings, Settings)


def test_files_that_cannot_be_read(tmp_path: FilePath) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file or directory"):
        config.load(tmp_path / "none.json")
    (tmp_path / "dir.json").mkdir()
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        config.load(tmp_path / "dir.json")


# -- what is read --------------------------------------------------------------------------------------


def test_the_shipped_file_is_the_guide() -> None:
    loaded = config.load(ROOT / "config.json", {})
    assert loaded.warnings == []
    assert loaded.settings.echo == "127.0.0.1:1980"
    assert loaded.settings.admin.key is None
    limit = {"time_window": 30, "rejected_code": 429}
    assert loaded.objects == {
        ("consumers", "johndoe"): {
            "username": "johndoe",
            "labels": {"custom_id": "john-doe-junior"},
            "plugins": {"limit-count": {"count": 1, **limit}},
        },
        ("credentials", "johndoe/cred-john-jwt-auth"): {
            "id": "cred-john-jwt-auth",
            "plugins": {"jwt-auth": {"key": "john-key", "secret": "john-hs256-secret"}},
        },
        ("consumers", "janedoe"): {
            "username": "janedoe",
            "labels": {"custom_id": "jane-doe-senior"},
            "plugins": {"limit-count": {"count": 2, **limit}},
        },
        ("credentials", "janedoe/cred-jane-jwt-auth"): {
            "id": "cred-jane-jwt-auth",
            "plugins": {"jwt-auth": {"key": "jane-key", "secret": "jane-hs256-secret"}},
        },
        ("routes", "jwt-auth-route"): {
            "id": "jwt-auth-route",
            "uri": "/anything",
            "plugins": {"jwt-auth": {}},
            "upstream": {"type": "roundrobin", "nodes": {"127.0.0.1:1980": 1}},
        },
    }


def test_the_three_syntaxes_say_the_same() -> None:
    as_json = b"""{"workers": 2, "routes": [{"id": "a", "uri": "/a", "plugins": {"jwt-auth": {}},
        "upstream": {"nodes": {"127.0.0.1:1980": 1}}}]}"""
    as_yaml = b"""
        workers: 2
        routes:
        - {id: a, uri: /a, plugins: {jwt-auth: {}}, upstream: {nodes: {127.0.0.1:1980: 1}}}
        """
    as_toml = config.load(CORPUS / "good" / "tables.toml", {})
    assert config.loads(as_json, ".json", "c", {}) == as_toml
    assert config.loads(as_yaml, ".yaml", "c", {}) == as_toml


def test_yaml_has_the_texts_of_json() -> None:
    objects = config.load(CORPUS / "good" / "anchors.yaml", {}).objects
    assert objects["routes", "a"]["desc"] == "12:30"
    assert objects["routes", "a"]["labels"] == {"country": "no"}
    assert objects["routes", "b"]["desc"] == "2024-01-01"
    assert objects["routes", "b"]["upstream"] == objects["routes", "c"]["upstream"]


def test_whole_numbers_as_ids_become_texts() -> None:
    assert ("routes", "1") in config.load(CORPUS / "good" / "full.json", {}).objects


def test_faults_of_different_kinds_come_in_the_order_of_the_file() -> None:
    data = {
        "routes": [{"id": "a", "uri": "/a", "upstream_id": "no", "zz": 1}],
        "workers": 0,
        "limits": {"headers": 1},
    }
    found = [line.split(":")[0] for line in faults(data)]
    assert found == ["routes[0].upstream_id", "routes[0].zz", "workers", "limits.headers"]


# -- the environment -----------------------------------------------------------------------------------


def credential(conf: dict[str, Any]) -> dict[str, Any]:
    return {"consumers": [{"username": "john", "credentials": [{"id": "c", "plugins": {"jwt-auth": conf}}]}]}


def test_an_unresolved_credential_is_left_to_be_dropped() -> None:
    loaded = config.load(CORPUS / "good" / "unresolved-credential.json", {})
    (warning,) = loaded.warnings
    assert str(warning) == (
        "consumers[0].credentials[0].plugins.jwt-auth.secret: "
        'environment variable "FASTGW_TEST_UNSET" is not set; the credential is not in use'
    )


def test_a_credential_is_judged_by_what_the_environment_holds_and_stored_as_written() -> None:
    data = credential({"key": "k", "secret": "$env://S", "base64_secret": True})
    assert (
        config.loads(json.dumps(data).encode(), ".json", "c", {"S": "c2VjcmV0"}).objects["credentials", "john/c"]["plugins"][
            "jwt-auth"
        ]["secret"]
        == "$env://S"
    )
    (line,) = faults(data, {"S": "not base64"})
    assert line.endswith("secret: expected base64, as base64_secret is true")


def test_values_of_the_environment_are_never_shown() -> None:
    data = {"data_dir": "$env://V", "echo": "$env://V", "access_log": {"format": "$env://V"}}
    data |= {"routes": [{"id": "r", "uri": "/", "plugins": {"jwt-auth": {"cookie": "$env://V", "realm": "$env://V"}}}]}
    found = faults(data, {"V": 's3cr3t "x'})
    assert len(found) == 4
    assert "s3cr3t" not in "".join(found)


def test_equal_keys_are_found_behind_references() -> None:
    data = credential({"key": "$env://K", "secret": "s"})
    data["consumers"].append({"username": "jane", "plugins": {"jwt-auth": {"key": "k", "secret": "s"}}})
    (line,) = faults(data, {"K": "k"})
    assert line.startswith("consumers[1].plugins.jwt-auth.key: the same key as at consumers[0].credentials[0]")


OF_FILE, OF_ENV, OF_OTHER = "key-of-the-file-1", "key-of-the-environment", "key-of-another-name"


def admin_settings(admin: dict[str, Any], environ: dict[str, str] | None = None) -> Any:
    return config.loads(json.dumps({"admin": admin}).encode(), ".json", "c", environ or {}).settings.admin


@pytest.mark.parametrize(
    ("admin", "environ", "key"),
    [
        ({}, {}, None),
        ({"key": OF_FILE}, {}, OF_FILE),
        ({"key": OF_FILE}, {"FASTGW_ADMIN_KEY": OF_ENV}, OF_ENV),
        ({"key": "$env://FASTGW_ADMIN_KEY"}, {"FASTGW_ADMIN_KEY": OF_ENV}, OF_ENV),
        ({"key": "$env://FASTGW_ADMIN_KEY"}, {}, None),
        ({"key": "$env://OTHER"}, {"OTHER": OF_OTHER}, OF_OTHER),
    ],
)
def test_the_admin_key(admin: dict[str, Any], environ: dict[str, str], key: str | None) -> None:
    assert admin_settings(admin, environ).key == key


def test_admin_keys_have_names_and_roles() -> None:
    given = [
        {"name": "ops", "key": "$env://OPS", "role": "admin"},
        {"name": "viewer", "key": OF_FILE, "role": "viewer"},
    ]
    keys = admin_settings({"keys": given}, {"OPS": OF_OTHER}).keys
    assert [(each.name, each.key, each.role) for each in keys] == [("ops", OF_OTHER, "admin"), ("viewer", OF_FILE, "viewer")]


@pytest.mark.parametrize(
    ("admin", "fault"),
    [
        ({"key": ""}, "admin.key: expected at least 16 characters"),
        ({"key": "fifteen-letters"}, "admin.key: expected at least 16 characters"),
        ({"viewer_key": "short"}, "admin.viewer_key: expected at least 16 characters"),
        ({"key": "a key with some spaces"}, "admin.key: expected printable ASCII without spaces"),
        ({"key": OF_FILE, "viewer_key": OF_FILE}, "admin.viewer_key: the same key as key; expected another"),
        ({"key": OF_FILE, "keys": [("admin", OF_ENV, "admin")]}, "admin.keys[0].name: the same name as that of key"),
        ({"keys": [("a", OF_ENV, "admin"), ("a", OF_FILE, "viewer")]}, "admin.keys[1].name: the same name as that of keys[0]"),
        ({"keys": [("a", OF_ENV, "admin"), ("b", OF_ENV, "viewer")]}, "admin.keys[1].key: the same key as keys[0]"),
        ({"keys": [("admin", OF_ENV, "viewer")]}, "admin.keys[0].name: expected another name for a key of role viewer"),
        ({"keys": [("a", "short", "admin")]}, "admin.keys[0].key: expected at least 16 characters"),
        ({"keys": [("a b", OF_ENV, "admin")]}, "admin.keys[0].name: expected letters, digits"),
        ({"keys": [("a", OF_ENV, "root")]}, 'admin.keys[0].role: expected one of "admin", "viewer", found "root"'),
        ({"keys": [("a", "$env://UNSET", "admin")]}, 'admin.keys[0].key: environment variable "UNSET" is not set'),
        ({"socket_mode": "0888"}, "admin.socket_mode: expected an octal file mode such as 0600"),
    ],
)
def test_keys_that_will_not_do(admin: dict[str, Any], fault: str) -> None:
    if "keys" in admin:
        admin = {**admin, "keys": [dict(zip(("name", "key", "role"), each, strict=True)) for each in admin["keys"]]}
    (line,) = faults({"admin": admin})
    assert line.startswith(fault)
    assert not {OF_FILE, OF_ENV, "short", "fifteen-letters"} & set(line.split('"'))


def test_a_short_key_of_the_environment_is_named() -> None:
    (line,) = faults({}, {"FASTGW_ADMIN_KEY": "short"})
    assert line.startswith("admin.key: expected at least 16 characters")
    assert line.endswith("(of FASTGW_ADMIN_KEY, which stands for it)")


# -- anything at all -----------------------------------------------------------------------------------

FULL: dict[str, Any] = json.loads((CORPUS / "good" / "full.json").read_text())
STRANGE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["$env://X", "::1", "a:0", [], {}, [[]], {"id": {}}, "\ud800", "x" * 300]),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for part, item in inside for place in places(item, (*path, part)))]


PLACES = places(FULL)[1:]


def mutate(document: Any, place: tuple[Any, ...], strange: Any, how: str) -> None:
    here = document
    try:
        for part in place[:-1]:
            here = here[part]
        if how == "replace":
            here[place[-1]] = strange
        elif how == "delete":
            del here[place[-1]]
        elif how == "wrap":
            here[place[-1]] = [here[place[-1]]]
        elif isinstance(here, dict):
            here[str(strange)] = here[place[-1]]
        else:
            here.append(copy.deepcopy(here[place[-1]]))
    except (KeyError, IndexError, TypeError, AttributeError):
        pass  # an earlier mutation took the place away


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(PLACES), STRANGE, st.sampled_from(["replace", "delete", "wrap", "copy"])),
        min_size=1,
        max_size=4,
    )
)
def test_a_mutated_file_loads_or_raises_config_error_without_secrets(mutations: list[Any]) -> None:
    document = copy.deepcopy(FULL)
    for place, strange, how in mutations:
        mutate(document, place, copy.deepcopy(strange), how)
    error = verdict(json.dumps(document).encode(), ".json")
    assert one_line_each(error)
    assert SECRET not in str(error)


@given(st.binary(max_size=60), st.sampled_from([".json", ".yaml", ".toml"]))
def test_any_bytes_load_or_raise_config_error(raw: bytes, suffix: str) -> None:
    assert one_line_each(verdict(raw, suffix))


@given(st.text(alphabet="-[]{}:,#&*!|>'\"%@`<= \n\tab1.~?", max_size=40))
def test_any_yaml_loads_or_raises_config_error(text: str) -> None:
    assert one_line_each(verdict(text.encode(), ".yaml"))


@pytest.mark.parametrize(
    ("suffix", "raw"),
    [
        (".json", b'{"a":' * 100_000),
        (".json", b"[" * 100_000 + b"]" * 100_000),
        (".yaml", b"[" * 100_000),
        (".yaml", b"- " * 100_000),
        (".toml", b"a = " + b"[" * 100_000),
        (".json", b'{"workers": ' + b"9" * 10_000 + b"}"),
        (".yaml", b"workers: " + b"9" * 10_000),
    ],
)
def test_depth_and_length_are_bounded(suffix: str, raw: bytes) -> None:
    error = verdict(raw, suffix)
    assert error is not None
    assert len(str(error)) < 300


# -- what is told of it --------------------------------------------------------------------------------


def test_the_json_schema_covers_plugins_and_describes_members() -> None:
    schema = json.loads(json.dumps(config.json_schema()))
    definitions = schema["$defs"]
    assert set(definitions["Document"]["properties"]) == {
        *Settings.__struct_fields__,
        *OBJECT_LISTS,
        "$schema",
    }
    assert definitions["Route"]["properties"]["plugins"]["additionalProperties"] is False
    auth = list(definitions["Credential"]["properties"]["plugins"]["properties"])
    assert auth == ["hmac-auth", "basic-auth", "jwt-auth", "key-auth"]
    assert definitions["Limits"]["properties"]["head_bytes"]["description"].startswith("the largest request head")
    references = set(re.findall(r'"#/\$defs/([^"]+)"', json.dumps(schema)))
    assert references == set(definitions)
    assert '"null"' not in json.dumps(schema)


def test_the_docs_name_every_key() -> None:
    text = (ROOT / "docs" / "config.md").read_text()

    def keys(struct: type, prefix: str = "") -> list[str]:
        names = []
        for field in msgspec.structs.fields(struct):
            names.append(prefix + field.encode_name)
            if isinstance(field.default, msgspec.Struct):
                names += keys(type(field.default), f"{prefix}{field.encode_name}.")
        return names

    missing = [key for key in keys(Document) if f"`{key}`" not in text]
    assert missing == []
