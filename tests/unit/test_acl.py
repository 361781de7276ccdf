"""acl's step with users that are no consumers, whom a Python step before it describes; the readings of a label's text."""

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from fastgw import _core
from fastgw.plugins.acl import Acl, Conf
from fastgw.plugins.json_path import JsonPath
from fastgw.plugins.labels import values_of_json, values_of_text
from tests.support.core import ask, snapshot

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def answered(user: Any, **conf: Any) -> bytes:
    """The status line and body of a request whose `external_user` an earlier step sets."""

    def describe(_: Any, request: _core.Request) -> None:
        if user is not ...:
            request.ctx["external_user"] = user

    decoded = msgspec.convert(conf, Conf)
    assert not list(Conf.rules(conf, conf))
    steps = Acl().provision(decoded, SimpleNamespace())  # type: ignore[arg-type]
    got = ask(snapshot(_core.PythonStep("user", "access", describe, None), *steps), REQUEST)[1]
    return got[9:12] + b" " + got.partition(b"\r\n\r\n")[2].strip()


PASSED = b"200 ok"
FORBIDDEN = b'403 {"message":"The consumer is forbidden."}'
MISSING = b'401 {"message":"Missing authentication."}'
TEAM = {"org": ["api7", "apache"], "team": ["cloud", "infra"]}
AT = {"external_user_label_field_key": "team", "allow_labels": TEAM}


def nested(team: Any) -> dict[str, Any]:
    return {"orgs": {"api7": {"team": team}}}


# After t/plugin/acl.t of APISIX, tests 19 to 44.
@pytest.mark.parametrize(
    ("user", "conf", "expected"),
    [
        (..., AT, MISSING),
        (None, AT, MISSING),
        ({}, AT, FORBIDDEN),
        ({"team": ["infra"]}, {**AT, "external_user_label_field": "team"}, PASSED),
        ({"team": ["infra", "fake"]}, {**AT, "external_user_label_field": "team"}, PASSED),
        ({"team": ["fake"]}, {**AT, "external_user_label_field": "team"}, FORBIDDEN),
        ({"groups": ["cloud"]}, {"allow_labels": {"groups": ["cloud"]}}, PASSED),
        ({"groups": "x , cloud"}, {"allow_labels": {"groups": ["cloud"]}}, PASSED),
        ({"groups": '["cloud"]'}, {"deny_labels": {"groups": ["cloud"]}}, FORBIDDEN),
        ({"groups": "cloud"}, {"deny_labels": {"groups": ["cloud"]}, "rejected_code": 418, "rejected_msg": "no"}, b"418"),
        ({"groups": "cloud"}, {"deny_labels": {"groups": ["x"]}}, PASSED),
        ({}, {"deny_labels": {"groups": ["x"]}}, PASSED),
        ({"groups": 5}, {"allow_labels": {"groups": ["5"]}}, FORBIDDEN),
        (
            nested(("cloud", "infra")),
            {**AT, "external_user_label_field": "$.orgs..team", "external_user_label_field_parser": "table"},
            PASSED,
        ),
        (
            nested("cloud | infra"),
            {
                **AT,
                "external_user_label_field": "$.orgs..team",
                "external_user_label_field_parser": "segmented_text",
                "external_user_label_field_separator": "\\|",
            },
            PASSED,
        ),
        (
            nested("cloud|infra"),  # by nothing: into characters
            {
                **AT,
                "external_user_label_field": "$.orgs..team",
                "external_user_label_field_parser": "segmented_text",
                "external_user_label_field_separator": "|",
            },
            FORBIDDEN,
        ),
        (
            nested(["cloud"]),  # not a text
            {
                **AT,
                "external_user_label_field": "$..team",
                "external_user_label_field_parser": "segmented_text",
                "external_user_label_field_separator": ",",
            },
            FORBIDDEN,
        ),
        (
            nested("\ud800,cloud"),  # what cannot be read beside a value does not hide it
            {
                "deny_labels": TEAM,
                "external_user_label_field": "$..team",
                "external_user_label_field_key": "team",
                "external_user_label_field_parser": "segmented_text",
                "external_user_label_field_separator": ",",
            },
            FORBIDDEN,
        ),
        (
            nested('["cloud", "infra"]'),
            {**AT, "external_user_label_field": "$..team", "external_user_label_field_parser": "json"},
            PASSED,
        ),
        (nested("cloud,infra"), {"external_user_label_field": "$..team", "allow_labels": TEAM}, FORBIDDEN),  # called `$..team`
        (nested("cloud,infra"), {**AT, "external_user_label_field": "$..team"}, PASSED),
        (
            nested("cloud,infra"),
            {**AT, "external_user_label_field": "$..team", "external_user_label_field_parser": "table"},
            FORBIDDEN,
        ),
        (
            nested(["cloud", "infra"]),
            {**AT, "external_user_label_field": "$..team", "external_user_label_field_parser": "json"},
            FORBIDDEN,
        ),
        (nested("cloud"), {**AT, "external_user_label_field": "$..team", "external_user_label_field_parser": "json"}, FORBIDDEN),
    ],
)
def test_of_a_user_that_is_no_consumer(user: Any, conf: dict[str, Any], expected: bytes) -> None:
    assert answered(user, **conf).startswith(expected)


