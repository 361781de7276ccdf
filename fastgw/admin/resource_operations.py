"""The operations on objects, as they follow from the tables of kinds and resources.

Owns: which paths and methods a resource has, its parameters, bodies and answers, in OpenAPI. Must not know: any one kind, how
schemas are made. What a new kind or resource needs to stand in the document is its line in those tables.
"""

from collections.abc import Iterator
from typing import Any, Final

from fastgw.admin.conditions import FIELD
from fastgw.admin.examples import EXAMPLES, IDS
from fastgw.admin.listing import PAGE_SIZES
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
from fastgw.admin.resource import Resource
from fastgw.schema.kinds import KINDS, Kind
from fastgw.store import OWNER_OF

__all__ = ["id_parameter", "operations_of", "title_of"]

_PATTERN: Final = "a regular expression, searched for"
_LISTING: Final = (
    in_query("page", "which page, from 1; without effect unless it and `page_size` are numbers", example="1"),
    in_query("page_size", f"objects per page, {PAGE_SIZES[0]} to {PAGE_SIZES[-1]}", example="10"),
    in_query("name", f"{_PATTERN} in `name`"),
    in_query("uri", f"{_PATTERN} in `uri` and `uris`"),
    in_query("label", "the name of a label that the object has"),
    in_query("filter", "members and their values, as in `service_id=1&upstream_id=2`; other members do not count"),
)
_TTL: Final = in_query("ttl", "seconds until the object goes by itself", {"type": "number", "exclusiveMinimum": 0})
_FORCE: Final = in_query("force", "`true`: although other objects refer to it")
_TAGS: Final[Json] = {"type": "string", "pattern": FIELD}
_MATCH: Final = in_header("If-Match", "only at one of these versions; `*`: at any, but the object must be there", _TAGS)
_READ: Final = (
    _MATCH,
    in_header("If-None-Match", "versions that are known already: they are not sent again", _TAGS),
)
_WRITTEN: Final = (_MATCH, in_header("If-None-Match", "at none of these versions; `*`: only if the object is not there", _TAGS))
_ETAG: Final = {"ETag": header("the version", required=True)}
_SAME: Final = answer("It is known already.", headers=_ETAG)
_DONE: Final = {"X-API-VERSION": header("v3")}
_SOURCED: Final = {
    **_DONE,
    "X-Fastgw-Source": header("the layer that the value is of", {"enum": ["file", "store"]}),
    "X-Fastgw-Overrides": header("there if the value hides one of the config file", {"const": "file"}),
}
_TEXT: Final = {"text/plain": {"schema": TEXT}}


def title_of(kind: Kind) -> str:
    """`consumer group` as `ConsumerGroup`."""
    return "".join(word.capitalize() for word in kind.singular.replace("_", " ").split())


def id_parameter(kind: Kind, id: Json) -> Json:
    """The id of an object of this kind in a path; id: its schema."""
    name = "id" if kind.id_field == "id" else kind.id_field
    return in_path(name, f"which {kind.singular}", id, IDS.get(kind.name, "1"))


def operations_of(resource: Resource, ids: dict[str, Json], given: Json, shown: Json) -> Iterator[Operation]:
    """ids: the schema of an id of each kind; given, shown: the schemas of a value in requests and in answers."""
    return _Calls(resource, ids, given, shown).all()


