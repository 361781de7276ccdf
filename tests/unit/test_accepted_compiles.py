"""What is accepted must serve: an object without a fault by the judgement of the Admin API and of the file is one that the
compiler of the workers takes. Objects are sound ones in which some members are replaced by anything their types allow."""

import functools
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import inspect as mi

from fastgw import _core
from fastgw.compile import Compiler
from fastgw.plugins import order
from fastgw.plugins.check import check_object
from fastgw.schema.kinds import KINDS
from tests.unit.test_compile import Change

Object = dict[str, Any]
type_info: Final = functools.cache(mi.type_info)

HEALTH: Final = _core.Health(_core.Region.create(64, slots=1))
NODES: Final = {"192.0.2.10:80": 1}
UPSTREAM: Final = {"nodes": NODES, "timeout": {"connect": 1, "send": 1, "read": 1}, "keepalive_pool": {}}
CONFS: Final[dict[str, Object]] = {
    "limit-count": {"count": 1, "time_window": 60},
    "workflow": {"rules": [{"actions": [["return", {"code": 403}]]}]},
    "api-breaker": {"break_response_code": 502},
    "mocking": {"response_example": "x"},
    "echo": {"body": "x"},
    "fault-injection": {"abort": {"http_status": 503}, "delay": {"duration": 1}},
    "limit-req": {"rate": 1, "burst": 1, "key": "remote_addr"},
    "limit-conn": {"conn": 1, "burst": 1, "default_conn_delay": 1, "key": "remote_addr"},
    "proxy-rewrite": {"uri": "/x"},
    "redirect": {"uri": "/x"},
    "real-ip": {"source": "arg_x"},
    "attach-consumer-label": {"headers": {"x": "$y"}},
    "traffic-split": {"rules": [{"weighted_upstreams": [{"upstream_id": "u"}]}]},
    "ip-restriction": {"whitelist": ["192.0.2.0/24"]},
    "ua-restriction": {"denylist": ["x"]},
    "referer-restriction": {"whitelist": ["x"]},
    "uri-blocker": {"block_rules": ["x"]},
    "csrf": {"key": "x"},
    "http-logger": {"uri": "http://127.0.0.1/"},
    "data-mask": {"request": [{"type": "query", "name": "x", "action": "remove"}]},
    "request-validation": {"body_schema": {}},
    "acl": {"deny_labels": {"x": ["x"]}},
    "consumer-restriction": {"whitelist": ["x"]},
    "hmac-auth": {"signed_headers": ["date"]},
}
CREDENTIALS: Final[dict[str, Object]] = {
    "jwt-auth": {"key": "a-key", "secret": "a-secret"},
    "key-auth": {"key": "a-key"},
    "basic-auth": {"username": "a-name", "password": "a-password"},
    "hmac-auth": {"key_id": "an-id", "secret_key": "a-secret"},
}
SOUND: Final[dict[str, Object]] = {
    "routes": {"id": "x", "uri": "/", "upstream": UPSTREAM},
    "services": {"id": "x", "upstream": UPSTREAM},
    "upstreams": {"id": "x", **UPSTREAM},
    "consumers": {"username": "x"},
    "credentials": {"id": "x", "plugins": {"key-auth": {"key": "a-key"}}},
    "consumer_groups": {"id": "x", "plugins": {}},
    "plugin_configs": {"id": "x", "plugins": {}},
    "global_rules": {"id": "x", "plugins": {}},
    "plugin_metadata": {"id": "limit-count"},
}
# What there is beside the object, so that it is looked at, and what it may name is there.
OTHERS: Final[dict[str, Object]] = {
    "services": {"id": "s", "upstream": UPSTREAM},
    "upstreams": {"id": "u", **UPSTREAM},
    "consumer_groups": {"id": "g", "plugins": {}},
    "plugin_configs": {"id": "p", "plugins": {}},
    "consumers": {"username": "c"},
}
USERS: Final[dict[str, tuple[str, Object]]] = {
    "services": ("routes", {"id": "r", "uri": "/", "service_id": "x"}),
    "upstreams": ("routes", {"id": "r", "uri": "/", "upstream_id": "x"}),
    "plugin_configs": ("routes", {"id": "r", "uri": "/", "upstream": UPSTREAM, "plugin_config_id": "x"}),
    "consumers": ("credentials", {"id": "d", "plugins": {"key-auth": {"key": "another-key"}}}),
    "consumer_groups": ("consumers", {"username": "d", "group_id": "x"}),
    "plugin_metadata": (
        "routes",
        {"id": "r", "uri": "/", "upstream": UPSTREAM, "plugins": {"limit-count": CONFS["limit-count"]}},
    ),
}
LINKS: Final = {"service_id": "s", "upstream_id": "u", "group_id": "g", "plugin_config_id": "p", "id": "x", "username": "x"}

