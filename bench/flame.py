"""`python -m bench flame`: a flame graph of the worker under load, kernel and user space, as one SVG without scripts.

Owns: sampling by perf, folding of its stacks, drawing. Must not know the gateway beyond the peer that bench/peers starts.
Hardware events do not exist on most virtual machines, so the samples are those of the CPU clock.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

from bench import load, machine, requests
from bench.origin import Origin
from bench.peers import PEERS
from bench.peers.base import Place
from bench.process import BenchError, Program, cpu_of, free_port
from bench.rounds import share_cores
from bench.scenarios import SCENARIOS

CONNECTIONS = 64
HERTZ = 999  # not a divisor of anything that ticks
STACK_BYTES = 16384  # copied with each sample: the wheels of Python and libc carry no frame pointers
WIDTH, ROW, LEFT, TOP, CHARACTER = 1600, 17, 10, 64, 6.6  # pixels
LEAST = 0.8  # pixels: thinner frames are not drawn
KINDS = {"kernel": "#e8c39e", "the core": "#e0644a", "Python, uvloop": "#8fb8de", "libc": "#a9c88f"}
CORE, LOOP = "the core", ("event loop", "Python, uvloop")
Stack = tuple[tuple[str, str], ...]  # (function, kind), the outermost first


# -- samples to stacks -----------------------------------------------------------------------------


def kind_of(binary: str) -> str:
    """Whose code a frame is."""
    name = Path(binary).name
    if name.startswith("[kernel") or binary.endswith((".ko", "vmlinux")):
        return "kernel"
    if name.startswith("_core."):
        return CORE
    return "libc" if name.startswith(("libc.", "ld-", "libm.", "[vdso")) else LOOP[1]


def function(name: str) -> str:
    """A name as the source has it."""
    name = re.sub(r"^__pyx_\w+?_6fastgw_5_core_(?:\d+\w+?_\d+)?", "", name)
    return re.sub(r"\.(?:isra|part|constprop|cold|lto_priv)\.?\d*", "", name)


def stacks(script: Iterable[str]) -> Iterator[Stack]:
    """perf script's samples: a line per frame, the innermost first, and an empty one behind each."""
    frames: list[tuple[str, str]] = []
    for line in [*script, ""]:
        found = re.match(r"\s+[0-9a-f]+ (.+) \((.*)\)$", line.rstrip())
        if found:
            frames.append((function(found[1]), kind_of(found[2])))
        elif not line.strip() and frames:
            yield rooted(frames[::-1])
            frames = []


def rooted(frames: Sequence[tuple[str, str]]) -> Stack:
    """A stack from the core on, or from the event loop's last call: the way there is always the same, but cut anywhere."""
    kinds = [kind for _, kind in frames]
    if CORE in kinds:
        return (LOOP, *frames[kinds.index(CORE) :])
    outside = [i for i, kind in enumerate(kinds) if kind == LOOP[1]]
    return (LOOP, *frames[outside[-1] if outside else 0 :])


# -- stacks to a picture ---------------------------------------------------------------------------


@dataclass
class Frame:
    """A function called from one place, and what it calls."""

    name: str
    kind: str
    samples: int = 0
    calls: dict[tuple[str, str], Frame] = field(default_factory=dict)

    def depth(self) -> int:
        return 1 + max((one.depth() for one in self.calls.values()), default=0)


def tree(counted: Counter[Stack]) -> Frame:
    """All stacks as one frame that calls the outermost ones."""
    root = Frame("all", "", sum(counted.values()))
    for stack, samples in counted.items():
        at = root
        for key in stack:
            at = at.calls.setdefault(key, Frame(*key))
            at.samples += samples
    return root


def boxes(frame: Frame, root: Frame, x: float, depth: int, height: int) -> Iterator[str]:
    """SVG of a frame and of all above it; callers stand below, in the order of names, so that pictures compare."""
    width = (WIDTH - 2 * LEFT) * frame.samples / root.samples
    if width < LEAST:
        return
    if depth:
        y = height - (depth + 1) * ROW
        share = f"{frame.samples / root.samples:.2%}"
        yield (
            f"<g><title>{escape(frame.name)} ({frame.kind}), {share}</title>"
            f'<rect x="{x:.1f}" y="{y}" width="{max(width - 0.5, 0.3):.1f}" height="{ROW - 1}" fill="{KINDS[frame.kind]}"/>'
            f"{label(frame.name, x, y, width)}</g>"
        )
    for _, one in sorted(frame.calls.items()):
        yield from boxes(one, root, x, depth + 1, height)
        x += (WIDTH - 2 * LEFT) * one.samples / root.samples


