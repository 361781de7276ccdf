"""The plugins of docs/writing-a-plugin.md do what the page says."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugins.mirror import Answer, ask, mirror
from tests.plugins.own import routes, write
from tests.support import wire
from tests.support.gateway import Gateway
from tests.support.processes import ROOT
from tests.support.redis import Server
from tests.support.upstreams import Scripted
from tests.support.wire import Address

PAGE = (ROOT / "docs" / "writing-a-plugin.md").read_text()
FILES = dict(re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL))
SECRET = "s3cret"
PIECES = ["a s3c", "ret and s3cre", "t, s3cres3cret s", "3", "cre"]
HEAD = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKED = HEAD + "".join(f"{len(piece):x}\r\n{piece}\r\n" for piece in PIECES) + "0\r\n\r\n"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The page's plugins and configuration, with routes for those that it does not configure."""
    directory = tmp_path_factory.mktemp("guide")
    made = write(directory, **{Path(name).stem: text for name, text in FILES.items() if name.endswith(".py")})
    config = json.loads(FILES["config.json"])
    assert config["plugins_dir"] == made.name
    with Server(directory) as redis, mirror() as upstream, Scripted([CHUNKED.encode()]) as scripted:
        for route in config["routes"]:
            route["upstream"]["nodes"] = {str(upstream.address): 1}
        config["routes"] += routes(upstream.address, tier={"tier": {"url": f"redis://{redis.address}/0"}})
        config["routes"] += routes(scripted.address, mask={"mask": {"text": SECRET}})
        config |= {"plugins_dir": str(made), "echo": True}
        with Gateway(directory, config) as running:
            running.redis = redis.address  # type: ignore[attr-defined]
            yield running


def test_these_are_the_plugins_of_the_page() -> None:
    assert set(FILES) == {"plugins/stamp.py", "plugins/tier.py", "plugins/mask.py", "config.json"}


def test_headers_are_stamped(gateway: Gateway) -> None:
    answer = ask(gateway, "/anything", "x_route: forged")
    assert (answer.status, header(answer, "X.Route"), answer.header("X-Answered-By")) == (200, "one", ["fastgw"])
    assert ask(gateway, "/anything", "X-Debug: 1").body == b'{"message":"not in production"}\n'


def test_something_is_looked_up_in_redis(gateway: Gateway) -> None:
    said(gateway.redis, "HSET tiers ann-key gold")  # type: ignore[attr-defined]
    for _ in range(3):
        answer = ask(gateway, "/tier", "apikey: ann-key", "x-tier: forged", "X_Tier: forged")
        assert (answer.status, header(answer, "x.tier")) == (200, "gold")
        assert ask(gateway, "/tier", "apikey: other", "X-Tier: gold").body == b'{"message":"no tier"}\n'


def test_a_body_is_changed_over_the_seams_of_its_pieces(gateway: Gateway) -> None:
    whole = "".join(PIECES)
    assert gateway.get("/mask").body.decode() == whole.replace(SECRET, "*" * len(SECRET))
    assert SECRET in whole


def header(answer: Answer, name: str) -> str | None:
    """Of what the upstream saw."""
    found = re.findall(rf"(?im)^{name}: (.*?)\r?$", answer.sent)
    assert len(found) < 2
    return found[0] if found else None


def said(redis: Address, command: str) -> bytes:
    return wire.raw(redis, f"{command}\r\nQUIT\r\n".encode())