NUMBERS: Final = tuple(sign * (2**bits + more) for bits in (0, 7, 15, 31, 32, 53, 62) for more in (-1, 0, 1) for sign in (1, -1))
TEXTS: Final = st.one_of(
    st.sampled_from(
        ("$", "$remote_addr", "${arg_x}", "/", "*", "/*", "/%00", "/..", "/%zz", "//", "a\0b", "a\x01b", "é", "[::1]", "[]")
    ),
    st.text(max_size=8),
    st.text("az09-_.*/%$\0\x1f\x7f é", max_size=12),
    st.integers(1, 5000).map("a".__mul__),
)
FORMATS: Final[dict[str, tuple[str, ...]]] = {
    "node": (
        "a",
        "unix:/run/a.sock",
        "a.test:8080",
        "[::1]:80",
        "192.0.2.1",
        f"{'a' * 63}.test",
        "a_b",
        "a.",
        ":80",
        "a..b",
        "1.2",
    ),
    "node-host": ("a", "unix:/run/a.sock", "[::1]", "192.0.2.1", "a_b."),
    "header-name": (
        "x",
        "Host",
        "content-length",
        "connection",
        "|",
        "x" * 300,
        "authorization",
        "transfer-encoding",
        "X-Consumer-Username",
    ),
    "re2": ("a", "(", ".*", "a)|(b", "[a-z]{1000}", "(?i)x", "é", "\\d+$"),
    "ip-range": ("::/0", "0.0.0.0/0", "192.0.2.1", "::ffff:1.2.3.4", "fe80::1", "1.2.3.4/1", "::1/64"),
}


def texts(info: mi.StrType, extra: Object) -> st.SearchStrategy[Any]:
    known = FORMATS.get(str(extra.get("format")))
    made = TEXTS if known is None else st.sampled_from(known)
    return made if info.pattern is None else st.one_of(made, st.from_regex(info.pattern))


def anything(info: mi.Type, extra: Object) -> st.SearchStrategy[Any]:
    """Values of the type, most of them lawful."""
    if isinstance(info, mi.Metadata):
        return anything(info.type, {**extra, **(info.extra_json_schema or {})})
    if isinstance(info, mi.UnionType):
        return st.one_of(*(anything(each, extra) for each in info.types if not isinstance(each, mi.NoneType)))
    if isinstance(info, mi.LiteralType):
        return st.sampled_from(info.values)
    if isinstance(info, mi.BoolType):
        return st.booleans()
    if isinstance(info, mi.IntType):
        return st.sampled_from((*NUMBERS, *(each for each in (info.ge, info.le) if each is not None)))
    if isinstance(info, mi.FloatType):
        return st.one_of(st.sampled_from((*NUMBERS, 1e-300, 1e-9, 0.5, 1e300)), st.floats(allow_nan=False, allow_infinity=False))
    if isinstance(info, mi.StrType):
        return texts(info, extra)
    if isinstance(info, mi.ListType | mi.VarTupleType):
        most = st.sampled_from((1, 2, 3, 70, 1100))
        few = st.lists(anything(info.item_type, {}), max_size=3)
        return st.one_of(few, st.builds(lambda item, n: [item] * n, anything(info.item_type, {}), most))
    if isinstance(info, mi.StructType):
        return varied(info.cls, {})
    if isinstance(info, mi.DictType):
        many = st.integers(1000, 1100).map(lambda n: {f"h{i}": 1 for i in range(n)})
        few = st.dictionaries(anything(info.key_type, {}), anything(info.value_type, {}), max_size=3)
        return few if not isinstance(info.value_type, mi.Metadata | mi.IntType) else st.one_of(few, many)
    return st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3))


