"""A plugin's page names each of its attributes, and every reason that its refusals have in the log."""

import re
from pathlib import Path

import msgspec
import pytest

from fastgw.plugins import order
from fastgw.plugins.contract import PluginConf
from tests.support.processes import ROOT

PAGES = sorted((ROOT / "docs" / "plugins").glob("*.md"))
ROOMS = {
    "key-auth": "key",
    "basic-auth": "basic",
    "hmac-auth": "hmac",
    "ip-restriction": "ip-restriction",
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


def attributes(conf: type[msgspec.Struct], prefix: str = "") -> set[str]:
    """Names of the members of a configuration, those of objects inside it with a dot."""
    found: set[str] = set()
    for field in msgspec.structs.fields(conf):
        if field.encode_name == "_meta":
            continue
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            found |= attributes(field.type, f"{field.encode_name}.")
        else:
            found.add(prefix + field.encode_name)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_lists_the_attributes(page: Path) -> None:
    plugin = order.get(page.stem)
    assert plugin is not None
    tables = re.findall(r"(?m)^\| attribute .*\n(?:\|.*\n)+", page.read_text())
    listed = set(re.findall(r"(?m)^\| `([\w.]+)` ", "".join(tables)))
    confs: list[type[PluginConf]] = [plugin.conf, *([plugin.consumer_conf] if plugin.consumer_conf else [])]
    assert listed == set().union(*map(attributes, confs))
    assert f"priority {plugin.priority}" in page.read_text()


@pytest.mark.parametrize("name", ROOMS)
def test_a_page_lists_the_reasons(name: str) -> None:
    room = (ROOT / "fastgw" / "native" / f"{NAMED.get(name, name).replace('-', '_')}.pxi").read_text()
    reasons = set(re.findall(rf'"({ROOMS[name]}\.\w+)"', room)) - UNSAID
    assert reasons
    assert reasons <= set(re.findall(r"`([\w.-]+)`", (ROOT / "docs" / "plugins" / f"{name}.md").read_text()))
