"""The examples with curl on a page of docs/plugins: what a reader would type, and what he is told that he will see.

Owns how an example is written down, run and compared. Must not know any plugin.

    ```sh                 commands. Of what they print, the fence behind it (one without a language and without `$ `) shows the
    curl …                end; with no such fence they must work, and nothing is said of what they print
    ```
    ```                   commands, each with all that it prints
    $ curl …
    HTTP/1.1 200 OK
    …                     stands for any lines, and within a line for any text
    ```

127.0.0.1:9080 is the gateway, 127.0.0.1:9180 its Admin API, 127.0.0.1:1980 the echo upstream, $key and $KEY the admin key. Where
a page writes no route there is one for every path, with the plugin: as `{}`, or as a comment behind the command has it:

    $ curl -i http://127.0.0.1:9080/anything      # "whitelist": ["10.0.0.0/8"]

Of an answer's head, lines that every answer has (Date, Server, …) need not be shown. Ids that are random and times that pass are
compared by their form. What a loop prints that runs its commands side by side (`& done`) may come in any order.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.support.gateway import ADMIN_KEY, Gateway

__all__ = ["Example", "differs", "examples", "run_page", "writes_routes"]

FENCE: Final = re.compile(r"(?m)^```(\w*)\n(.*?)^```$", re.DOTALL)
ALWAYS: Final = ("date", "server", "content-length", "connection", "keep-alive", "transfer-encoding")
FORMS: Final = (
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "<uuid>"),
    (re.compile(r"\b\d{9,}\b"), "<number>"),
    (re.compile(r"\b\d+\.\d+\b(?!\.)"), "<time>"),
    (re.compile(r"\b[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT\b"), "<date>"),
)
PATIENCE_S: Final = 60


class Example(NamedTuple):
    """Commands and what is shown of what they print."""

    commands: str
    shown: list[str] | None
    whole: bool
    """It is all of it, and not only the end."""

    @property
    def conf(self) -> dict[str, Any] | None:
        """The plugin's configuration in a comment behind the command."""
        found = re.search(r"\s# (\".*)$", self.commands)
        return None if found is None else json.loads(f"{{{found[1]}}}")


def examples(page: str) -> list[Example]:
    """Those of a page, in their order."""
    found: list[Example] = []
    fences = [(match[1], match[2]) for match in FENCE.finditer(page)]
    for at, (language, text) in enumerate(fences):
        if language == "sh" and "curl " in text:
            follows = fences[at + 1] if at + 1 < len(fences) else ("", "$ ")
            shows = follows[0] == "" and not follows[1].startswith("$ ")
            found.append(Example(text, follows[1].splitlines() if shows else None, whole=False))
        elif not language and text.startswith("$ "):
            found += [each for each in _typed(text) if "curl " in each.commands]
    return found


def writes_routes(page: str) -> bool:
    return any(re.search(r"apisix/admin/(routes|configs|global_rules)\b", each.commands) for each in examples(page))


def run_page(page: str, plugin: str, gateway: Gateway, directory: Path) -> Iterator[str]:
    """What does not come out as the page says."""
    for ours, real in (("127.0.0.1:9080", gateway.data), ("127.0.0.1:9180", gateway.admin), ("127.0.0.1:1980", gateway.echo)):
        page = page.replace(ours, str(real))
    own_routes = writes_routes(page)
    written: dict[str, Any] | None = None
    for example in examples(page):
        conf = example.conf or written or {}
        if not own_routes and conf != written:
            written = conf
            node = {"type": "roundrobin", "nodes": {str(gateway.echo): 1}}
            gateway.put("routes/the-example", {"uri": "/*", "plugins": {plugin: conf}, "upstream": node})
        said = _run(example.commands, directory)
        if said.returncode != 0:
            yield f"{example.commands}\nexit code {said.returncode}: {said.stderr}"
        elif example.shown is None:
            if "error_msg" in said.stdout:
                yield f"{example.commands}\n{said.stdout}"
        elif differs(said.stdout.splitlines(), example.shown, whole=example.whole, ordered="& done" not in example.commands):
            shown = "\n".join(example.shown)
            yield f"{example.commands}\n--- prints\n{said.stdout}\n--- and is said to print\n{shown}"


def differs(printed: list[str], shown: list[str], *, whole: bool, ordered: bool = True) -> bool:
    """whole: it must be all that was printed; ordered: in that order."""
    names = {line.partition(":")[0].lower() for line in shown}
    lines = [line for line in printed if (name := line.partition(":")[0].lower()) in names or name not in ALWAYS]
    wanted = [line for line in shown if line.strip()]
    lines = [line for line in lines if line.strip()]
    if not ordered:
        last = 0 if whole else max(0, len(lines) - len(wanted))
        lines, wanted = sorted(map(_form, lines[last:])), sorted(map(_form, wanted))
    pattern = "".join("(?:.*\n)*" if line.strip() == "…" else f"{_pattern(line)}\n" for line in wanted)
    text = "".join(f"{_form(line)}\n" for line in lines)
    return re.fullmatch(pattern if whole else f"(?:.*\n)*{pattern}", text) is None


def _typed(text: str) -> Iterator[Example]:
    """Of a session: each command, which may have several lines, and what is shown behind it."""
    for part in re.split(r"(?m)^\$ ", text)[1:]:
        lines = part.splitlines()
        count = next((n for n in range(1, len(lines) + 1) if _complete("\n".join(lines[:n]))), len(lines))
        yield Example("\n".join(lines[:count]), lines[count:] or None, whole=True)


def _complete(command: str) -> bool:
    return command.count("'") % 2 == 0 and not command.endswith("\\")


def _run(commands: str, directory: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = {**os.environ, "PATH": path, "key": ADMIN_KEY, "KEY": ADMIN_KEY, "LC_ALL": "C.UTF-8", "http_proxy": "", "no_proxy": "*"}
    return subprocess.run(
        ["bash", "-c", commands], cwd=directory, env=env, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


def _form(line: str) -> str:
    line = line.rstrip()
    for pattern, form in FORMS:
        line = pattern.sub(form, line)
    return line


def _pattern(line: str) -> str:
    quoted: Callable[[str], str] = re.escape
    return ".*".join(map(quoted, _form(line).split("…")))
