"""Counting instructions, its pure parts: reading callgrind's files, whose code a line is, what counts, and the verdict."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench import callgrind, instructions, sections, workload
from bench.callgrind import Place
from bench.instructions import COMPRESS, EVENT, Figures
from bench.lines import Rooms
from bench.process import BenchError
from fastgw import _core

CORE = Path(_core.__file__).name
DUMP = f"""\
# callgrind format
positions: line
events: Ir
summary: 190

ob=(1) /x/{CORE}
fl=(1) /x/_core.c
fn=(1) {EVENT}
20 5
+2 3
fi=(2) fastgw/native/sha2.h
* 2
fe=(1)
cfn=(2) outer
calls=2 30
25 180

fn=(2)
30 10
cob=(2) /x/libc.so.6
cfi=(3) string.c
cfn=(3) memcpy
calls=4 1
+1 40
cfn=(4) outer'2
calls=1 30
+1 30
cfi=(2)
cfn=(5) {COMPRESS}
calls=1 7
33 100

fn=(4)
30 30

ob=(2)
fl=(3)
fn=(3)
1 40

ob=(1)
fl=(2)
fn=(5)
7 100
"""
C = """\
/* nothing ours */
/* "fastgw/native/buf.pxi":1
 * text
*/
int x;
/* "fastgw/native/relay.pxi":7
*/
"""


@pytest.fixture
def profile(tmp_path: Path) -> callgrind.Profile:
    (tmp_path / "dump").write_text(DUMP)
    return callgrind.read(tmp_path / "dump")


@pytest.fixture
def rooms(tmp_path: Path) -> Rooms:
    (tmp_path / "_core.c").write_text(C + "\n" * 20 + '/* "fastgw/native/head.pxi":1\n*/\n')
    return Rooms(Path(CORE), tmp_path / "_core.c")


def test_a_dump_is_read_with_what_functions_call(profile: callgrind.Profile) -> None:
    assert sum(profile.own.values()) == 190
    assert profile.inclusive[EVENT] == 190
    assert profile.inclusive["outer"] == 150  # its own deeper level stands under a name of its own
    assert profile.calls["memcpy"] == 4
    assert profile.own[Place(EVENT, f"/x/{CORE}", "/x/_core.c", 22)] == 3


def test_the_difference_of_two_dumps(profile: callgrind.Profile) -> None:
    nothing = profile.minus(profile)
    assert not any(nothing.own.values())
    assert not any(nothing.inclusive.values())


@pytest.mark.parametrize(
    ("binary", "file", "line", "room"),
    [
        (CORE, "/x/_core.c", 1, "cython"),
        (CORE, "/x/_core.c", 3, "buf"),
        (CORE, "/x/_core.c", 9, "relay"),
        (CORE, "fastgw/native/sha2.h", 9, "sha2"),
        (CORE, "/usr/include/smmintrin.h", 9, "inlined from system headers"),
        ("libc.so.6", "memcpy.S", 1, "libc"),
        ("parser.cpython-311-x86_64-linux-gnu.so", "parser.c", 1, "parser.cpython-311-x86_64-linux-gnu.so"),
    ],
)
def test_whose_code_a_line_is(rooms: Rooms, binary: str, file: str, line: int, room: str) -> None:
    assert rooms.of(Place("f", f"/x/{binary}", file, line)) == room


def test_what_counts(profile: callgrind.Profile, rooms: Rooms) -> None:
    found = instructions.figures(profile, 10, rooms)
    assert found.instructions == 9.0
    assert found.sha2 == 10.0
    assert found.rooms == {"libc": 4.0, "head": 4.0, "relay": 0.8, "sha2": 0.2}


def test_nothing_counted_is_an_error(rooms: Rooms) -> None:
    with pytest.raises(BenchError, match="mem_event"):
        instructions.figures(callgrind.Profile(), 10, rooms)


class TestGrown:
    before = Figures(1000.0, 0.0, {"head": 900.0, "buf": 100.0}, {})

    def test_up_to_three_percent_passes(self) -> None:
        assert not instructions.grown({"plain": replace(self.before, instructions=1030.0)}, {"plain": self.before})

    def test_more_is_told_with_the_rooms_that_grew(self) -> None:
        more = replace(self.before, instructions=1031.0, rooms={"head": 931.0, "buf": 100.0})
        (line,) = instructions.grown({"plain": more}, {"plain": self.before})
        assert line.startswith("plain: 1,031 instructions per request, +3.1% over the 1,000 filed")
        assert "head +31" in line

    def test_a_scenario_without_a_figure_is_told(self) -> None:
        (line,) = instructions.grown({"plain": self.before}, {})
        assert "no figure is filed" in line


@pytest.mark.parametrize("name", workload.SCENARIOS)
def test_the_workload_does_what_it_says(name: str) -> None:
    scenario = workload.SCENARIOS[name]
    wire = workload.wire_for(scenario, -1)
    assert wire.run(0, scenario.request, workload.ANSWER, 3).startswith(b"HTTP/1.1 %d " % scenario.status)


def test_a_generated_section_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- generated: x -->\nold\n<!-- end: x -->\nb\n")
    sections.replace(page, "x", "new \\1")
    assert page.read_text() == "a\n<!-- generated: x -->\nnew \\1\n<!-- end: x -->\nb\n"
    with pytest.raises(BenchError, match="generated: y"):
        sections.replace(page, "y", "")
