"""Whole sets as documents: read as they were written, and through a gateway's store to the last byte."""

import json
from pathlib import Path as FilePath
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgw import config, objectset, transfer
from fastgw.errors import ConfigError, Fault
from fastgw.objectset import document, items
from fastgw.places import Stopped
from fastgw.schema.parse import MAX_DEPTH
from fastgw.schema.yaml_text import read_yaml, write_yaml
from fastgw.store import Store

# ---- YAML ----------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
odd_texts = st.sampled_from(
    ["0o17", "0x1F", "1e5", ".5", "no", "~", "", "null", "12:30", "<<", "=", "- a", "1_000", "+1", ".inf"]
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
    | odd_texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts | odd_texts, inner, max_size=3),
    max_leaves=12,
)


@given(values)
def test_what_is_written_as_yaml_is_read_as_the_same(value: Any) -> None:
    written = write_yaml(value)
    read, faults = read_yaml(written, MAX_DEPTH)
    assert faults == []
    assert json.dumps(read) == json.dumps(value)


# ---- random valid sets ---------------------------------------------------------------------------

ids = st.from_regex(r"[a-zA-Z0-9_.-]{1,10}", fullmatch=True)
names = st.from_regex(r"[a-zA-Z0-9_-]{1,10}", fullmatch=True)
descs = st.text(st.characters(exclude_categories=("Cs",)), max_size=20) | odd_texts
described = {
    "desc": descs,
    "labels": st.dictionaries(st.text("abc", max_size=3), st.text("xyz", min_size=1, max_size=5), max_size=2),
}
times = {"create_time": st.integers(1, 2**40), "update_time": st.integers(1, 2**40)}
node = st.fixed_dictionaries({"host": st.just("127.0.0.1"), "port": st.integers(1, 65535), "weight": st.integers(0, 9)})
upstream = st.fixed_dictionaries(
    {
        "type": st.just("roundrobin"),
        "nodes": st.dictionaries(st.sampled_from(["127.0.0.1:1", "[::1]:2", "host.test"]), st.integers(0, 9), min_size=1)
        | st.lists(node, min_size=1, max_size=2, unique_by=lambda each: each["port"]),
    },
    optional={"retries": st.integers(0, 3), "pass_host": st.sampled_from(["pass", "node"])},
)
limit = st.fixed_dictionaries(
    {"count": st.integers(1, 2**31), "time_window": st.integers(1, 60)},
    optional={"rejected_msg": st.text(min_size=1, max_size=9)},
)
plugins = st.fixed_dictionaries({}, optional={"limit-count": limit, "key-auth": st.just({}), "request-id": st.just({})})


