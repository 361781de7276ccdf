"""The house's rules, as tests: linters, types, the import ladder, the walls, what must not stand here."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import ROOT

MOST_LINES = 500
REASON = "Over 500 lines because"  # in the opening comment of a file that must be longer
NATIVE = {".pyx", ".pxd", ".pxi", ".h"}
NOT_OURS = {"_core.c", ".git"}  # written by Cython and git beside the sources
TOP = ["fastgw", "bench", "tests", "docs", "examples", ".ci", ".github"]

# A module imports only from rungs below its own, or from its own package. `core`, `asgi` and `wsgi` are the
# library; what `process` to `resolve` do for the processes knows no configuration.
LADDER = [
    {"errors", "files"},
    {"schema", "http_client"},
    {"storage", "versions"},
    {"store"},
    {"objectset"},
    {"_core"},
    {"core", "cache"},
    {"plugins"},
    {"parts", "pools", "claims", "plugin", "revocations", "redis_client", "tls", "dns_message"},
    {"upstreams", "misfits", "undo", "redis_limits", "dns_client", "inherited", "entries"},
    {"compile", "config"},
    {"health", "logs", "datadir", "memory", "plugin_log", "process", "resolve", "sockets", "handover", "service_manager"},
    {"embedded", "slots", "unaccepted", "plugin_reload"},
    {"dataplane", "echo", "supervisor", "tokens", "revoke", "top", "metrics"},
    {"follow"},
    {"admin", "worker", "asgi", "wsgi", "testing"},
    {"family", "offline"},
    {"upgrade", "renewed"},
    {"master", "places"},
    {"transfer", "restart", "skeleton"},
    {"cli"},
    {"__main__"},
]
RUNG = {name: height for height, names in enumerate(LADDER) for name in names}


def files(*suffixes: str, under: list[str] | None = None) -> list[Path]:
    """The repository's own files; those written by builds and test runs are left out."""
    found = [path for path in ROOT.iterdir() if path.is_file() and under is None]
    for top in under or TOP:
        found += [path for path in (ROOT / top).rglob("*") if path.is_file()]
    wanted = [path for path in found if not suffixes or path.suffix in suffixes]
    return sorted(
        path
        for path in wanted
        if path.suffix != ".so" and path.name not in NOT_OURS and not {"__pycache__", "raw"} & set(path.parts)
    )


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def text(path: Path) -> str:
    return path.read_text(errors="replace")


# ---- tools ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["cython-lint", "fastgw"],
        ["mypy"],
    ],
    ids=lambda command: " ".join(command),
)
@pytest.mark.timeout(300)
def test_tool_finds_nothing(command: list[str]) -> None:
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PATH": beside}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# ---- imports run one way -------------------------------------------------------------------------


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Line and top-level module name of every import from fastgw, wherever in the file it stands."""
    for node in ast.walk(ast.parse(text(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("fastgw."):
                    yield node.lineno, alias.name.split(".")[1]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
            package, *rest = node.module.split(".")
            if package == "fastgw" and rest:
                yield node.lineno, rest[0]
            elif package == "fastgw":
                yield from ((node.lineno, a.name) for a in node.names if a.name != "__version__")


def own(path: Path) -> str:
    """The module or package of fastgw that a file belongs to."""
    return path.relative_to(ROOT / "fastgw").parts[0].split(".")[0]


@pytest.mark.parametrize("path", files(".py", ".pyi", under=["fastgw"]), ids=name)
def test_imports_go_down_the_ladder(path: Path) -> None:
    module = own(path)
    if module == "__init__":
        assert not list(imported(path)), "fastgw/__init__.py imports nothing of ours"
        return
    assert module in RUNG, f"{module}: give it a place in the ladder"
    wrong = [
        f"{name(path)}:{line}: {module} may not import {other}"
        for line, other in imported(path)
        if other != module and (other not in RUNG or RUNG[other] >= RUNG[module])
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", files(".pyx", ".pxi", ".pxd", under=["fastgw"]), ids=name)
def test_the_native_core_imports_only_errors(path: Path) -> None:
    found = re.findall(r"(?m)^\s*(?:from|c?import)\s+fastgw(?:\.(\w+))?", text(path))
    assert set(found) <= {"errors"}


def test_the_interpreter_is_entered_from_few_rooms() -> None:
    """A request of native plugins never takes the GIL: only Python plugins, signatures by `cryptography`, hashes that are not
    remembered, regular expressions in conditions and rewrites, variables out of bodies that have to be parsed, and copies that
    Python plugins asked for do."""
    entering = {path.name for path in files(*NATIVE, under=["fastgw"]) if re.search(r"\bwith gil\b", text(path))}
    assert entering == {
        "collect.pxi",
        "copies.pxi",
        "encode.pxi",
        "expr.pxi",
        "password.pxi",
        "posted.pxi",
        "pyrequest.pxi",
        "pystep.pxi",
        "regex.pxi",
        "verify.pxi",
    }


IMPORT_EACH = """
import asyncio, importlib, os, ssl, sys, traceback
import cryptography.x509, msgspec, re2, redis.asyncio, uvloop, yaml
for name in sys.argv[1:]:
    if os.fork() == 0:
        try:
            importlib.import_module(name)
            print("imported", flush=True)
        except BaseException:
            print(name, traceback.format_exc(), flush=True)
        os._exit(0)
    os.wait()
