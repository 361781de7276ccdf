"""A real process under test: started with its output in a file, asked to stop, killed only if it will not.

Also what the kernel says of any process: children, title, memory, open files.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.waiting import PATIENCE, until

ROOT = Path(__file__).resolve().parents[2]


class Process:
    """One started program. Its standard output and error go to `log`."""

    def __init__(self, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None, fds: Sequence[int] = ()) -> None:
        self.log_path = log
        # The tree under test wins over an installed fastgw, whatever the working directory.
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        with log.open("ab") as output:
            self._log_start = output.tell()
            self.popen: subprocess.Popen[bytes] | Orphan = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=log.parent,
                pass_fds=fds,
                env={**os.environ, "PYTHONPATH": path, **(env or {})},
            )

    @property
    def pid(self) -> int:
        return self.popen.pid

    def follow(self, pid: int) -> None:
        """From now on this is the process of that pid, which the one before has started; it becomes our child when that ends."""
        self.popen = Orphan(pid)

    def log(self) -> str:
        """What this process and its children have written, without what stood in the file before."""
        return self.log_path.read_bytes()[self._log_start :].decode(errors="replace")

    def signal(self, number: int) -> None:
        self.popen.send_signal(number)

    def wait(self, seconds: float = 20.0) -> int:
        """The exit code; a failure with the log if it does not come."""
        try:
            return self.popen.wait(seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"pid {self.pid} still runs after {seconds:g} s\n{self.log()}") from None

    def stop(self, seconds: float = 20.0) -> int:
        """Asks it to end, as an operator would."""
        if self.popen.poll() is None:
            self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def kill(self) -> None:
        """The last resort of a fixture: it and all it started."""
        left = descendants(self.pid)
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class Orphan:
    """A process that outlives its parent, which is a descendant of ours; the part of Popen that is used here."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # its parent still runs
                return None
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float = 20.0) -> int:
        until(lambda: self.poll() is not None, f"pid {self.pid} ends", timeout / PATIENCE)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def adopt_orphans() -> None:
    """Whose parent ends becomes this process's child, not that of process 1: PR_SET_CHILD_SUBREAPER, prctl(2)."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


def children(pid: int) -> list[int]:
    """Pids whose parent is `pid`, zombies left out."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(entry.name))
    return sorted(found)


def descendants(pid: int) -> list[int]:
    found = children(pid)
    for child in list(found):
        found += descendants(child)
    return found


def title(pid: int) -> str:
    """The command line as ps shows it; empty if the process is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid: int) -> float:
    """User and system time so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def open_files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))
