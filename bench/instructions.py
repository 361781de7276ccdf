"""`python -m bench instructions`: instructions per request in user space, counted by callgrind, the same in every run.

Owns: running bench.workload under valgrind, what is counted and what not, the filed figures, the section of docs/performance.md.
Must not know scenarios beyond their names. What counts is all that happens between an event and the end of its handling (the
extension, libc), without the harness that stands for sockets and without SHA-256 compressions, which valgrind cannot
run as the processor does: what they take in portable C is given beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import httptools

from bench import callgrind, sections
from bench.lines import Rooms
from bench.machine import ROOT, first_line, number_in
from bench.process import BenchError
from bench.workload import LENGTHS
from fastgw import _core

FOLDER = ROOT / "bench" / "results" / "instructions"
PAGE = ROOT / "docs" / "performance.md"
GROWTH = 0.03  # more than this over the filed figure is a regression
LEAST = 100  # instructions per request: what is below has no row
PREFIX = "__pyx_f_6fastgw_5_core_"
EVENT = PREFIX + "mem_event"  # counted is what happens inside of it
RUN = "__pyx_pw_6fastgw_5_core_4Wire_*run"
HARNESS = frozenset(PREFIX + name for name in ("mem_recv", "mem_send", "mem_clock"))
COMPRESS = "sha2_256_portable"
ASIDE = HARNESS | {COMPRESS}
PINNED = {"PYTHONHASHSEED": "0"}


@dataclass(frozen=True)
class Figures:
    """Of one scenario, per request."""

    instructions: float
    sha2: float  # spent in portable SHA-256 compressions besides; not in `instructions`
    rooms: dict[str, float]  # by the room whose code it is, inlined or not
    functions: dict[str, float]  # with all they call


def key() -> str:
    """What a figure depends on that cannot be pinned: the processor's kind and the compiler."""
    return f"{platform.machine()}-{_core.COMPILER}"


def environment() -> dict[str, str]:
    """What may also move a figure a little: for whoever looks into a difference."""
    return {
        "python": platform.python_version(),
        "httptools": httptools.__version__,
        "libc": " ".join(platform.libc_ver()),
        "valgrind": number_in(first_line(["valgrind", "--version"])),
    }


def unfit() -> str:
    """Why nothing can be counted with this build, or ""."""
    if _core.BUILD != "release":
        return f"the extension is a {_core.BUILD} build; what counts is a release build"
    return "" if shutil.which("valgrind") else "needs the program valgrind"


def count() -> dict[str, Figures]:
    """Every scenario of the workload."""
    if reason := unfit():
        raise BenchError(f"instructions: {reason}")
    rooms = Rooms(Path(_core.__file__), ROOT / "fastgw" / "_core.c")
    found: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory(prefix="fastgw-instructions-") as folder:
        runs = _run(Path(folder) / "dump")
        dumps = [callgrind.read(Path(folder) / f"dump.{i}") for i in range(1, len(runs) + 1)]
    for at in range(0, len(runs), len(LENGTHS)):  # the first is the warm-up
        (short, name), (long, _) = runs[at + 1 : at + len(LENGTHS)]
        found[name] = figures(dumps[at + 2].minus(dumps[at + 1]), long - short, rooms)
    return found


def _run(dump: Path) -> list[tuple[int, str]]:
    """Runs the workload; gives (requests, scenario) of each of its runs, in the order of the dumps."""
    command = [
        "valgrind",
        "--tool=callgrind",
        f"--callgrind-out-file={dump}",
        "--collect-atstart=no",
        f"--toggle-collect={EVENT}",
        f"--dump-after={RUN}",
        sys.executable,
        "-m",
        "bench.workload",
    ]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **PINNED}, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"instructions: valgrind ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-500:]}")
    return [(int(length), name) for length, _, name in (line.partition(" ") for line in done.stdout.splitlines())]


def figures(profile: callgrind.Profile, requests: int, rooms: Rooms) -> Figures:
    """What a profile of that many requests says of one."""
    total = sum(profile.own.values())
    if total == 0:
        raise BenchError(f"instructions: nothing was counted in {EVENT}: is it still in wire.pxi, and a function of its own?")
    by_room: Counter[str] = Counter()
    for place, cost in profile.own.items():
        if place.function not in ASIDE:
            by_room[rooms.of(place)] += cost
    harness = sum(profile.inclusive[name] for name in HARNESS)
    by_room["libc"] -= harness - sum(cost for place, cost in profile.own.items() if place.function in HARNESS)
    by_function: Counter[str] = Counter()
    for name, cost in profile.inclusive.items():
        if name not in ASIDE and cost < total:  # what has all of it is above the event: the loop, the interpreter
            by_function[re.sub(r"'\d+$|\..*", "", name).removeprefix(PREFIX)] += cost
    return Figures(
        (total - harness - profile.inclusive[COMPRESS]) / requests,
        profile.inclusive[COMPRESS] / requests,
        {name: cost / requests for name, cost in by_room.most_common() if cost},
        {name: cost / requests for name, cost in by_function.most_common() if cost >= LEAST * requests},
    )