def label(name: str, x: float, y: int, width: float) -> str:
    """As much of a name as its box holds."""
    room = int((width - 4) / CHARACTER)
    if room < 3:
        return ""
    return f'<text x="{x + 2:.1f}" y="{y + 12}">{escape(name if len(name) <= room else name[: room - 1] + "…")}</text>'


def shares(counted: Counter[Stack]) -> dict[str, float]:
    """By kind of the innermost function."""
    total = sum(counted.values())
    found: Counter[str] = Counter()
    for stack, samples in counted.items():
        found[stack[-1][1]] += samples
    return {kind: found[kind] / total for kind in KINDS}


def picture(counted: Counter[Stack], title: str) -> str:
    """The SVG."""
    root = tree(counted)
    height = TOP + (root.depth() + 1) * ROW
    legend, x = [], LEFT
    for kind, share in shares(counted).items():
        text = f"{kind} {share:.0%}"
        legend.append(
            f'<rect x="{x}" y="34" width="12" height="12" fill="{KINDS[kind]}"/><text x="{x + 17}" y="44">{text}</text>'
        )
        x += int(len(text) * CHARACTER) + 50
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="monospace" font-size="11" fill="#222">\n'
        f'<rect width="100%" height="100%" fill="#fff"/><text x="{LEFT}" y="22" font-size="15">{escape(title)}</text>\n'
        + "".join(legend)
        + "\n"
        + "\n".join(boxes(root, root, LEFT, 0, height))
        + "\n</svg>\n"
    )


# -- the gateway under load ------------------------------------------------------------------------


def sample(name: str, seconds: int, folder: Path) -> Counter[Stack]:
    """Stacks of the worker while it serves a scenario at saturation."""
    entry = next(entry for entry in SCENARIOS[name].entries if entry.peer == "fastgw")
    peer, asked = PEERS[entry.peer], requests.of(entry.job, entry.asking, lambda token: token)
    gateway, rest = share_cores(machine.cores(), 1)
    with ExitStack() as running:
        origin = running.enter_context(Origin(folder / "origin", rest, entry.job))
        place = Place(folder / "gateway", free_port(), free_port(), origin.port, 1)
        place.folder.mkdir()
        program = running.enter_context(Program(peer.name, peer.prepare(place, entry.job), gateway, place.folder))
        program.wait_listening(place.port)
        load.run(place.port, asked, seconds=1, connections=CONNECTIONS, cores=rest)
        worker = max(program.pids(), key=lambda pid: cpu_of([pid]).total)
        command = [
            "perf",
            "record",
            "-q",
            "-e",
            "cpu-clock",
            "-F",
            str(HERTZ),
            f"--call-graph=dwarf,{STACK_BYTES}",
            "-p",
            str(worker),
        ]
        with subprocess.Popen(
            [*command, "-o", str(folder / "perf.data"), "--", "sleep", str(seconds)], stderr=subprocess.PIPE
        ) as perf:
            load.run(place.port, asked, seconds=seconds + 1, connections=CONNECTIONS, cores=rest)
            _, errors = perf.communicate()
    if perf.returncode:
        raise BenchError(f"perf record: exited with {perf.returncode}: {errors.decode(errors='replace').strip()[-300:]}")
    script = ["perf", "script", "--no-inline", "-F", "comm,ip,sym,dso", "-i", str(folder / "perf.data")]
    with subprocess.Popen(script, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as done:
        assert done.stdout is not None
        counted = Counter(stacks(done.stdout))
    if not counted:
        raise BenchError(f"perf script: exited with {done.returncode} and gave no samples")
    return counted


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench flame", description="Draws where a worker's time goes under load.")
    parser.add_argument("--scenario", choices=list(SCENARIOS), default="jwt-limit")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--svg", type=Path, default=machine.ROOT / "docs" / "flame.svg")
    options = parser.parse_args(arguments)
    if missing := [tool for tool in ("perf", "wrk", "nginx", "taskset", "setpriv") if not shutil.which(tool)]:
        raise BenchError(f"flame: missing {', '.join(missing)}")
    with tempfile.TemporaryDirectory(prefix="fastgw-flame-") as folder:
        counted = sample(options.scenario, options.seconds, Path(folder))
    title = (
        f"fastgw, {options.scenario}: one worker, {sum(counted.values()):,} samples of its CPU time, commit {machine.commit()}"
    )
    options.svg.write_text(picture(counted, title))
    print(f"wrote {options.svg}: " + ", ".join(f"{kind} {share:.1%}" for kind, share in shares(counted).items()))
    return 0