def test_the_first_of_several_is_judged() -> None:
    user = {"a": {"team": "cloud"}, "b": {"team": "x"}}
    for first, expected in (("a", PASSED), ("b", FORBIDDEN)):
        ordered = {first: user[first], **user}
        assert answered(ordered, **AT, external_user_label_field="$..team") == expected


def test_a_step_of_another_phase_judges_nobody() -> None:
    with pytest.raises(ValueError, match="expected a step of the phase access"):
        _core.AclStep(body=b"", external=_core.PythonStep("x", "log", print, None))


def test_pairs_are_not_mistaken_for_others() -> None:
    """What a label ends with is not what its value begins with."""
    key = "a" * 300
    for label, value, status in (("ab", "c", b"200"), ("a", "bc", b"403"), ("abc", "", b"403"), (key, "", b"403")):
        consumer = _core.Consumer(b"kim", _core.Steps([]), b"", [(label, value), (key, "x")])
        proof = _core.SharedSecret(b"k")
        credential = _core.Credential(consumer, proof.index, b"c", proof=proof)
        never = _core.PythonStep("acl", "access", lambda c, r: pytest.fail("a consumer is there"), None)
        steps = [_core.KeyAuthStep(), _core.AclStep(allow=[("ab", "c"), ("x", key)], body=b"", external=never)]
        got = ask(snapshot(*steps, others={"key": [credential]}), b"GET / HTTP/1.1\r\nHost: x\r\napikey: k\r\n\r\n")[1]
        assert got[9:12] == status, label


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", [""]),
        ("a", ["a"]),
        (" a ", [" a "]),
        ("a,b", ["a", "b"]),
        (" a , b\t,\n c ", [" a", "b", "c "]),
        (",", ["", ""]),
        ('["a","b,c",1,null,["d"]]', ["a", "b,c"]),
        ("[]", []),
        ("[a", []),
        ("[" * 100_000, []),
        ('["a"]x', []),
        ('{"a":1}', ['{"a":1}']),
        ("[" + "9" * 5000 + ',"a"]', ["a"]),
    ],
)
def test_values_of_a_text(text: str, values: list[str]) -> None:
    assert values_of_text(text) == values


def test_what_is_no_array_has_no_values() -> None:
    assert values_of_json('{"a":1}') == values_of_json('"a"') == values_of_json("") == []


DOCUMENT = {"orgs": {"a": {"team": 1}, "b": {"team": [2, {"x": 3}]}}, "groups": ["g", "h"], "a.b": {"c'd": 4}, "null": None}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", DOCUMENT),
        ("groups", ["g", "h"]),
        ("$.groups", ["g", "h"]),
        ("$['groups'][1]", "h"),
        ('groups[ "0" ]', None),
        ("groups[-2]", "g"),
        ("groups[2]", None),
        ("groups[*]", "g"),
        ("groups.x", None),
        ("orgs.b.team[1].x", 3),
        ("orgs.*.team", 1),
        ("$..team", 1),
        ("$..x", 3),
        ("$..[1]", {"x": 3}),
        ("$..*", DOCUMENT["orgs"]),
        ("$..b..x", 3),
        (r"$['a.b']['c\'d']", 4),
        ("$['a.b']..*", 4),
        ("$.null", None),
        ("nobody", None),
        ("$.orgs[0]", None),
    ],
)
def test_json_path(path: str, found: Any) -> None:
    assert JsonPath(path).first(DOCUMENT) == found


@pytest.mark.parametrize(
    "path",
    ["", ".", "$.", "..", "$[", "$[]", "a..", "a b", "$[?(@.a)]", "$[0:1]", "$['a','b']", "$$", "$.a[(1)]", "a[1", "$[٣x]"],
)
def test_what_is_no_json_path(path: str) -> None:
    with pytest.raises(ValueError, match="nothing that is understood"):
        JsonPath(path)


def test_a_json_path_takes_no_longer_than_its_document() -> None:
    document: Any = "leaf"
    for _ in range(20_000):
        document = {"a": document}
    assert JsonPath("$" + "..a" * 40 + "..b").first(document) is None
