"""The command line: `python -m bench [run|list|compare|report]`, run if none is named."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import NoReturn

from bench import machine, report, results, tables
from bench.compare import compare
from bench.peers import INSTALL, PEERS
from bench.process import BenchError
from bench.results import Result
from bench.rounds import Plan, play
from bench.scenarios import SCENARIOS, Scenario
from bench.scenarios.base import Entry

TOOLS = ("wrk", "nginx", "cc", "taskset", "setpriv")  # load, upstream, building and pinning: without them nothing runs
COMMANDS = ("run", "list", "compare", "report")
DEFAULT = "jwt-limit"
QUICK = {"rounds": 1, "seconds": 1}


def _say(text: str) -> None:
    print(text, flush=True)


def _names(known: Sequence[str], what: str, text: str) -> list[str]:
    """A comma-separated choice of known names, in the order of `known`."""
    chosen = [name.strip() for name in text.split(",") if name.strip()]
    for name in chosen:
        if name not in known:
            raise argparse.ArgumentTypeError(f"no {what} {name!r}; there are {', '.join(known)}")
    return [name for name in known if name in chosen]


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, found {text!r}")
    return int(text)


def _peer_names(text: str) -> list[str]:
    return _names(list(PEERS), "peer", text)


def _scenario_names(text: str) -> list[str]:
    return list(SCENARIOS) if text == "all" else _names(list(SCENARIOS), "scenario", text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="measure (the default)")
    run.add_argument("--rounds", type=_positive, help="default 5")
    run.add_argument("--seconds", type=_positive, help="per peer and round; default 5")
    run.add_argument("--quick", action="store_true", help="1 round of 1 s of all scenarios: does everything run?")
    run.add_argument("--connections", type=_positive, default=64)
    run.add_argument("--workers", type=_positive, default=1)
    run.add_argument("--peers", type=_peer_names, help="comma-separated; default all of the scenario")
    run.add_argument("--scenario", type=_scenario_names, help=f"comma-separated, or all; default {DEFAULT}")
    run.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    run.add_argument("--save", action="store_true", help="file the result under bench/results by commit")
    commands.add_parser("list", help="scenarios and peers, and what is missing here")
    two = commands.add_parser("compare", help="what changed between two results")
    two.add_argument("before", help="a file, or the beginning of a filed commit")
    two.add_argument("after")
    page = commands.add_parser("report", help="write the pages from a filed result")
    page.add_argument("result", nargs="?", help="a file or commit; default the latest filed")
    page.add_argument("--markdown", type=Path, default=machine.ROOT / "docs" / "benchmarks.md")
    page.add_argument("--html", type=Path, default=machine.ROOT / "docs" / "benchmarks.html")
    return parser


def _absent_tools() -> list[str]:
    return [tool for tool in TOOLS if not shutil.which(tool)]


def _list() -> int:
    for name, scenario in SCENARIOS.items():
        peers = dict.fromkeys(entry.peer for entry in scenario.entries)
        print(f"{name:17} {scenario.about}\n{'':17} peers: {', '.join(peers)}")
    print()
    lacking = bool(_absent_tools())
    for name, peer in PEERS.items():
        missing = peer.missing()
        lacking |= bool(missing)
        print(f"{name:17} {peer.about}" + (f"\n{'':17} MISSING: {', '.join(missing)}" if missing else ""))
    if lacking:
        print(f"\nPrograms of peers: {INSTALL}")
    return 0


def _available(scenario: Scenario, wanted: Sequence[str] | None) -> list[Entry]:
    """The scenario's entries whose peers this machine can run; what is left out is said."""
    chosen = [entry for entry in scenario.entries if wanted is None or entry.peer in wanted]
    missing = {entry.peer: PEERS[entry.peer].missing() for entry in chosen}
    for name, lacking in missing.items():
        if lacking:
            _say(f"  {name}: skipped: missing {', '.join(lacking)}")
    if any(missing.values()):
        _say(f"  programs of peers: {INSTALL}")
    return [entry for entry in chosen if not missing[entry.peer]]


def _plan(options: argparse.Namespace) -> Plan:
    usual = QUICK if options.quick else {"rounds": 5, "seconds": 5}
    rounds, seconds = options.rounds or usual["rounds"], options.seconds or usual["seconds"]
    return Plan(rounds, seconds, options.connections, options.workers, _say)


def _method(plan: Plan) -> dict[str, str]:
    gateway, rest = plan.cores()
    return {
        "rounds": str(plan.rounds),
        "seconds": str(plan.seconds),
        "connections": str(plan.connections),
        "workers": str(plan.workers),
        "gateway cores": ",".join(map(str, gateway)),
        "load and upstream cores": ",".join(map(str, rest)),
        "load": f"wrk {machine.number_in(machine.first_line(['wrk', '-v']))} (closed loop), bench.openloop (open loop)",
    }


def _run(options: argparse.Namespace) -> int:
    if absent := _absent_tools():
        raise BenchError(f"missing {', '.join(absent)}: {INSTALL}")
    plan = _plan(options)
    date = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    result = Result(machine.commit(), date, machine.describe(), _method(plan))
    for name in options.scenario or (list(SCENARIOS) if options.quick else [DEFAULT]):
        scenario = SCENARIOS[name]
        _say(f"{name}: {scenario.about}")
        entries = _available(scenario, options.peers)
        if not entries:
            _say("  nobody to measure")
            continue
        result.scenarios[name] = play(scenario, entries, plan)
        _say("\n" + tables.in_text(name, result.scenarios[name]) + "\n")
    if options.json:
        result.save(options.json)
    if options.save:
        _say(f"filed as {results.file_result(result).relative_to(machine.ROOT)}")
    return 1 if any(tables.refusals(one) for one in result.scenarios.values()) else 0


def _report(options: argparse.Namespace) -> int:
    result = results.load(results.find(options.result) if options.result else results.latest())
    for path, text in ((options.markdown, report.markdown(result)), (options.html, report.html(result))):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(f"wrote {path}")
    return 0


def _compare(options: argparse.Namespace) -> int:
    before, after = (results.load(results.find(name)) for name in (options.before, options.after))
    print(compare(before, after))
    return 0


def _terminated(_signal: int, _frame: object) -> NoReturn:
    """TERM unwinds like Ctrl-C, so that every program started is stopped."""
    raise SystemExit(143)


def main(arguments: Sequence[str]) -> int:
    named = bool(arguments) and arguments[0] in (*COMMANDS, "-h", "--help")
    options = _parser().parse_args(arguments if named else ["run", *arguments])
    signal.signal(signal.SIGTERM, _terminated)
    try:
        if options.command == "run":
            return _run(options)
        if options.command == "compare":
            return _compare(options)
        return _report(options) if options.command == "report" else _list()
    except (BenchError, results.UnknownResultError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bench: stopped", file=sys.stderr)
        return 130
