"""A corpus of bad bodies over all resources: each is refused in words that lead to the fault, and changes nothing.

A row of tests/corpus/admin/*.json is a method, a path below /apisix/admin, a body, the status and the whole `error_msg`, written
by the grammar of APISIX's schema validator. `$CERT` and `$KEY` stand for a certificate and its key.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from fastgw.store import Store
from tests.support.certificates import certificate
from tests.support.processes import ROOT

from .conftest import Admin

CORPUS = sorted((ROOT / "tests" / "corpus" / "admin").glob("*.json"))
ROWS = [
    pytest.param(*row, id=f"{path.stem}-{number}") for path in CORPUS for number, row in enumerate(json.loads(path.read_text()))
]
THERE: list[tuple[str, dict[str, Any]]] = [
    (
        "/routes/there",
        {
            "uri": "/there",
            "desc": "there",
            "labels": {"a": "1"},
            "upstream": {"nodes": {"127.0.0.1:80": 1}},
            "plugins": {"key-auth": {}},
        },
    ),
    ("/consumers", {"username": "there", "plugins": {"basic-auth": {"username": "taken", "password": "p"}}}),
    ("/consumers/there/credentials/taken", {"plugins": {"key-auth": {"key": "taken-key"}}}),
]


@pytest.fixture(scope="module")
def pem() -> dict[str, str]:
    cert, key = certificate("a.test")
    return {"$CERT": cert, "$KEY": key}


@pytest.fixture(scope="module")
def store(admin: Admin) -> Iterator[Store]:
    for path, body in THERE:
        assert admin.call("PUT", path, body).status == 201
    opened = admin.store()
    yield opened
    opened.close()


def filled(value: Any, pem: dict[str, str]) -> Any:
    """The body with texts such as `$CERT` replaced by what they stand for."""
    if isinstance(value, dict):
        return {name: filled(member, pem) for name, member in value.items()}
    if isinstance(value, list):
        return [filled(item, pem) for item in value]
    return pem.get(value, value) if isinstance(value, str) else value


@pytest.mark.parametrize(("method", "path", "body", "status", "message"), ROWS)
def test_a_bad_body_is_refused_and_changes_nothing(
    admin: Admin, store: Store, pem: dict[str, str], method: str, path: str, body: Any, status: int, message: str
) -> None:
    before = store.revision()
    answer = admin.call(method, path, json.dumps(filled(body, pem)).encode())
    assert (answer.status, answer.body) == (status, {"error_msg": message})
    assert store.revision() == before
