"""docs/operations.md is whole: what the code can count, log, be sent or be limited by has its place there."""

import ast
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastgw import _core, worker
from fastgw.process import HANDLED, RESTART
from fastgw.schema.settings import Limits
from tests.support.processes import ROOT

PAGE = (ROOT / "docs" / "operations.md").read_text()
WORDS = set(re.findall(r"`([^`]+)`", re.sub(r"(?s)```.*?```", "", PAGE)))
GRAVE = {"warning", "error", "critical", "exception"}
LOGGERS = {"log", "plugin_log"}
# Lines that hold nothing but a place and a fault: of the config file, of an object, of the store, of the system.
BARE = {"…: …", "…", "… …: …"}


def logged() -> Iterator[tuple[str, str, str, set[str]]]:
    """Where, level, line and keys of all that is logged. `log.log` has a level of its own, often a grave one."""
    for path in sorted((ROOT / "fastgw").rglob("*.py")):
        tree = ast.parse(path.read_text())
        texts = sorted(
            (node.lineno, target.id, node.value.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
            for target in node.targets
            if isinstance(target, ast.Name)
        )
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if not (isinstance(node.func.value, ast.Name) and node.func.value.id in LOGGERS):
                continue
            level = node.func.attr
            said = node.args[1 if level == "log" else 0]
            if isinstance(said, ast.Name):  # what was last assigned to it above
                text = [each for line, name, each in texts if name == said.id and line < node.lineno][-1]
            else:
                text = ast.literal_eval(said)
            keys = {
                str(ast.literal_eval(key))
                for each in node.keywords
                if each.arg == "extra" and isinstance(each.value, ast.Dict)
                for key in each.value.keys
                if key is not None
            }
            yield f"{path.relative_to(ROOT)}:{node.lineno}", level, re.sub(r"%[sdg]", "…", text), keys


LOGGED = list(logged())


def test_there_are_lines() -> None:
    assert len(LOGGED) > 50


@pytest.mark.parametrize(("where", "level", "line", "keys"), LOGGED, ids=[each[0] for each in LOGGED])
def test_a_line_of_the_error_log_has_its_row(where: str, level: str, line: str, keys: set[str]) -> None:
    assert keys <= WORDS, f"{where}: members {keys - WORDS}"
    if level in GRAVE or level == "log":
        assert line in BARE or f"\n| `{line}` |" in PAGE, f"{where}: {line}"


def test_no_row_is_of_a_line_that_is_never_logged() -> None:
    table = PAGE[PAGE.index("## Lines of the error log") :]
    rows = re.findall(r"(?m)^\| `([^`]+)` \|", table)
    known = {line for _, _, line, _ in LOGGED} | {
        "… events dropped: the log was not read fast enough, or there was no room for it"  # written past `logging`
    }
    assert set(rows) <= known, set(rows) - known


def test_every_counter_has_its_row(tmp_path: Path) -> None:
    names = _core.Region.create(1024, tmp_path / "shared").metrics()
    assert names.keys() <= WORDS, names.keys() - WORDS


def test_every_signal_has_its_place() -> None:
    for number in (*HANDLED, worker.DRAIN):
        name = "RTMIN" if number == RESTART else signal.Signals(number).name.removeprefix("SIG")
        assert name in WORDS, name


def test_every_limit_has_its_place() -> None:
    names = {f"limits.{each}" for each in Limits.__struct_fields__}
    assert names <= WORDS, names - WORDS


def test_every_member_of_the_access_log_has_its_place() -> None:
    room = (ROOT / "fastgw" / "native" / "accesslog.pxi").read_text()
    rendered = "".join(path.read_text() for path in (ROOT / "fastgw" / "native").glob("*.pxi"))
    members = set(re.findall(r"""b'[{,]"(\w+)":""", room)) | set(re.findall(r"""log_rendered\(b',"(\w+)":""", rendered))
    assert {"time", "route", "consumer", "upstream_ms", "members"} <= members
    assert members <= WORDS, members - WORDS


def test_every_file_has_its_place() -> None:
    """Names that the code gives to files of data_dir."""
    named = set()
    for path in (ROOT / "fastgw").rglob("*.py"):
        if path.name == "testing.py":  # a gateway for tests of other projects, in a directory of its own
            continue
        named |= set(re.findall(r'(?: / |FILE: Final = )"([a-z]+\.[a-z]+)"', path.read_text()))
    assert {"fastgw.db", "fastgw.pid"} <= named
    assert named <= WORDS, named - WORDS


@pytest.mark.parametrize("anchor", sorted(set(re.findall(r"\]\(#([\w-]+)\)", PAGE))))
def test_a_link_within_the_page_leads_somewhere(anchor: str) -> None:
    heads = {re.sub(r"[^\w -]", "", line).strip().lower().replace(" ", "-") for line in re.findall(r"(?m)^#+ (.*)$", PAGE)}
    assert anchor in heads


@pytest.mark.parametrize("page", sorted(set(re.findall(r"\]\(([\w/-]+\.md#[\w-]+)\)", PAGE))))
def test_a_link_to_a_part_of_another_page_leads_somewhere(page: str) -> None:
    name, _, anchor = page.partition("#")
    text = (ROOT / "docs" / name).read_text()
    heads = {re.sub(r"[^\w -]", "", line).strip().lower().replace(" ", "-") for line in re.findall(r"(?m)^#+ (.*)$", text)}
    assert anchor in heads
