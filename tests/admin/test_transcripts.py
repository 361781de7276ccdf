"""The Admin API beside recordings of Apache APISIX 3.11: same requests, same answers but for the listed differences.

What differs on purpose stands in tests/corpus/transcripts/differences.json, exchange by exchange and with its reason;
a difference that is not listed fails here, and so does a listed one that is none.
"""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import wire
from tests.support.gateway import ADMIN_KEY, Gateway
from tests.support.processes import ROOT

CORPUS = ROOT / "tests" / "corpus" / "transcripts"
RECORDED: list[dict[str, Any]] = json.loads((CORPUS / "apisix-3.11.json").read_text())
DIFFERENCES: dict[str, Any] = json.loads((CORPUS / "differences.json").read_text())
TIMES = {"create_time", "update_time", "createdIndex", "modifiedIndex"}


def masked(value: Any, key: str = "") -> Any:
    """The value without what no two servers share: times, revisions, ids made by the server."""
    if isinstance(value, dict):
        return {name: masked(member, name) for name, member in value.items()}
    if isinstance(value, list):
        return [masked(item) for item in value]
    if key in TIMES and isinstance(value, int) and value > 0:
        return f"<{key}>"
    if key in ("id", "key") and isinstance(value, str):
        *before, last = value.split("/")
        return "/".join([*before, "<made id>" if len(last) == 20 and last.isdecimal() else last])
    return value


def expected(recorded: dict[str, Any], differences: list[dict[str, Any]]) -> dict[str, Any]:
    """What is to be answered: the recording with the differences applied, each of which must change something."""
    answer = {name: copy.deepcopy(recorded.get(name)) for name in ("status", "type", "version", "answer")}
    for difference in differences:
        before = copy.deepcopy(answer)
        change = {name: value for name, value in difference.items() if name not in ("because", "at")}
        if "keeps" in difference:
            answer["answer"] = at(answer["answer"], difference["keeps"])
        elif "at" in difference:
            _edit(answer["answer"], difference["at"].strip("/").split("/"), change)
        else:
            answer |= change
        assert answer != before, f"{recorded['name']}: not a difference: {difference}"
    return answer


def at(value: Any, pointers: list[str]) -> dict[str, Any]:
    """What stands at each JSON pointer; what is not there fails."""
    found = {}
    for pointer in pointers:
        here = value
        for name in pointer.strip("/").split("/"):
            here = here[name]
        found[pointer] = here
    return found


def _edit(answer: Any, way: list[str], change: dict[str, Any]) -> None:
    """One change at a JSON pointer: `without` members, `instead` of the value, or items in another `order`."""
    *parents, last = (int(name) if name.isdecimal() else name for name in way)
    for name in parents:
        answer = answer[name]
    if "instead" in change:
        answer[last] = change["instead"]
    elif "order" in change:
        answer[last] = [answer[last][index] for index in change["order"]]
    else:
        for name in change["without"]:
            del answer[last][name]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, wire.Response]]:
    """All exchanges in the order in which they were recorded, each on what the ones before it left."""
    with Gateway(tmp_path_factory.mktemp("transcripts")) as gateway:
        yield {each["name"]: exchange(gateway, each) for each in RECORDED}


def exchange(gateway: Gateway, recorded: dict[str, Any]) -> wire.Response:
    key = recorded.get("key")
    headers = {} if key is None else {"X-API-KEY": key.replace("$ADMIN_KEY", ADMIN_KEY)}
    target = recorded["target"].replace("$ADMIN_KEY", ADMIN_KEY)
    return wire.request(gateway.admin, recorded["method"], target, recorded.get("sent"), headers)


@pytest.mark.parametrize("recorded", RECORDED, ids=[each["name"] for each in RECORDED])
def test_as_recorded(answers: dict[str, wire.Response], recorded: dict[str, Any]) -> None:
    response = answers[recorded["name"]]
    content = response.headers.get("content-type")
    answer: Any = response.body.decode()
    if content == "application/json" and answer[:1] in ("{", "["):
        answer = json.loads(answer)
    found = {
        "status": response.status,
        "type": content,
        "version": response.headers.get("x-api-version"),
        "answer": masked(answer.strip() if isinstance(answer, str) else answer),
    }
    differences = DIFFERENCES["exchanges"].get(recorded["name"], [])
    wanted = expected(recorded, differences)
    for difference in differences:
        if "keeps" in difference:
            found["answer"] = at(found["answer"], difference["keeps"])
    assert found == {**wanted, "answer": masked(wanted["answer"])}
    assert response.headers["server"].startswith("APISIX/")


def test_every_difference_has_a_recording_and_a_reason() -> None:
    listed = DIFFERENCES["exchanges"]
    assert listed.keys() <= {each["name"] for each in RECORDED}
    reasons = {difference["because"] for differences in listed.values() for difference in differences}
    assert reasons == DIFFERENCES["reasons"].keys()
