"""What examples/deploy shows can be used: configurations are good, commands exist, the health check tells when it is not."""

import configparser
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from fastgw.schema.yaml_text import read_yaml
from tests.support.gateway import Gateway, free_addresses
from tests.support.processes import ROOT

DEPLOY = ROOT / "examples" / "deploy"


def check(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "fastgw", "check", str(path)], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("name", ["container.json", "compose.json"])
def test_configurations_are_good(name: str) -> None:
    done = check(DEPLOY / name)
    assert done.returncode == 0, done.stderr


def test_the_health_check_of_the_image(directory: Path) -> None:
    line = re.search(r"^    CMD (\[.*\])$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert line
    status = free_addresses(1)[0]
    program = json.loads(line[1])[2].replace("127.0.0.1:7085", str(status))
    with Gateway(directory, {"status": str(status)}):
        assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode != 0


def test_the_compose_file_names_what_there_is() -> None:
    services = read_yaml((DEPLOY / "compose.yaml").read_text(), 20)[0]["services"]
    for service in services.values():
        if "build" in service:
            assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    assert (DEPLOY / services["gateway"]["volumes"][0].split(":")[0]).is_file()
    nodes = json.loads((DEPLOY / "compose.json").read_text())["routes"][0]["upstream"]["nodes"]
    assert {node.split(":")[0] for node in nodes} <= set(services)


def test_the_unit_is_one() -> None:
    unit = configparser.RawConfigParser(strict=True)
    unit.optionxform = str  # type: ignore[method-assign,assignment]
    unit.read(DEPLOY / "fastgw.service")
    service = unit["Service"]
    assert (service["Type"], service["NotifyAccess"], service["RestartPreventExitStatus"]) == ("notify", "all", "2")
    assert shlex.split(service["ExecStart"])[0].endswith("/bin/fastgw")
