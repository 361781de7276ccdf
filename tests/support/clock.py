"""Clocks that a test can set: for a program and all that it starts, by a library that is loaded before libc.

Owns: the library (C, built once per run), the file by which it is told. What the kernel itself waits for goes by the real clocks.
"""

import contextlib
import mmap
import os
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.programs import program

SOURCE = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t* ahead;  /* nanoseconds: of CLOCK_REALTIME, of the others that run on by themselves */

__attribute__((constructor)) static void find(void) {
    const char* path = getenv("FASTGW_TEST_CLOCK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void* at = fd < 0 ? MAP_FAILED : mmap(NULL, 16, PROT_READ, MAP_SHARED, fd, 0);
    if (fd >= 0) close(fd);
    if (at != MAP_FAILED) ahead = at;
}

static void add(struct timespec* t, int64_t ns) {
    int64_t all = (int64_t)t->tv_sec * 1000000000 + t->tv_nsec + ns;
    t->tv_sec = all / 1000000000;
    t->tv_nsec = all % 1000000000;
}

int clock_gettime(clockid_t id, struct timespec* t) {
    int failed = syscall(SYS_clock_gettime, id, t);
    if (failed || !ahead) return failed;
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) add(t, ahead[0]);
    else if (id == CLOCK_MONOTONIC || id == CLOCK_MONOTONIC_COARSE || id == CLOCK_MONOTONIC_RAW || id == CLOCK_BOOTTIME)
        add(t, ahead[1]);
    return 0;
}

int gettimeofday(struct timeval* v, void* zone) {
    struct timespec t;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &t)) return -1;
    v->tv_sec = t.tv_sec;
    v->tv_usec = t.tv_nsec / 1000;
    return 0;
}

time_t time(time_t* where) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (where) *where = t.tv_sec;
    return t.tv_sec;
}
"""


class Clock:
    """`env` is for the program's environment."""

    def __init__(self, memory: mmap.mmap, env: dict[str, str]) -> None:
        self._memory = memory
        self.env = env

    def set(self, wall: float = 0.0, monotonic: float = 0.0) -> None:
        """How many seconds ahead of the real clocks."""
        self._memory[:] = struct.pack("qq", int(wall * 1e9), int(monotonic * 1e9))


@contextlib.contextmanager
def clock(directory: Path) -> Iterator[Clock]:
    source, library, file = (directory / name for name in ("clock.c", "clock.so", "clock.now"))
    source.write_text(SOURCE)
    subprocess.run([program("gcc"), "-shared", "-fPIC", "-O1", "-o", str(library), str(source)], check=True)
    file.write_bytes(bytes(16))
    with file.open("r+b") as opened, mmap.mmap(opened.fileno(), 16) as memory:
        before = os.environ.get("LD_PRELOAD", "")
        loaded = os.pathsep.join(filter(None, [before, str(library)]))
        yield Clock(memory, {"LD_PRELOAD": loaded, "FASTGW_TEST_CLOCK": str(file)})
