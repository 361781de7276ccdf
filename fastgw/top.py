"""`fastgw top`: a gateway at work, as one looks at it in a terminal.

Owns: the frame, as a function of what the Admin API said twice, and the loop that shows one after the other. Must not know: how
the Admin API is reached, where its numbers come from. Text that clients chose is shown without its control bytes.
"""

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

__all__ = ["Seen", "frame", "live", "look", "once"]

Object = Mapping[str, Any]

TOTALS: Final = (
    ("requests", "requests"),
    ("2xx", "responses_2xx"),
    ("4xx", "responses_4xx"),
    ("5xx", "responses_5xx"),
    ("evicted", "limit_evictions"),
)
LIMIT_HEAD: Final = ("HITS/s", "REFUSED/s", "LIMIT", "USED", "LEFT", "RESET", "OF", "KEY")
LIMIT_FORM: Final = "{:>9} {:>9} {:>8} {:>8} {:>8} {:>8}  {:<34} {}"
SHARE_FORM: Final = "{:<34} {:>10} {:>8} {:>8} {:>9}  {}"
ROWS: Final = 5  # of consumers, nodes and reasons, where there is room
LISTS: Final = 4  # these and the limits
HEADS: Final = 2 * LISTS - 1  # their heads, and an empty line between two
WELL: Final = ("healthy", "mostly_healthy")
WORKER_FORM: Final = "{:<8} {:>8} {:<9} {:>10} {:>8} {:>8} {:>10}"

ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"  # the terminal's other screen, without a cursor
HOME, TO_LINE_END, TO_SCREEN_END = "\x1b[H", "\x1b[K", "\x1b[J"


class Seen(NamedTuple):
    """What the Admin API says at one moment."""

    stats: Object
    hot: Sequence[Object]


def look(ask: Callable[[str], Object]) -> Seen:
    """ask: of a place below /apisix/admin."""
    return Seen(ask("stats"), ask("limits")["list"])


def frame(before: Seen, now: Seen, title: str, width: int = 120, height: int | None = None) -> list[str]:
    """The lines of one picture; no longer than width, and no more than height."""
    seconds = max(now.stats["time"] - before.stats["time"], 1e-9)
    quick = "  ".join(_latency(before.stats, now.stats, share) for share in (0.5, 0.99))
    lines = [f"fastgw {plain(title)}  revision {now.stats['revision']}  {quick}", _totals(before.stats, now.stats, seconds), ""]
    lines += [*_processes(before.stats, now.stats, seconds), ""]
    room = ROWS if height is None else (height - len(lines) - HEADS) // LISTS
    rows = max(min(room, ROWS), 1)
    below = ["", *_nodes(before.stats, now.stats, seconds, rows)]
    below += ["", *_consumers(before.stats, now.stats, seconds, rows), "", *_refusals(before.stats, now.stats, seconds, rows)]
    lines.append(LIMIT_FORM.format(*LIMIT_HEAD))
    limits = [_limit(each) for each in now.hot] or ["no limit was asked in the last ten seconds"]
    # There may be a hundred of them: they have what the others leave.
    lines += limits if height is None else limits[: max(height - len(lines) - len(below), 1)]
    lines += below
    return [line[:width].rstrip() for line in lines[:height]]