"""


def test_every_module_can_be_imported_alone() -> None:
    """A cycle hides behind import order: so each is the first of ours in a fork that knows only others'."""
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files(".py", under=["fastgw"])]
    names = [name.removesuffix(".__init__") for name in modules if not name.endswith("__main__")]
    command = [sys.executable, "-W", "error", "-c", IMPORT_EACH, *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "imported\n" * len(names)), done.stdout + done.stderr


# ---- walls ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", files(".py", *NATIVE, under=["fastgw", "bench", "tests"]), ids=name)
def test_a_file_has_a_length_that_one_can_read(path: Path) -> None:
    lines = text(path).splitlines()
    assert len(lines) <= MOST_LINES or REASON in "\n".join(lines[:20]), f"{len(lines)} lines"


@pytest.mark.parametrize("path", files(".py", *NATIVE, under=["fastgw", "bench", "tests"]), ids=name)
def test_a_file_opens_with_what_it_owns(path: Path) -> None:
    content = text(path)
    if path.suffix == ".py":
        assert ast.get_docstring(ast.parse(content)), "expected a docstring"
    else:
        assert content.startswith(("#", "/*", "//")), "expected an opening comment"


# ---- what must not stand here --------------------------------------------------------------------

FORBIDDEN = {
    "a path of one machine": r"(?<![\w.$}*])/(?:work|farm|root|home/\w+|tmp/(?:wt|venv|fgw))/",
    "unfinished work": r"\b(?:TO[D]O|FIX[M]E|XX[X]|NotImplemented[E]rror)\b",
    "a skip that nobody will see": r"pytest\.mark\.(?:sk[i]p|xf[a]il)\b(?!if)",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_the_repository_is_free_of(what: str) -> None:
    found = [
        f"{name(path)}:{number}: {line.strip()[:100]}"
        for path in files()
        for number, line in enumerate(text(path).splitlines(), 1)
        if re.search(FORBIDDEN[what], line)
    ]
    assert not found, f"{what}:\n" + "\n".join(found)


# ---- documents that must agree -------------------------------------------------------------------


def test_readme_has_the_two_commands() -> None:
    """Each is one line to copy; .ci/run reads the second from here by its mark."""
    for mark, parts in {
        "run": ["pip install .", "fastgw config.json"],
        "test": ["pip install -e '.[test]'", "-m pytest -n 3"],
    }.items():
        blocks = re.findall(rf"<!-- command: {mark} -->\n```sh\n(.*?)```", text(ROOT / "README.md"), re.DOTALL)
        assert len(blocks) == 1, mark
        assert blocks[0].count("\n") == 1, blocks[0]
        assert all(part in blocks[0] for part in parts), blocks[0]


def test_programs_that_tests_drive_are_in_one_list_that_ci_installs() -> None:
    """One that CI does not install fails there, by FASTGW_REQUIRE_PROGRAMS."""
    listed = re.findall(r"([\w-]+):[\w-]+", text(ROOT / ".ci" / "install").partition("PROGRAMS=(")[2].partition(")")[0])
    driven = {found for path in files(".py", under=["tests"]) for found in re.findall(r"\bprogram\(\"([\w-]+)\"\)", text(path))}
    assert driven - set(listed) == set()
    jobs = re.split(r"(?m)^  (?=[\w-]+:$)", text(ROOT / ".github" / "workflows" / "tests.yml").partition("\njobs:\n")[2])
    testing = [job for job in jobs if "python -m pytest" in job]
    assert [job.partition(":")[0] for job in testing] == ["test", "lowest"]
    for job in testing:
        assert "- run: .ci/install\n" in job.partition("python -m pytest")[0]
        assert "apt-get" not in job
    assert "\n.ci/install\n" in text(ROOT / ".ci" / "run").partition("timeout 1200")[0]


def test_the_changelog_knows_this_version() -> None:
    from fastgw import __version__

    assert re.search(rf"(?m)^## \[({re.escape(__version__)}|Unreleased)\]", text(ROOT / "CHANGELOG.md"))


@pytest.mark.parametrize("path", files(".md"), ids=name)
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text(path)):
        if "://" not in target and not target.startswith("mailto:"):
            assert (path.parent / target).exists(), f"{name(path)}: {target}"
