"""The operations that are on no single object: plugins, schemas, whole sets, questions, the audit log, limits, the document.

Owns: what each of them takes and answers, in OpenAPI. Must not know: how they are carried out, resources.
"""

from typing import Any, Final

from fastgw.admin.configs import MAX_DIGEST
from fastgw.admin.counting import ALGORITHMS, COUNTING
from fastgw.admin.history import RATES
from fastgw.admin.limits import MOST
from fastgw.admin.operations import (
    COUNT,
    TEXT,
    Json,
    Operation,
    answer,
    header,
    in_header,
    in_path,
    in_query,
    json_of,
    list_of,
    record,
    ref,
)
from fastgw.admin.plugins import SUBSYSTEMS
from fastgw.admin.schemas import BY_NAME
from fastgw.admin.stats import COUNTERS, PLUGIN_COUNTERS, PLUGIN_TIMES
from fastgw.objectset import LISTS
from fastgw.plugins import order
from fastgw.schema.kinds import KINDS

__all__ = ["TAGS", "operations", "set_schema"]

TAGS: Final = {
    "plugins": "What there is to know about plugins.",
    "schema": "The shapes of objects, and whether a value has one.",
    "configs": "The whole configuration at once.",
    "explain": "What a request would meet.",
    "audit": "Who changed what.",
    "limits": "What limits have counted.",
    "stats": "What the gateway's processes have counted.",
    "openapi.json": "This document.",
    "probe": "Whether the Admin API answers.",
}

_PLAIN: Final[Json] = {"text/plain": {"schema": TEXT}}
_SCHEMA: Final = json_of({"type": "object", "description": "a JSON Schema (2020-12)"})
_SUBSYSTEM: Final = in_query("subsystem", "of stream there are no plugins", {"enum": list(SUBSYSTEMS)})
_OF: Final = in_query("schema_type", "`consumer`: of its configuration on consumers and in credentials")
_TAG: Final = header("the revision of the store, in quotes")


def operations() -> list[Operation]:
    """All of them."""
    return [*_plugins(), *_schemas(), *_configs(), *_questions(), *_limits()]


# -- plugins and schemas -------------------------------------------------------------------------------


def _plugins() -> list[Operation]:
    plugin = in_path("plugin", "which plugin", {"enum": list(order.names())}, order.names()[0])
    about = record(
        {"version": {"type": "number"}, "priority": {"type": "integer"}, "schema": {"type": "object"}},
        {"consumer_schema": {"type": "object"}, "metadata_schema": {"type": "object"}, "type": {"const": "auth"}},
    )
    return [
        Operation(
            "get",
            "/plugins",
            "describePlugins",
            "plugins",
            "Describe all plugins",
            {200: answer("By name.", json_of({"type": "object", "additionalProperties": about}))},
            parameters=[in_query("all", "`true`", {"const": "true"}, required=True), _SUBSYSTEM],
            refusals=(404,),
        ),
        Operation(
            "get",
            "/plugins/list",
            "listPlugins",
            "plugins",
            "List plugins",
            {
                200: answer("Names, by falling priority.", json_of(list_of(TEXT))),
                400: answer("There is no such subsystem.", {**json_of(ref("Error")), **_PLAIN}),
            },
            parameters=[_SUBSYSTEM],
        ),
        Operation(
            "put",
            "/plugins/reload",
            "reloadPlugins",
            "plugins",
            "Reload plugins",
            {
                200: answer("Done: every worker has what the files say now.", _PLAIN),
                400: answer("A file, or an object that would not fit any more; nothing was changed.", json_of(ref("Error"))),
                503: answer("Not done, or not by every worker in time.", json_of(ref("Error"))),
            },
            "The files of `plugins_dir` are read again, in all processes, all or none of them.",
        ),
        *(
            Operation(
                "get",
                f"{place}/{{plugin}}",
                name,
                tag,
                "Get the schema of a plugin's configuration",
                {200: answer("The schema.", _SCHEMA)},
                parameters=[plugin, _SUBSYSTEM, _OF],
                refusals=(404,),
            )
            for place, name, tag in (
                ("/plugins", "getPluginSchema", "plugins"),
                ("/schema/plugins", "getSchemaOfPlugin", "schema"),
            )
        ),
    ]


