"""What tests of users' plugins share: how one is written down, and a package that brings one by an entry point.

Must not know what any test claims.
"""

from pathlib import Path
from typing import Any

from tests.support.wire import Address

HEAD = "from fastgw.plugin import *\nimport asyncio\n"


def source(name: str, body: str, *, phases: str, priority: int = 100, conf: str = "    pass") -> str:
    """A module with one plugin; body: its methods, conf: the members of its configuration."""
    return (
        f"{HEAD}class Conf(PluginConf, frozen=True, kw_only=True):\n{conf}\n"
        f"class Own(Plugin):\n    name = {name!r}\n    priority = {priority}\n    phases = {phases}\n    conf = Conf\n{body}\n"
    )


def write(directory: Path, **files: str) -> Path:
    """The directory `plugins` in this one, with these modules."""
    made = directory / "plugins"
    made.mkdir(mode=0o755, exist_ok=True)
    for name, text in files.items():
        (made / f"{name}.py").write_text(text)
        (made / f"{name}.py").chmod(0o644)
    return made


def package(directory: Path, name: str, text: str, *entries: str) -> Path:
    """What an installer leaves of a package: its module and what it declares. To be put on the path."""
    site = directory / "site"
    about = site / f"{name}-1.0.dist-info"
    about.mkdir(parents=True)
    (site / f"{name}.py").write_text(text)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("\n".join(["[fastgw.plugins]", *entries, ""]))
    return site


def routes(upstream: Address, **plugins: dict[str, Any]) -> list[dict[str, Any]]:
    """A route for each, of that name."""
    node = {"type": "roundrobin", "nodes": {str(upstream): 1}}
    return [{"id": name, "uri": f"/{name}", "upstream": node, "plugins": own} for name, own in plugins.items()]