@st.composite
def varied(draw: st.DrawFn, struct: type, sound: Object, kind: str = "") -> Object:
    """The sound object with some members replaced, or changed within."""
    info = type_info(struct)
    assert isinstance(info, mi.StructType)
    fields = {field.encode_name: field for field in info.fields}
    needed = {name for name, field in fields.items() if field.required and name not in sound}
    chosen = draw(st.sets(st.sampled_from(sorted(fields)), max_size=3)) | needed
    value = dict(sound)
    for name in sorted(chosen):
        if name in LINKS and kind:
            value[name] = LINKS[name]
        elif name == "plugins" and kind:
            value[name] = draw(plugins(kind))
        elif name in (
            "create_time",
            "update_time",
            "filter_func",
            "script",
            "script_id",
            "vars",
            "type",
            "scheme",
            "tls",
        ):
            continue
        else:
            within = struct_in(fields[name].type)
            value[name] = draw(
                varied(within, sound.get(name, {})) if within and draw(st.booleans()) else anything(fields[name].type, {})
            )
    if "upstream_id" in chosen or "service_id" in chosen:
        value.pop("upstream", None)
    if "uris" in chosen:
        value.pop("uri", None)
    return value


def struct_in(info: mi.Type) -> type | None:
    for each in info.types if isinstance(info, mi.UnionType) else (info,):
        if isinstance(each, mi.StructType):
            return each.cls
    return None


@st.composite
def plugins(draw: st.DrawFn, kind: str) -> Object:
    proves = kind in ("consumers", "credentials")
    names = draw(
        st.sets(st.sampled_from(sorted(CREDENTIALS if kind == "credentials" else order.names())), min_size=1, max_size=2)
    )
    made = {}
    for name in sorted(names):
        plugin = order.get(name)
        assert plugin is not None
        conf = (plugin.consumer_conf if proves else None) or plugin.conf
        sound = CREDENTIALS[name] if conf is plugin.consumer_conf else CONFS.get(name, {})
        made[name] = draw(varied(conf, sound))
    return made


@st.composite
def objects(draw: st.DrawFn) -> tuple[str, Object]:
    kind = draw(st.sampled_from(sorted(SOUND)))
    if kind == "plugin_metadata":
        limits = order.get("limit-count")
        assert limits is not None
        assert limits.metadata_conf is not None
        return kind, {**draw(varied(limits.metadata_conf, {})), "id": "limit-count"}
    return kind, draw(varied(KINDS[kind].type, SOUND[kind], kind))


def change(kind: str, value: Object) -> Change:
    own = str(value[KINDS[kind].id_field])
    owner = {"d": "x/", "x": "c/"}[own] if kind == "credentials" else ""
    return Change(kind, owner + own, value)


@pytest.mark.timeout(300)  # hundreds of objects, some large; above a minute where other tests run beside it
@settings(deadline=None, max_examples=200)
@given(objects())
def test_what_is_accepted_compiles(made: tuple[str, Object]) -> None:
    kind, value = made
    if check_object(KINDS[kind], value, environ={}).faults:
        return
    changes = [change(other, each) for other, each in OTHERS.items()]
    changes += [change(kind, value)] + ([change(*USERS[kind])] if kind in USERS else [])
    compiler = Compiler()
    compiler.health = HEALTH
    assert compiler.apply(changes).faults == ()