def _schemas() -> list[Operation]:
    return [
        Operation(
            "get",
            "/schema/{kind}",
            "getSchema",
            "schema",
            "Get the schema of a kind of objects",
            {200: answer("The schema.", _SCHEMA)},
            parameters=[in_path("kind", "which kind, in the singular", {"enum": list(BY_NAME)}, "route")],
        ),
        Operation(
            "post",
            "/schema/validate/{kind}",
            "validate",
            "schema",
            "Ask whether a value is an object of a kind",
            {200: answer("It is, as far as its own members go.")},
            description="Neither the configurations of its plugins nor other objects are looked at.",
            parameters=[in_path("kind", "which kind, in the plural", {"enum": list(KINDS)}, "routes")],
            body=json_of({"type": "object"}, {"uri": "/hello", "plugins": {}}),
            refusals=(404,),
        ),
    ]


# -- whole sets ----------------------------------------------------------------------------------------


def set_schema(shown: dict[str, Json], credential: Json) -> Json:
    """The schema of a whole set; shown: of a value of each kind; credential: of one that stands among the consumers."""
    lists = {name: list_of(shown[name]) for name in LISTS}
    lists["consumers"] = list_of({"anyOf": [shown["consumers"], credential]})
    versions = {f"{name}_conf_version": {**COUNT, "description": "how often the list was changed"} for name in LISTS}
    return record({}, {**lists, **versions}, description="All objects, by kind.", additionalProperties=False)


def _set(**more: Any) -> Json:
    content = {"schema": ref("Set"), **more}
    return {"application/json": content, "application/yaml": content}


def _plan() -> Json:
    names = list_of(TEXT)
    change = record({"path": TEXT}, {"before": {}, "after": {}})
    updated = list_of({"anyOf": [TEXT, record({"id": TEXT, "changes": list_of(change)})]})
    plan = record({}, {"created": names, "updated": updated, "deleted": names, "unchanged": names, "kept": names})
    return record({"dry_run": {"type": "boolean"}}, dict.fromkeys(LISTS, plan), additionalProperties=False)


def _configs() -> list[Operation]:
    problem = record({"resource_type": TEXT, "error": TEXT}, {"resource_id": TEXT, "index": COUNT})
    problems = answer("Nothing was changed.", json_of(record({"error_msg": TEXT}, {"errors": list_of(problem)})))
    layer = in_query("layer", "store: only what the Admin API wrote", {"enum": ["effective", "store"]})
    headers = {
        "X-Digest": header("the name of the present state"),
        "X-Last-Modified": header("when anything was changed last, in Unix seconds", {"type": "integer"}),
        "ETag": _TAG,
    }
    return [
        Operation(
            "get",
            "/configs",
            "getConfigs",
            "configs",
            "Get the whole configuration",
            {200: answer("The set, in the form that is asked for.", _set(), headers)},
            parameters=[layer],
        ),
        Operation(
            "head",
            "/configs",
            "headConfigs",
            "configs",
            "Get the state of the configuration",
            {200: answer("As the answer to GET, without its body.", headers=headers)},
            parameters=[layer],
        ),
        Operation(
            "put",
            "/configs",
            "putConfigs",
            "configs",
            "Put a set in place of what the Admin API wrote",
            {
                200: answer("What would be done.", json_of(_plan()), {"ETag": _TAG}),
                202: answer("What was done.", json_of(_plan()), {"X-Digest": header("that of the request"), "ETag": _TAG}),
                204: answer("The present state has this digest already."),
                400: problems,
            },
            parameters=[
                in_query("dry_run", "true: only tell what would be done", {"enum": ["true", "false"]}),
                in_header(
                    "X-Digest",
                    "the name of the state that the set makes; required unless it is a dry run",
                    {"type": "string", "maxLength": MAX_DIGEST, "pattern": "^[ -~]*$"},
                    example="a-digest",
                ),
                in_header("If-Match", "the ETag of the state that the set replaces"),
            ],
            body=_set(example={"routes": []}),
            refusals=(412,),
        ),
        Operation(
            "post",
            "/configs/validate",
            "validateConfigs",
            "configs",
            "Ask what is wrong with a set",
            {200: answer("Nothing is.", json_of({"type": "object", "maxProperties": 0})), 400: problems},
            body=_set(example={"routes": []}),
        ),
    ]


