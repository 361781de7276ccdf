"""Requests that somebody sends to do harm, or without thinking: each is refused in a sentence, and the next one is served."""

import pytest

from .conftest import VIEWER, Admin

ROUTE = {"uri": "/a", "upstream": {"nodes": {"127.0.0.1:1980": 1}}}
LIMIT = {"limit-count": {"count": 1, "time_window": 60}}


@pytest.mark.parametrize("param", ["name", "uri"])
@pytest.mark.parametrize("pattern", ["^(a%2B)%2B$", "(a|aa)%2B$"])
def test_no_pattern_of_a_filter_takes_long(admin: Admin, param: str, pattern: str) -> None:
    text = "/" + "a" * 200 + "!"
    admin.call("PUT", "/routes/long", {**ROUTE, "name": text, "uri": text})
    answer = admin.call("GET", f"/routes?{param}={pattern}", key=VIEWER)  # within the connection's 10 s
    assert answer.body["total"] == 0


@pytest.mark.parametrize(
    "query",
    [
        "page=-9&page_size=10",
        "page=999999999&page_size=500",
        "page=1&page_size=" + "9" * 5000,
        "page=%D9%A1&page_size=10",
        "&" * 5000,
        "a=" * 999,
    ],
)
def test_odd_pages(admin: Admin, query: str) -> None:
    assert admin.call("GET", f"/routes?{query}").status in (200, 400)


def test_a_large_proto_is_judged_in_time(admin: Admin) -> None:
    source = "message A {" + "int32 a=1;\n" * 90_000 + "}"
    assert admin.call("PUT", "/protos/large", {"content": source}).status == 201  # within the connection's 10 s
