"""What a service manager such as systemd gives to its service, and is told by it.

Owns: sd_notify(3), sd_listen_fds(3), the watchdog's interval; no library of it is needed. Must not know: when the gateway is
ready or stops, which sockets it wants. Where there is no such manager every call does nothing.
"""

import os
import socket
import time
from typing import Final

__all__ = ["forget_sockets", "given_sockets", "tell", "watchdog_s"]

FIRST_FD: Final = 3  # SD_LISTEN_FDS_START


def tell(*states: str) -> None:
    """Such as "READY=1", "STATUS=…". A manager that does not listen is no fault of ours."""
    place = os.environ.get("NOTIFY_SOCKET", "")
    if not place.startswith(("/", "@")):
        return
    address = "\0" + place[1:] if place[0] == "@" else place
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
            to.setblocking(False)
            to.sendto("\n".join(states).encode(), address)
    except OSError:
        pass


def monotonic() -> str:
    """The member that Type=notify-reload asks for with RELOADING=1."""
    return f"MONOTONIC_USEC={time.monotonic_ns() // 1000}"


def watchdog_s() -> float | None:
    """How often to say "WATCHDOG=1": twice in the time that the manager waits for it; None: it does not watch."""
    pid, interval = os.environ.get("WATCHDOG_PID"), os.environ.get("WATCHDOG_USEC", "")
    if not interval.isdecimal() or int(interval) == 0 or (pid is not None and pid != str(os.getpid())):
        return None
    return int(interval) / 2e6


def given_sockets() -> list[socket.socket]:
    """Listening sockets that were opened for this process."""
    count = os.environ.get("LISTEN_FDS", "")
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or not count.isdecimal():
        return []
    return [socket.socket(fileno=fd) for fd in range(FIRST_FD, FIRST_FD + int(count))]


def forget_sockets() -> None:
    """They are taken: a process that this one starts must not take them for its own."""
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