# -- filed figures ---------------------------------------------------------------------------------


def filed(name: str | None = None) -> dict[str, Figures] | None:
    """What is filed for this processor and compiler, if anything."""
    path = FOLDER / f"{name or key()}.json"
    if not path.exists():
        return None
    return {one: Figures(**raw) for one, raw in json.loads(path.read_text())["scenarios"].items()}


def save(found: Mapping[str, Figures]) -> Path:
    """File them under this processor and compiler."""
    path = FOLDER / f"{key()}.json"
    scenarios = {name: {**asdict(one)} for name, one in found.items()}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"environment": environment(), "scenarios": scenarios}, indent=1) + "\n")
    return path


def grown(found: Mapping[str, Figures], before: Mapping[str, Figures]) -> list[str]:
    """A line for each scenario that costs more than GROWTH over the filed figure, and for each that was not filed."""
    lines = []
    for name, one in found.items():
        if name not in before:
            lines.append(f"{name}: no figure is filed: python -m bench instructions --save")
        elif one.instructions > before[name].instructions * (1 + GROWTH):
            old = before[name].instructions
            worst = sorted(one.rooms, key=lambda room: before[name].rooms.get(room, 0) - one.rooms[room])[:3]
            more = ", ".join(f"{room} {one.rooms[room] - before[name].rooms.get(room, 0):+,.0f}" for room in worst)
            lines.append(
                f"{name}: {one.instructions:,.0f} instructions per request, {one.instructions / old - 1:+.1%} over the "
                f"{old:,.0f} filed for {key()} (at most {GROWTH:+.0%}): {more}"
            )
    return lines


# -- what is shown ---------------------------------------------------------------------------------


def totals(found: Mapping[str, Figures]) -> str:
    rows = [[name, f"{one.instructions:,.0f}", f"{one.sha2:,.0f}"] for name, one in found.items()]
    return sections.table(["scenario", "instructions per request", "portable SHA-256 besides"], rows)


def rooms_table(found: Mapping[str, Figures]) -> str:
    """Rooms by scenarios, the dearest first; what is nowhere above LEAST is summed up."""
    names = sorted(
        {room for one in found.values() for room in one.rooms}, key=lambda n: -max(o.rooms.get(n, 0) for o in found.values())
    )
    shown = [name for name in names if any(one.rooms.get(name, 0) >= LEAST for one in found.values())]
    rows = [[name, *(f"{one.rooms.get(name, 0):,.0f}" for one in found.values())] for name in shown]
    rest = [sum(cost for room, cost in one.rooms.items() if room not in shown) for one in found.values()]
    return sections.table(["room", *found], [*rows, ["others", *(f"{cost:,.0f}" for cost in rest)]])


def functions_table(one: Figures) -> str:
    return sections.table(["function", "instructions"], [[f"`{name}`", f"{cost:,.0f}"] for name, cost in one.functions.items()])


def page(found: Mapping[str, Figures]) -> str:
    """The generated section of docs/performance.md."""
    where = ", ".join(f"{name} {version}" for name, version in environment().items())
    main = next(iter(found))
    return "\n\n".join(
        [
            f"Filed for `{key()}` ({where}).",
            totals(found),
            "By room, inlined or not:",
            rooms_table(found),
            f"By function with all that it calls, `{main}`:",
            functions_table(found[main]),
        ]
    )


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench instructions", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help=f"fail where the count grew by more than {GROWTH:.0%}%")
    parser.add_argument("--save", action="store_true", help="file the figures and write them into docs/performance.md")
    parser.add_argument("--functions", metavar="SCENARIO", help="also show the functions of this scenario")
    options = parser.parse_args(arguments)
    found = count()
    print(totals(found), rooms_table(found), sep="\n\n")
    if options.functions:
        print("\n" + functions_table(found[options.functions]))
    if options.save:
        print(f"\nfiled as {save(found).relative_to(ROOT)}")
        sections.replace(PAGE, "instructions", page(found))
    if options.check:
        before = filed()
        lines = [f"no figures are filed for {key()}"] if before is None else grown(found, before)
        print("\n" + ("\n".join(lines) or f"no scenario grew by more than {GROWTH:.0%}"))
        return 1 if lines else 0
    return 0