class _Calls:
    def __init__(self, resource: Resource, ids: dict[str, Json], given: Json, shown: Json) -> None:
        self._resource, self._given, self._shown = resource, given, shown
        self._kind = kind = KINDS[resource.kind]
        self._noun, self._title = kind.singular, title_of(kind)
        self._place: list[Json] = []
        self._list = f"/{kind.name}"
        owner = KINDS.get(OWNER_OF.get(kind.name, ""))
        if owner is not None:
            self._place.append(id_parameter(owner, ids[owner.name]))
            self._list = f"/{owner.name}/{{{self._place[0]['name']}}}/{kind.name}"
        self._all = self._list
        if kind.types:
            example = next(iter(kind.types))
            self._place.append(in_path("manager", "which manager", {"enum": list(kind.types)}, example))
            self._list += "/{manager}"
        self._own = id_parameter(kind, ids[kind.name])
        self._one = f"{self._list}/{{{self._own['name']}}}"
        self._example: Any = EXAMPLES.get(kind.name)
        self._full = (507,) if kind.bounded else ()

    def all(self) -> Iterator[Operation]:
        refused = self._resource.refuses
        yield self._listing(self._list, f"list{self._title}s", self._place)
        if self._list != self._all and not OWNER_OF.get(self._kind.name):
            yield self._listing(self._all, f"listAll{self._title}s", [])
        yield self._get()
        if not self._kind.types:
            yield self._put(f"put{self._title}ByBody", self._list, [], f"`{self._kind.id_field}` stands in the body.")
        yield self._put(f"put{self._title}", self._one, [self._own], "")
        if "POST" not in refused:
            yield self._post()
        if "PATCH" not in refused:
            yield from self._patches()
        yield self._delete()

    def _operation(self, method: str, path: str, id: str, summary: str, answers: dict[int, Json], **more: Any) -> Operation:
        return Operation(method, path, id, self._kind.name, summary, answers, **more)

    def _listing(self, path: str, id: str, place: list[Json]) -> Operation:
        found = record({"total": {**COUNT, "description": "before paging"}, "list": list_of(self._node())})
        answers = {
            200: answer("In order of creation.", json_of(found), {**_DONE, **_ETAG}),
            304: _SAME,
            400: answer("A parameter is not what is expected.", {**json_of(ref("Error")), **_TEXT}),
        }
        parameters = [*place, *_LISTING, *_READ]
        refusals = (404, 412) if place and not self._kind.types else (412,)
        return self._operation("get", path, id, f"List {self._kind.name}", answers, parameters=parameters, refusals=refusals)

    def _get(self) -> Operation:
        answers = {200: answer("The object.", json_of(self._node()), {**_SOURCED, **_ETAG}), 304: _SAME}
        parameters = [*self._place, self._own, *_READ]
        return self._operation(
            "get", self._one, f"get{self._title}", f"Get a {self._noun}", answers, parameters=parameters, refusals=(404, 412)
        )

    def _put(self, id: str, path: str, own: list[Json], description: str) -> Operation:
        example = self._example
        if example is not None and not own:
            example = {**example, self._kind.id_field: IDS.get(self._kind.name, "1")}
        return self._operation(
            "put",
            path,
            id,
            f"Create or replace a {self._noun}",
            {200: self._written("It was replaced."), 201: self._written("It was created.")},
            description=description,
            parameters=[*self._place, *own, _TTL, *_WRITTEN],
            body=json_of(self._given, example),
            refusals=(*((404, 412) if self._place and not self._kind.types else (412,)), *self._full),
        )

    def _post(self) -> Operation:
        return self._operation(
            "post",
            self._list,
            f"create{self._title}",
            f"Create a {self._noun}",
            {201: self._written("It was created.")},
            description="The gateway makes the id, of 20 digits; the body has none.",
            parameters=[*self._place, _TTL],
            body=json_of(self._given, self._example),
            refusals=(412, *self._full),
        )

    def _patches(self) -> Iterator[Operation]:
        answers = {200: self._written("It was changed.")}
        place = [*self._place, self._own]
        yield self._operation(
            "patch",
            self._one,
            f"patch{self._title}",
            f"Change a {self._noun}",
            answers,
            description="Objects are merged into objects, null removes, all else replaces. The outcome is checked.",
            parameters=[*place, _TTL, *_WRITTEN],
            body=json_of({"type": "object"}, self._example),
            refusals=(404, 412),
        )
        name, value = next(iter((self._example or {"labels": {}}).items()))
        yield self._operation(
            "patch",
            f"{self._one}/{{member}}",
            f"patch{self._title}Member",
            f"Replace a member of a {self._noun}",
            answers,
            description="Further names behind it lead to a place inside the member. null removes it. The outcome is checked.",
            parameters=[*place, in_path("member", "which member", {"type": "string", "minLength": 1}, name), _TTL, *_WRITTEN],
            body=json_of({"description": "any value that may stand there"}, value),
            refusals=(404, 412),
        )

    def _delete(self) -> Operation:
        found = record({"key": TEXT, "deleted": {"const": "1"}})
        parameters = [*self._place, self._own, *_WRITTEN]
        return self._operation(
            "delete",
            self._one,
            f"delete{self._title}",
            f"Delete a {self._noun}",
            {
                200: answer(
                    "It is gone; where the config file declares it, its object is in force again.", json_of(found), _SOURCED
                )
            },
            parameters=[*parameters, _FORCE] if self._resource.users else parameters,
            refusals=(404, 409, 412),
        )

    def _node(self) -> Json:
        return record({"key": TEXT, "value": self._shown, "createdIndex": COUNT, "modifiedIndex": COUNT})

    def _written(self, description: str) -> Json:
        return answer(description, json_of(record({"key": TEXT, "value": self._shown})), {**_SOURCED, **_ETAG})
