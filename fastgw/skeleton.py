"""`fastgw plugin new`: the beginning of a plugin, a file that works and a test that passes.

Owns: what the two files hold and where they go. Must not know the contract beyond what a plugin of one method needs.
"""

import keyword
import os
import re
from pathlib import Path
from typing import Final

from fastgw.errors import FastgwError
from fastgw.plugins import order

__all__ = ["make"]

_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}[a-z0-9]")

_PLUGIN: Final = '''"""{name}: says upstream which route a request took."""

from fastgw.plugin import Plugin, PluginConf, Reply, Request


class Conf(PluginConf, frozen=True, kw_only=True):
    """{name}: what is said.

    header: the header of the request that names the route
    """

    header: str = "X-Route"


class {klass}(Plugin):
    """One method for each name in `phases`: see docs/writing-a-plugin.md of fastgw."""

    name = "{name}"
    priority = 500
    phases = ("access",)
    conf = Conf

    def access(self, conf: Conf, request: Request) -> Reply | None:
        """None lets the request go on, a Reply answers it."""
        request.set_header(conf.header, request.route_id or "")
        return None
'''

_TEST: Final = '''"""What {name} does to a request: pytest with the fixtures of fastgw.testing, which come with fastgw."""

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastgw.testing import RunningGateway, free_port

PLUGINS = Path(__file__).resolve().parent / "{plugins}"


def test_the_upstream_is_told_the_route(fastgw_gateway: Callable[[Any], RunningGateway]) -> None:
    echo = f"127.0.0.1:{{free_port()}}"  # answers with what it was asked
    upstream = {{"type": "roundrobin", "nodes": {{echo: 1}}}}
    route = {{"id": "one", "uri": "/*", "plugins": {{"{name}": {{"header": "X-Came-By"}}}}, "upstream": upstream}}
    gateway = fastgw_gateway({{"plugins_dir": str(PLUGINS), "echo": echo, "routes": [route]}})
    with urllib.request.urlopen(f"{{gateway.url}}/anything") as answer:
        seen = json.load(answer)
    assert seen["headers"]["X-Came-By"] == "one"
'''


def make(name: str, plugins: Path, tests: Path) -> tuple[Path, Path]:
    """Writes the plugin and its test, never over a file that is there; gives their paths."""
    if not _NAME.fullmatch(name):
        raise FastgwError(f"expected letters a to z, digits and '-', 2 to 64, found {name!r}")
    if name in order.names():
        raise FastgwError(f'"{name}" is that of a plugin of the gateway; expected another')
    module = name.replace("-", "_")
    if keyword.iskeyword(module):
        raise FastgwError(f'"{name}" is a word of Python; expected another')
    if plugins.resolve() == tests.resolve():
        raise FastgwError(f"{tests}: every file in the directory of plugins is one; expected another for the test")
    files = plugins / f"{module}.py", tests / f"test_{module}.py"
    for path in files:
        if path.exists():
            raise FastgwError(f"{path}: is there already")
    klass = "".join(part.capitalize() for part in name.split("-"))
    where = os.path.relpath(plugins.resolve(), tests.resolve())
    texts = _PLUGIN.format(name=name, klass=klass), _TEST.format(name=name, plugins=where)
    for path, text in zip(files, texts, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o644, exist_ok=False)
        path.write_text(text)
    return files