# -- questions -----------------------------------------------------------------------------------------


def _questions() -> list[Operation]:
    return [
        Operation(
            "post",
            "/explain",
            "explain",
            "explain",
            "Ask what a request would meet",
            {200: answer("What it would meet.", json_of(_explanation()))},
            body=json_of(ref("Question"), {"uri": "/hello"}),
        ),
        Operation(
            "get",
            "/audit",
            "getAudit",
            "audit",
            "Get entries of the audit log",
            {200: answer("In the order of their numbers.", json_of(record({"total": COUNT, "list": list_of(_entry())})))},
            description="For keys of role `admin`.",
            parameters=[
                in_query(
                    "since", "the `seq` of an entry: those after it; the newest when left out", {**COUNT, "maximum": 10**18 - 1}
                ),
                in_query("limit", "how many at most; 100 when left out", {"type": "integer", "minimum": 1, "maximum": 1000}),
            ],
        ),
        Operation(
            "get",
            "/openapi.json",
            "getOpenApi",
            "openapi.json",
            "Get this document",
            {200: answer("The document.", json_of({"type": "object"}))},
        ),
        Operation(
            "head",
            "",
            "probe",
            "probe",
            "Ask whether the Admin API answers",
            {200: answer("It does.")},
            open=True,
        ),
    ]


# -- limits --------------------------------------------------------------------------------------------


def _limits() -> list[Operation]:
    seconds = _maybe({"type": "number", "minimum": 0})
    counts = ("limit", "consumed", "remaining")
    numbers = {**{name: _maybe(COUNT) for name in counts}, "reset": seconds, "retry_after": seconds}
    who = {"owner": TEXT, "plugin": {"enum": list(COUNTING)}, "policy": TEXT, "key": _maybe(TEXT)}
    rates = {name: {"type": "number", "minimum": 0} for name in ("hits_per_second", "refused_per_second")}
    entry = record({**who, "algorithm": _maybe({"enum": list(ALGORITHMS)}), **numbers}, {"rule": TEXT, **rates})
    found = json_of(record({"total": COUNT, "list": {**list_of(entry), "maxItems": MOST}}))
    key = "the value that requests are counted by"
    parameters = [
        in_query("owner", "only of this object, or `group/<name>`", example="consumers/johndoe"),
        in_query("plugin", "only of this plugin", {"enum": list(COUNTING)}),
    ]
    return [
        Operation(
            "get",
            "/limits",
            "getLimits",
            "limits",
            "Get what limits have counted for a key, or the keys that are asked most",
            {200: answer("The limits that have counted something for it; the hottest keys first.", found)},
            description="null: it depends on the request, or nobody can say; keys that a viewer did not name.",
            parameters=[in_query("key", f"{key}; the hottest when left out", example="192.0.2.1"), *parameters],
        ),
        Operation(
            "delete",
            "/limits",
            "resetLimits",
            "limits",
            "Make limits forget what they have counted for a key",
            {200: answer("What they had counted.", found)},
            description="What requests hold of limit-conn cannot be reset: they give it back as they end.",
            parameters=[in_query("key", key, required=True, example="192.0.2.1"), *parameters],
            refusals=(404,),
        ),
        Operation(
            "get",
            "/stats",
            "getStats",
            "stats",
            "Get the processes of the gateway and what they have counted",
            {200: answer("Their counts so far.", json_of(_stats()))},
        ),
        Operation(
            "get",
            "/stats/history",
            "getStatsHistory",
            "stats",
            "Get what the gateway did in the last hour",
            {200: answer("Rates and latencies, in steps.", json_of(_history()))},
        ),
    ]


