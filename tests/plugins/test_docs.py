"""A plugin's page has the tables of its attributes, every reason that its refusals have in the log, and examples that work."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastgw.plugins import order
from tests.support import attributes, wire
from tests.support.examples import Example, differs, examples, run_page
from tests.support.gateway import ADMIN_KEY, Gateway
from tests.support.processes import ROOT

PAGES = sorted((ROOT / "docs" / "plugins").glob("*.md"))
ROOMS = {
    "key-auth": "key",
    "basic-auth": "basic",
    "hmac-auth": "hmac",
    "ip-restriction": "ip-restriction",
    "proxy-rewrite": "proxy-rewrite",
    "ua-restriction": "ua-restriction",
    "referer-restriction": "referer-restriction",
    "uri-blocker": "uri-blocker",
    "redirect": "redirect",
    "client-control": "client-control",
    "acl": "acl",
    "consumer-restriction": "consumer-restriction",
    "jwt-auth": "jwt",
    "multi-auth": "multi",
    "api-breaker": "api-breaker",
    "workflow": "workflow",
    "limit-count": "limit-count",
    "limit-req": "limit-req",
    "limit-conn": "limit-conn",
}
NAMED = {"jwt-auth": "jwt"}  # rooms that have the reasons of a plugin whose own room has another name
UNSAID = {"jwt.ok", "jwt.unknown"}  # no refusals


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One for all pages: each finds it without objects."""
    with Gateway(tmp_path_factory.mktemp("docs"), {"echo": True}) as running:
        yield running


def test_every_shipped_plugin_has_a_page() -> None:
    assert {page.stem for page in PAGES} == {plugin.name for plugin in order.SHIPPED}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_tells_the_attributes(page: Path) -> None:
    plugin = order.get(page.stem)
    assert plugin is not None
    assert list(attributes.faults(page.read_text(), plugin)) == []
    assert f"priority {plugin.priority}" in page.read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_of_a_page_work(page: Path, gateway: Gateway, tmp_path: Path) -> None:
    digest = {"X-API-KEY": ADMIN_KEY, "X-Digest": page.stem}
    emptied = wire.request(gateway.admin, "PUT", "/apisix/admin/configs", "{}", digest)
    assert emptied.status in (200, 202, 204), emptied.body
    assert examples(page.read_text()), "expected an example with curl"
    assert list(run_page(page.read_text(), page.stem, gateway, tmp_path)) == []


def test_how_an_example_is_read() -> None:
    page = """
```sh
curl -X PUT a
curl b
```
Prose.

```
said by b
```
```
$ curl -d '{
  "a": 1}'      # "one": [1], "two": "2"
first
$ true
$ curl c
```
```json
{"curl": 1}
```
"""
    one, two, three = examples(page)
    assert one == Example("curl -X PUT a\ncurl b\n", ["said by b"], whole=False)
    assert (two.shown, two.conf, two.whole) == (["first"], {"one": [1], "two": "2"}, True)
    assert three == Example("curl c", None, whole=True)


@pytest.mark.parametrize(
    ("shown", "same"),
    [
        (["HTTP/1.1 200 OK", "X-Id: 76333e8f-c1ad-4733-a462-da1e65670c02", "", "body"], True),
        (["HTTP/1.1 200 OK", "…", "body"], True),
        (["HTTP/1.1 …", "Date: …", "X-Id: …", "body"], True),
        (["…"], True),
        (["HTTP/1.1 200 OK", "body"], False),  # X-Id is not what every answer has
        (["HTTP/1.1 201 OK", "…"], False),
        (["X-Id: …", "body"], False),
        (["…", "X-Id: abc", "body"], False),
        (["…", "b.dy"], False),
    ],
)
def test_how_what_is_printed_is_compared(shown: list[str], same: bool) -> None:
    printed = ["HTTP/1.1 200 OK", "Date: today", "Server: fastgw", "X-Id: 00000000-c1ad-4733-a462-da1e65670c02", "", "body"]
    assert differs(printed, shown, whole=True) is not same
    assert not differs(printed, shown[-1:], whole=False) or shown[-1] == "b.dy"
    assert differs(["1", "2"], ["2", "1"], whole=True)
    assert not differs(["1", "2"], ["2", "1"], whole=True, ordered=False)


@pytest.mark.parametrize("name", ROOMS)
def test_a_page_lists_the_reasons(name: str) -> None:
    room = (ROOT / "fastgw" / "native" / f"{NAMED.get(name, name).replace('-', '_')}.pxi").read_text()
    reasons = set(re.findall(rf'"({ROOMS[name]}\.\w+)"', room)) - UNSAID
    assert reasons
    assert reasons <= set(re.findall(r"`([\w.-]+)`", (ROOT / "docs" / "plugins" / f"{name}.md").read_text()))
