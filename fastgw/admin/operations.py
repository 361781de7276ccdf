"""The parts of an OpenAPI document as Python values: operations, their parameters, their answers.

Owns: how each is written in OpenAPI 3.1, the answers that all operations share. Must not know: which operations there are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

__all__ = [
    "ANSWERS",
    "COUNT",
    "SCHEMAS",
    "SECURITY",
    "TEXT",
    "Json",
    "Operation",
    "answer",
    "header",
    "in_header",
    "in_path",
    "in_query",
    "json_of",
    "list_of",
    "record",
    "ref",
]

Json = dict[str, Any]

TEXT: Final[Json] = {"type": "string"}
COUNT: Final[Json] = {"type": "integer", "minimum": 0}
JSON: Final = "application/json"


def ref(name: str) -> Json:
    """A schema by name."""
    return {"$ref": f"#/components/schemas/{name}"}


def list_of(item: Json) -> Json:
    return {"type": "array", "items": item}


def record(members: Mapping[str, Json], optional: Mapping[str, Json] | None = None, **more: Any) -> Json:
    """The schema of an object with these members."""
    described = {"type": "object", "properties": {**members, **(optional or {})}, **more}
    return {**described, "required": list(members)} if members else described


def json_of(schema: Json, example: Any = None) -> Json:
    """Content in JSON."""
    return {JSON: {"schema": schema} if example is None else {"schema": schema, "example": example}}


def answer(description: str, content: Json | None = None, headers: Json | None = None) -> Json:
    found: Json = {"description": description}
    if headers:
        found["headers"] = headers
    return {**found, "content": content} if content else found


def header(description: str, schema: Json = TEXT, **more: Any) -> Json:
    """One that an answer may carry."""
    return {"description": description, "schema": schema, **more}


def in_path(name: str, description: str, schema: Json, example: Any = None) -> Json:
    found = {"name": name, "in": "path", "required": True, "description": description, "schema": schema}
    return found if example is None else {**found, "example": example}


def in_query(name: str, description: str, schema: Json = TEXT, **more: Any) -> Json:
    return {"name": name, "in": "query", "description": description, "schema": schema, **more}


def in_header(name: str, description: str, schema: Json = TEXT, **more: Any) -> Json:
    return {"name": name, "in": "header", "description": description, "schema": schema, **more}


SECURITY: Final[Json] = {
    "key": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-KEY",
        "description": "A key of role `admin` may do everything; one of role `viewer` reads, and sees no secrets.",
    }
}

SCHEMAS: Final[Json] = {
    "Error": record(
        {"error_msg": TEXT},
        {
            "description": {**TEXT, "description": "why a key was refused"},
            "req_body": {**TEXT, "description": "the body, where it is no JSON"},
        },
        description="What is wrong.",
    ),
    "KeyNotFound": record({"message": {"const": "Key not found"}}, description="There is no such object."),
}
_ERROR: Final = json_of(ref("Error"))

ANSWERS: Final[Json] = {
    "Refused": answer("What was sent is not what is expected; nothing was changed.", _ERROR),
    "WrongKey": answer("No key, or one that is not known.", _ERROR),
    "Forbidden": answer("This address, or the key's role, may not do this.", _ERROR),
    "NotFound": answer("There is no such thing.", json_of({"anyOf": [ref("KeyNotFound"), ref("Error")]})),
    "TooSlow": answer("The request did not arrive in time.", _ERROR),
    "Conflict": answer("The object is declared in the config file and can only be removed there.", _ERROR),
    "Changed": answer("It is not at the version that the request demands; nothing was changed.", _ERROR),
    "TooManyWrongKeys": answer(
        "Too many wrong keys came from this address.", _ERROR, {"Retry-After": header("seconds to wait", {"type": "integer"})}
    ),
    "HeadTooLarge": answer("The request's head is too large.", _ERROR),
    "Full": answer("There are as many objects of the kind as there may be; nothing was changed.", _ERROR),
    "StoreFailed": answer("The store failed; nothing was changed.", _ERROR),
}
_SHARED: Final = {
    400: "Refused",
    404: "NotFound",
    408: "TooSlow",
    409: "Conflict",
    412: "Changed",
    431: "HeadTooLarge",
    507: "Full",
}
_LISTENER: Final = (400, 408, 431)
_WITH_KEY: Final = {401: "WrongKey", 403: "Forbidden", 429: "TooManyWrongKeys", 503: "StoreFailed"}


@dataclass(frozen=True)
class Operation:
    """One method on one path. `refusals` are the statuses that it shares with others, beside those that all have."""

    method: str
    path: str
    """Below /apisix/admin."""
    id: str
    tag: str
    summary: str
    answers: Mapping[int, Json]
    description: str = ""
    parameters: Sequence[Json] = ()
    body: Json | None = None
    """The content of its request."""
    refusals: Sequence[int] = ()
    open: bool = False
    """Whether it asks for no key."""

    def told(self) -> Json:
        """As in the document."""
        named = {status: _SHARED[status] for status in (*_LISTENER, *self.refusals)}
        if self.open:
            named[403] = _WITH_KEY[403]
        else:
            named |= _WITH_KEY
        answers = {status: {"$ref": f"#/components/responses/{name}"} for status, name in named.items()} | dict(self.answers)
        found: Json = {"operationId": self.id, "tags": [self.tag], "summary": self.summary}
        if self.description:
            found["description"] = self.description
        if self.parameters:
            found["parameters"] = list(self.parameters)
        if self.body is not None:
            found["requestBody"] = {"required": True, "content": self.body}
        found["responses"] = {str(status): answers[status] for status in sorted(answers)}
        return {**found, "security": []} if self.open else found