def _stats() -> Json:
    members = {"slot": COUNT, "pid": COUNT, "role": TEXT, "state": TEXT, "revision": COUNT, "memory": COUNT}
    process = record({**members, "connections": COUNT, **dict.fromkeys(COUNTERS, COUNT)})
    totals = {"type": "object", "additionalProperties": COUNT}
    counts = dict.fromkeys(("requests", "responses_4xx", "responses_5xx", "upstream_us", "request_us"), COUNT)
    traffic = {f"{kind}s": list_of(record({kind: TEXT, **counts})) for kind in ("route", "consumer", "node")}
    latency = list_of({"type": "array", "items": COUNT, "minItems": 2, "maxItems": 2})
    upstream = record({"name": TEXT, "ip": TEXT, "port": COUNT, "state": TEXT})
    number: Json = {"type": "number"}
    plugin = record({**dict.fromkeys(PLUGIN_COUNTERS, COUNT), **dict.fromkeys(PLUGIN_TIMES, number)})
    traffic["plugins"] = {"type": "object", "additionalProperties": plugin}
    told = {"processes": list_of(process), "totals": totals, "latency_us": latency, "refused": totals, **traffic}
    return record({"time": number, "revision": COUNT, **told, "upstreams": list_of(upstream)})


def _history() -> Json:
    number: Json = {"type": "number"}
    times = {name: _maybe(number) for name in ("p50_ms", "p99_ms")}
    return record(
        {
            "step": number,
            "points": list_of(record({"time": number, **dict.fromkeys(RATES, number), **times, "connections": COUNT})),
        }
    )


def _maybe(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}


def _explanation() -> Json:
    step = record(
        {
            "name": TEXT,
            "phase": TEXT,
            "layer": TEXT,
            "from": TEXT,
            "priority": {"type": "integer"},
            "reached": {"type": "boolean"},
            "conf": {"type": "object"},
        },
        {"rule": COUNT, "action": TEXT},
    )
    upstream = record(
        {
            "id": _maybe(TEXT),
            "from": TEXT,
            "scheme": TEXT,
            "type": TEXT,
            "nodes": list_of({"type": "object"}),
            "pass_host": TEXT,
            "timeout": record({name: {"type": "number"} for name in ("connect", "send", "read")}),
        },
        {"upstream_host": TEXT},
    )
    route = record(
        {"id": TEXT, "source": TEXT, "uri": TEXT, "why": TEXT, "priority": {"type": "integer"}}, {"host": TEXT, "name": TEXT}
    )
    return record(
        {
            "revision": COUNT,
            "request": record({"method": TEXT, "host": TEXT, "path": TEXT, "remote_addr": TEXT}),
            "outcome": record(
                {"proxied": {"type": "boolean"}}, {"status": {"type": "integer"}, "by": TEXT, "reason": TEXT, "body": TEXT}
            ),
            "route": _maybe(route),
            "plugins": list_of(step),
            "consumer": _maybe(record({"username": TEXT, "credential": _maybe(TEXT), "group": _maybe(TEXT)})),
            "limits": list_of(record({"plugin": TEXT, "from": TEXT, "account": TEXT, "value": TEXT})),
            "upstream": _maybe(upstream),
        },
        {"faults": list_of(TEXT)},
    )


def _entry() -> Json:
    place = record({"object": TEXT, "path": TEXT}, {"before": {}, "after": {}})
    return record(
        {
            "seq": COUNT,
            "time": TEXT,
            "key": _maybe(TEXT),
            "role": _maybe(TEXT),
            "address": _maybe(TEXT),
            "method": TEXT,
            "path": TEXT,
            "kind": TEXT,
            "id": TEXT,
            "outcome": {"const": "committed"},
            "status": {"type": "integer"},
            "revision": COUNT,
            "changes": list_of({"anyOf": [place, record({"more": COUNT})]}),
        }
    )