def plain(text: str) -> str:
    """Without what a terminal would obey: everything that is no printable character stands as its number."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _totals(before: Object, now: Object, seconds: float) -> str:
    per = [f"{name} {now['totals'][member]} ({_rate(before, now, member, seconds)}/s)" for name, member in TOTALS]
    return "  ".join(per)


def _latency(before: Object, now: Object, share: float) -> str:
    found = quantile(before["latency_us"], now["latency_us"], share)
    return f"p{share * 100:.0f} {'-' if found is None else f'{_number(found)} ms'}"


def quantile(before: Sequence[Sequence[int]], now: Sequence[Sequence[int]], share: float) -> float | None:
    """Of what came between, in ms: the bound of the bucket in which it lies. Both are pairs of a bound in us and a count."""
    known = {each[0]: each[1] for each in before}
    came = [(bound, count - known.get(bound, 0)) for bound, count in now]
    wanted, seen = share * sum(count for _, count in came), 0
    for bound, count in came:
        seen += count
        if count and seen >= wanted:
            return bound / 1000
    return None


def _rate(before: Object, now: Object, member: str, seconds: float) -> str:
    return _number((now["totals"][member] - before["totals"][member]) / seconds)


def _processes(before: Object, now: Object, seconds: float) -> Iterator[str]:
    yield WORKER_FORM.format("PROCESS", "PID", "STATE", "REQUESTS/s", "4xx/s", "5xx/s", "REVISION")
    known = {each["pid"]: each for each in before["processes"]}
    for each in now["processes"]:
        was = known.get(each["pid"], each)  # one that has just come: its slot's counts are another's
        rates = [_number((each[name] - was[name]) / seconds) for name in ("requests", "responses_4xx", "responses_5xx")]
        yield WORKER_FORM.format(each["role"], each["pid"], each["state"], *rates, each["revision"])


def _shares(before: Object, now: Object, kind: str, member: str, seconds: float, rows: int) -> Iterator[tuple[str, list[str]]]:
    """Name and rates of those of a kind that were asked most: requests, 4xx, 5xx, ms of the upstream or in all."""
    known = {each[member]: each for each in before[kind]}
    time_of = "upstream_us" if kind == "nodes" else "request_us"
    found = []
    for each in now[kind]:
        was = known.get(each[member], each)  # of one that has just come into the list, nobody knows what it had
        asked = each["requests"] - was["requests"]
        rates = [(each[name] - was[name]) / seconds for name in ("requests", "responses_4xx", "responses_5xx")]
        found.append((each[member], rates, (each[time_of] - was[time_of]) / asked / 1000 if asked else None))
    found.sort(key=lambda each: -each[1][0])
    for name, rates, mean in found[:rows]:
        yield name, [*map(_number, rates), "-" if mean is None else _number(mean)]


def _nodes(before: Object, now: Object, seconds: float, rows: int) -> Iterator[str]:
    """Those first that are not well, and then those that are asked most."""
    yield SHARE_FORM.format("NODE", "REQUESTS/s", "4xx/s", "5xx/s", "MEAN ms", "HEALTH")
    states: dict[str, set[str]] = {}
    for each in now["upstreams"]:
        states.setdefault(each["ip"], set()).add(f"{each['port']} {each['state'].replace('_', ' ')}")
    told = dict(_shares(before, now, "nodes", "node", seconds, rows))
    names = [*told, *(each for each in states if each not in told)]
    ill = {each["ip"] for each in now["upstreams"] if each["state"] not in WELL}
    names.sort(key=lambda name: name not in ill)
    for name in names[:rows]:
        rates = told.get(name, ["0.0"] * 3 + ["-"])
        yield SHARE_FORM.format(plain(name), *rates, ", ".join(sorted(states.get(name, ["-"]))))


def _consumers(before: Object, now: Object, seconds: float, rows: int) -> Iterator[str]:
    yield SHARE_FORM.format("CONSUMER", "REQUESTS/s", "4xx/s", "5xx/s", "MEAN ms", "")
    for name, rates in _shares(before, now, "consumers", "consumer", seconds, rows):
        yield SHARE_FORM.format(plain(name), *rates, "")


def _refusals(before: Object, now: Object, seconds: float, rows: int) -> Iterator[str]:
    yield "{:<34} {:>10} {:>8}".format("REFUSED", "PER s", "SO FAR")
    told = [(reason, (n - before["refused"].get(reason, 0)) / seconds, n) for reason, n in now["refused"].items()]
    for reason, rate, n in sorted(told, key=lambda each: (-each[1], -each[2]))[:rows]:
        yield f"{plain(reason):<34} {_number(rate):>10} {n:>8}"


def _limit(each: Object) -> str:
    of = f"{each['owner']} {each['plugin']}" + (f" {each['rule']}" if "rule" in each else "")
    numbers = [_number(each["hits_per_second"]), _number(each["refused_per_second"])]
    numbers += ["-" if each[name] is None else str(each[name]) for name in ("limit", "consumed", "remaining")]
    reset = "-" if each["reset"] is None else f"{each['reset']:.0f}s"
    return LIMIT_FORM.format(*numbers, reset, plain(of), "-" if each["key"] is None else plain(each["key"]))


def _number(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


# -- the terminal --------------------------------------------------------------------------------------


def live(ask: Callable[[str], Object], title: str, interval: float) -> None:
    """Frames until q, or until it is interrupted."""
    before = now = look(ask)
    with _screen() as wants_out:
        while True:
            size = os.get_terminal_size(sys.stdout.fileno())
            lines = frame(before, now, title, size.columns, size.lines - 1)
            text = "".join(f"{line}{TO_LINE_END}\n" for line in lines)
            sys.stdout.write(f"{HOME}{text}{TO_SCREEN_END}")
            sys.stdout.flush()
            if wants_out(interval):
                return
            before, now = now, look(ask)


def once(ask: Callable[[str], Object], title: str, interval: float) -> list[str]:
    """One frame, of that many seconds."""
    before = look(ask)
    time.sleep(interval)
    return frame(before, look(ask), title)


@contextmanager
def _screen() -> Iterator[Callable[[float], bool]]:
    """The terminal for frames; gives what waits so many seconds and says whether q was pressed."""
    keys = sys.stdin.fileno() if sys.stdin.isatty() else None
    kept = None if keys is None else termios.tcgetattr(keys)

    def wants_out(seconds: float) -> bool:
        if keys is None:
            time.sleep(seconds)
            return False
        ready, _, _ = select.select([keys], [], [], seconds)
        pressed = os.read(keys, 64) if ready else b"-"
        return not pressed or not set(b"qQ").isdisjoint(pressed)

    if keys is not None:
        tty.setcbreak(keys)
    sys.stdout.write(ENTER)
    try:
        yield wants_out
    finally:
        sys.stdout.write(LEAVE)
        sys.stdout.flush()
        if keys is not None and kept is not None:
            termios.tcsetattr(keys, termios.TCSADRAIN, kept)
