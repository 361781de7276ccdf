"""Programs under test: started on given cores, watched through /proc, stopped whole.

Must not know what the programs do. A program dies with the bench, however the bench dies: it is
started under `setpriv --pdeathsig`.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

TICKS = os.sysconf("SC_CLK_TCK")
START_SECONDS = 20.0
STOP_SECONDS = 10.0


class BenchError(Exception):
    """Something a person running the bench must put right; the text is the whole message."""


@dataclass(frozen=True)
class Cpu:
    """CPU seconds, split as the kernel splits them."""

    user: float = 0.0
    system: float = 0.0

    @property
    def total(self) -> float:
        return self.user + self.system

    def __add__(self, other: Cpu) -> Cpu:
        return Cpu(self.user + other.user, self.system + other.system)

    def __sub__(self, other: Cpu) -> Cpu:
        return Cpu(self.user - other.user, self.system - other.system)


def parse_stat(text: str) -> tuple[int, Cpu]:
    """Parent pid and CPU of one /proc/<pid>/stat line, with that of its reaped children (proc(5)).

    The command name may hold spaces and parentheses: fields are counted from the last one.
    """
    fields = text[text.rindex(")") + 2 :].split()
    user, system, reaped_user, reaped_system = (int(ticks) / TICKS for ticks in fields[11:15])
    return int(fields[1]), Cpu(user + reaped_user, system + reaped_system)


def _stat(pid: int) -> tuple[int, Cpu] | None:
    with suppress(OSError):
        return parse_stat(Path(f"/proc/{pid}/stat").read_text())
    return None


def tree(root: int) -> frozenset[int]:
    """`root` and every live descendant."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (stat := _stat(int(entry))):
            children.setdefault(stat[0], []).append(int(entry))
    found: set[int] = set()
    queue = [root]
    while queue:
        pid = queue.pop()
        found.add(pid)
        queue += children.get(pid, [])
    return frozenset(found)


def cpu_of(pids: Iterable[int]) -> Cpu:
    """What these processes have used since they started."""
    stats = (_stat(pid) for pid in pids)
    return sum((stat[1] for stat in stats if stat), Cpu())


def memory_of(pids: Iterable[int]) -> int:
    """Proportional set size in bytes: a page shared by n processes counts 1/n in each."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def entitled(pids: Iterable[int], title: str) -> frozenset[int]:
    """Those whose command line begins with `title`."""
    found = set()
    for pid in pids:
        with suppress(OSError):
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(title.encode()):
                found.add(pid)
    return frozenset(found)


def resident_of(pid: int) -> int:
    """Resident set of one process in bytes: every page it has touched counts whole, shared ones too."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0


def raise_open_files(wanted: int) -> int:
    """Allow this process and those it starts so many descriptors; returns what there is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limits in ((max(soft, wanted), max(hard, wanted)), (min(hard, max(soft, wanted)), hard)):
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            break
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def core_busy(cores: Iterable[int]) -> float:
    """Seconds these cores have not been idle since boot; time stolen by the host counts as busy."""
    wanted = {f"cpu{core}" for core in cores}
    ticks = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *values = line.split()
        if name in wanted:
            user, nice, system, _idle, _iowait, irq, softirq, steal = (int(v) for v in values[:8])
            ticks += user + nice + system + irq + softirq + steal
    return ticks / TICKS


@contextmanager
def staying_on(cores: Iterable[int]) -> Iterator[None]:
    """Keep this process itself off the cores of what it measures."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def pinned(argv: Sequence[str], cores: Iterable[int]) -> list[str]:
    """`argv`, to run on `cores` only and to be told to stop when its parent dies."""
    where = ",".join(str(core) for core in cores)
    return ["setpriv", "--pdeathsig", "TERM", "taskset", "-c", where, *argv]


class Program:
    """One running program and all the processes it starts."""

    def __init__(self, name: str, argv: Sequence[str], cores: Iterable[int], folder: Path) -> None:
        self.name = name
        self._output = folder / "output.log"
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                pinned(argv, cores),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Program:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.stop()

    def pids(self) -> frozenset[int]:
        return tree(self._process.pid)

    def wait_listening(self, port: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise BenchError(f"{self.name}: exited with {self._process.returncode}: {self.tail()}")
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return
            time.sleep(0.02)
        raise BenchError(f"{self.name}: nothing listens on port {port} after {START_SECONDS:g} s: {self.tail()}")

    def tail(self) -> str:
        lines = self._output.read_text(errors="replace").strip().splitlines()
        return " | ".join(lines[-5:]) or "no output"

    def stop(self) -> None:
        """TERM, then KILL to what is left of the session this program leads."""
        if self._process.poll() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