@st.composite
def sets(draw: st.DrawFn) -> dict[str, Any]:
    """As a client may write them: in any order of lists, ids as texts or numbers, credentials in both forms."""

    def several(size: int = 3) -> list[Any]:
        return draw(st.lists(ids | st.integers(1, 99), max_size=size, unique_by=str))

    def made(id: Any, fields: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {"id": id, **fields, **more}

    def fields(required: dict[str, Any], optional: dict[str, Any]) -> dict[str, Any]:
        return draw(st.fixed_dictionaries(required, optional={**optional, **times}))

    upstreams = [made(id, draw(upstream), **fields({}, described)) for id in several()]
    linked = {"upstream_id": st.sampled_from([each["id"] for each in upstreams])} if upstreams else {"upstream": upstream}
    services = [made(id, fields(linked, {**described, "plugins": plugins})) for id in several()]
    routes = [made(id, fields({"uri": st.just("/x"), **linked}, {**described, "plugins": plugins})) for id in several(5)]
    consumers: list[dict[str, Any]] = []
    flat: list[dict[str, Any]] = []
    for number, username in enumerate(draw(st.lists(names, max_size=3, unique=True))):
        limited = st.fixed_dictionaries({}, optional={"limit-count": limit})
        consumer = {"username": username, **fields({}, {**described, "plugins": limited})}
        credentials = [made(id, {"plugins": {"key-auth": {"key": f"k{number}-{id}"}}}, **fields({}, {})) for id in several()]
        if draw(st.booleans()):
            consumer["credentials"] = credentials
        else:
            flat += [{**each, "id": f"{username}/credentials/{each['id']}"} for each in credentials]
        consumers.append(consumer)
    lists = {
        "upstreams": upstreams,
        "services": services,
        "routes": routes,
        "consumers": draw(st.permutations(consumers + flat)),
        "global_rules": [made(id, {"plugins": {"request-id": {}}}) for id in several(1)],
        "plugin_metadata": [],
    }
    return {name: lists[name] for name in draw(st.permutations(list(lists))) if draw(st.booleans()) or name == "upstreams"}


@settings(max_examples=30, deadline=None)
@given(sets(), st.sampled_from(["json", "yaml"]), st.booleans())
def test_a_set_goes_through_an_empty_gateway_to_the_byte(wanted: dict[str, Any], format: Any, with_times: bool) -> None:
    """Set → store → export → another store → export, and the export is a config file that says the same."""
    with TemporaryDirectory() as directory:
        exports = []
        given: Any = wanted
        for number in range(2):
            store = Store(FilePath(directory) / f"{number}.db")
            place = Stopped(store, {})
            place.apply(given)
            exports.append(transfer.export(place, "effective", format, times=with_times))
            assert exports[-1] == transfer.export(place, "store", format, times=with_times)
            given = transfer.read_set(_written(directory, exports[-1], format), {}).data
            assert list(_actions(place.rehearse(given))) in ([], ["unchanged"])
            store.close()
        assert exports[0] == exports[1]
        loaded = config.load(_written(directory, exports[0], format), {})
        wrote = {(item.kind, item.id): item.value for item in items(wanted, flat=True) if not isinstance(item, Fault)}
        assert {key: objectset.content(value) for key, value in loaded.objects.items()} == {
            key: objectset.content(value) for key, value in wrote.items()
        }


def _written(directory: str, content: bytes, format: str) -> FilePath:
    path = FilePath(directory) / f"set.{format}"
    path.write_bytes(content)
    return path


def _actions(plan: dict[str, Any]) -> set[str]:
    return {action for told in plan.values() for action in told}


# ---- single rules --------------------------------------------------------------------------------


def test_a_credential_stands_below_its_consumer_or_alone() -> None:
    objects = [
        ("consumers", "a", {"username": "a"}),
        ("credentials", "a/1", {"id": 1, "n": "x"}),
        ("credentials", "elsewhere/c", {"id": "c"}),
    ]
    assert document(objects, nested=True) == {
        "consumers": [{"username": "a", "credentials": [{"id": 1, "n": "x"}]}, {"id": "elsewhere/credentials/c"}],
    }
    flat = {"consumers": [{"username": "a"}, {"id": "a/credentials/1", "n": "x"}, {"id": "elsewhere/credentials/c"}]}
    assert document(objects, nested=False) == flat
    read = [item for item in items(flat, flat=True) if not isinstance(item, Fault)]
    assert [(item.kind, item.id, item.name) for item in read] == [
        ("consumers", "a", "a"),
        ("credentials", "a/1", "a/credentials/1"),
        ("credentials", "elsewhere/c", "elsewhere/credentials/c"),
    ]
    assert objects[0][2] == {"username": "a"}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"id": 1, "a": 1}, {"a": 1, "id": "1"}, True),
        ({"a": {"x": 1, "y": 2}}, {"a": {"y": 2, "x": 1}}, True),
        ({"a": 1, "create_time": 1}, {"a": 1, "update_time": 2}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": "1"}, {"a": 1}, False),
        ({"a": [1, 2]}, {"a": [2, 1]}, False),
        ({"a": {}}, {}, False),
    ],
)
def test_what_counts_as_a_change(one: dict[str, Any], other: dict[str, Any], same: bool) -> None:
    assert (objectset.content(one) == objectset.content(other)) is same


def test_changes_name_the_place_and_keep_secrets() -> None:
    before = {"same": 1, "gone": [1], "deep": {"a": 1, "b": {"c": True}}, "secret": "old", "update_time": 1}
    after = {"same": 1, "deep": {"a": 1, "b": {"c": 1}, "new": "x"}, "secret": "new", "update_time": 2}
    shown = tuple({name: value for name, value in each.items() if name != "secret"} for each in (before, after))
    assert [each.told() for each in objectset.changes(before, after, (shown[0], shown[1]))] == [
        {"path": "gone", "before": [1]},
        {"path": "deep.b.c", "before": True, "after": 1},
        {"path": "deep.new", "after": "x"},
        {"path": "secret"},
    ]


def test_a_file_with_a_set_is_judged_with_places(tmp_path: FilePath) -> None:
    data = {
        "routes": [{"id": "r", "uri": 7, "plugins": {}}, {"uri": "/x", "plugins": {}}],
        "consumers": [{"username": "c", "credentials": [{"id": "k", "plugins": {"key-auth": {"key": ""}}}]}, 3],
        "routs": [],
        "routes_conf_version": "x",
        "ssls": {},
    }
    path = tmp_path / "set.json"
    path.write_text(json.dumps(data))
    with pytest.raises(ConfigError) as caught:
        transfer.read_set(path, {})
    told = [str(fault) for fault in caught.value.faults]
    assert told[:3] == [
        'routs: unknown key; nearest known key is "routes"',
        "routes_conf_version: expected int, found str",
        "ssls: expected list, found dict",
    ]
    assert told[3:] == [
        'routes[0].uri: expected str, found int (route "r")',
        "routes[1].id: missing",
        'consumers[0].credentials[0].plugins.key-auth.key: expected at least 1 character, found 0 (credential "c/credentials/k")',
        "consumers[1]: expected dict, found int",
    ]


def test_references_to_the_environment_are_the_gateways_to_follow(tmp_path: FilePath) -> None:
    path = tmp_path / "set.json"
    path.write_text(json.dumps({"consumers": [{"username": "c", "plugins": {"key-auth": {"key": "$env://NOT_HERE"}}}]}))
    assert transfer.read_set(path, None).warnings == []
    with pytest.raises(ConfigError, match='environment variable "NOT_HERE" is not set'):
        transfer.read_set(path, {})
