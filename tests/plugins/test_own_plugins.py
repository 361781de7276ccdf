"""Plugins of users from outside: every phase, sync and async, faults that cost only their own requests, jwt-auth's claims."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.mirror import Answer, ask, consumer, mirror
from tests.plugins.own import package, routes, source, write
from tests.support.gateway import Gateway
from tests.support.processes import ROOT
from tests.support.signers import SIGNERS
from tests.support.waiting import until

STAMP = source(
    "stamp",
    """
    def rewrite(self, conf, request):
        request.set_header("X-Rewrite", f"{conf.value} {request.consumer_name}")

    async def access(self, conf, request):
        await asyncio.sleep(0)
        request.set_header("X-Access", f"{conf.value} {request.consumer_name}")
        request.ctx["seen"] = "access"

    def header_filter(self, conf, request):
        request.set_response_header("X-Filter", f"{request.status} {request.ctx['seen']}")

    def log(self, conf, request):
        with open(conf.file, "a") as file:
            file.write(f"{request.method} {request.path} {request.status}\\n")
""",
    phases='("rewrite", "access", "header_filter", "log")',
    conf='    value: str = "stamped"\n    file: str',
)
TWICE = source(
    "twice",
    """
    def access(self, conf, request):
        for value in ("1", "2"):
            request.set_header("X-Up", value)
        request.add_header("X-Up", "3")

    def header_filter(self, conf, request):
        for value in ("1", "2"):
            request.set_response_header("X-Mirror", value)
        request.add_response_header("X-Mirror", "3")
""",
    phases='("access", "header_filter")',
)
FAILING = source(
    "failing",
    """
    async def access(self, conf, request):
        await asyncio.sleep(0)
        raise RuntimeError("a secret of the plugin")
""",
    phases='("access",)',
)
NONSENSE = source("nonsense", "    def rewrite(self, conf, request): return 5", phases='("rewrite",)')
LATE = source("late", "    def header_filter(self, conf, request): return 1 / 0", phases='("header_filter",)')
CLAIMS = source(
    "claims",
    """
    def access(self, conf, request):
        claims = request.jwt_claims
        request.set_header("X-Claims", repr(claims if claims is None else sorted(claims)))
        request.set_header("X-Sub", repr(None if claims is None else claims.get("sub")))
""",
    phases='("access",)',
)
WHO = source(
    "who",
    """
    def access(self, conf, request):
        request.ctx["external_user"] = {"orgs": {"one": {"team": request.header("X-Team")}}}
""",
    phases='("access",)',
    priority=2411,
)


def header(answer: Answer, name: str) -> str | None:
    """Of what the upstream saw."""
    found = re.search(rf"(?im)^{name}: (.*?)\r?$", answer.sent)
    return found and found[1]


def test_a_header_that_is_set_twice_is_there_once(directory: Path) -> None:
    files = write(directory, twice=TWICE)
    with mirror() as upstream:
        config = {"plugins_dir": str(files), "routes": routes(upstream.address, a={"twice": {}})}
        with Gateway(directory, config) as gateway:
            answer = ask(gateway, "/a", "X-Up: 0")
            assert answer.header("X-Mirror") == ["2", "3"]
            assert re.findall(rb"X-Up: (.)", answer.body) == [b"2", b"3"]


def test_every_phase_and_all_their_faults_at_once(directory: Path) -> None:
    seen = directory / "seen"
    files = write(directory, stamp=STAMP, failing=FAILING, nonsense=NONSENSE, late=LATE)
    log = directory / "access.log"
    with mirror() as upstream:
        confs = {
            "a": {"stamp": {"file": str(seen)}, "key-auth": {}},
            "b": {"stamp": {"value": "other", "file": str(seen)}, "failing": {}},
            "c": {"nonsense": {}},
            "d": {"late": {}},
            "e": {"failing": {"_meta": {"disable": True}}},
        }
        config = {
            "plugins_dir": str(files),
            "access_log": {"path": str(log)},
            "consumers": [consumer("kim", ("k", {"key-auth": {"key": "kim-key"}}))],
            "routes": routes(upstream.address, **confs),
        }
        with Gateway(directory, config) as gateway:
            workers = gateway.workers()
            for _ in range(3):
                answer = ask(gateway, "/a", "apikey: kim-key", "X-Rewrite: forged", "x_access: forged")
                assert answer.status == 200
                assert header(answer, "x.rewrite") == "stamped kim"
                assert header(answer, "x.access") == "stamped kim"
                assert answer.header("X-Filter") == ["200 access"]
                failed = ask(gateway, "/b")
                assert (failed.status, failed.sent) == (500, "")
                assert b"secret" not in failed.body
                assert ask(gateway, "/c").status == 500
                assert ask(gateway, "/d").status == 200
                assert ask(gateway, "/e").status == 200
            assert gateway.workers() == workers
            assert "RuntimeError: a secret of the plugin" in gateway.log()
            assert "plugin nonsense: expected None or a Reply, found int" in gateway.log()
            assert "ZeroDivisionError" in gateway.log()
            # They are plugins as any other.
            assert json.loads(gateway.api("GET", "plugins/stamp").body)["properties"]["value"]["default"] == "stamped"
            assert "stamp" in json.loads(gateway.api("GET", "plugins/list").body)
            wrong = gateway.api("PUT", "routes/x", {"uri": "/x", "plugins": {"stamp": {"value": 5, "file": "f"}}})
            assert wrong.status == 400
            assert b"failed to check the configuration of plugin stamp err: " in wrong.body
        assert seen.read_text().splitlines() == ["GET /a 200", "GET /b 500"] * 3
        reasons = [json.loads(line).get("refused") for line in log.read_text().splitlines()]
        assert reasons == [None, "plugin.failed", "plugin.failed", None, None] * 3


def test_what_provision_raises_is_a_fault_of_one_object(directory: Path) -> None:
    body = """
    def provision(self, conf, env):
        if conf.broken == "list":
            return None
        if conf.broken:
            raise RuntimeError("no more")
        return super().provision(conf, env)

    def log(self, conf, request): pass
"""
    text = source("half", body, phases='("log",)', conf='    broken: str = ""')
    with mirror() as upstream:
        config = {"plugins_dir": str(write(directory, half=text)), "routes": routes(upstream.address, a={"half": {}})}
        with Gateway(directory, config) as gateway:
            for broken in ("list", "raise"):
                gateway.api("PUT", "routes/b", {**routes(upstream.address, b={"half": {"broken": broken}})[0]})
                assert ask(gateway, "/a").status == 200
                assert ask(gateway, "/b").status == 404
            until(lambda: "plugin half: provision: RuntimeError: no more" in gateway.log(), "the log names it")
            assert "plugin half: provision: expected a list of steps" in gateway.log()


@pytest.mark.parametrize("name", ["HS256", "RS256", "ES256", "EdDSA"])
def test_claims_are_there_where_store_in_ctx_is_true(name: str, directory: Path) -> None:
    signer = SIGNERS[name]
    tokens = [signer.token(payload=signer.payload(sub=sub)).decode() for sub in ("ann", "bob")]
    confs: dict[str, dict[str, Any]] = {
        "kept": {"jwt-auth": {"store_in_ctx": True}, "claims": {}},
        "dropped": {"jwt-auth": {"store_in_ctx": False}, "claims": {}},
        "default": {"jwt-auth": {}, "claims": {}},
        "multi": {"multi-auth": {"auth_plugins": [{"key-auth": {}}, {"jwt-auth": {"store_in_ctx": True}}]}, "claims": {}},
        "none": {"claims": {}},
    }
    with mirror() as upstream:
        config = {
            "plugins_dir": str(write(directory, claims=CLAIMS)),
            "consumers": [signer.consumer()],
            "routes": routes(upstream.address, **confs),
        }
        with Gateway(directory, config) as gateway:
            for _ in range(3):  # at first verified, then remembered
                for token, sub in zip(tokens, ("'ann'", "'bob'"), strict=True):
                    for route, expected in (
                        ("dropped", ("None", "None")),
                        ("kept", ("['key', 'sub']", sub)),
                        ("default", ("None", "None")),
                        ("multi", ("['key', 'sub']", sub)),
                        ("none", ("None", "None")),
                    ):
                        answer = ask(gateway, f"/{route}", f"Authorization: Bearer {token}")
                        assert answer.status == 200
                        assert (header(answer, "X-Claims"), header(answer, "X-Sub")) == expected, route


def test_acl_judges_who_a_plugin_says_it_is(directory: Path) -> None:
    conf = {
        "allow_labels": {"team": ["infra"]},
        "deny_labels": {"team": ["fake"]},
        "external_user_label_field": "$.orgs..team",
        "external_user_label_field_key": "team",
        "external_user_label_field_parser": "segmented_text",
        "external_user_label_field_separator": "\\|",
    }
    log = directory / "access.log"
    with mirror() as upstream:
        config = {
            "plugins_dir": str(write(directory, who=WHO, claims=CLAIMS)),
            "access_log": {"path": str(log)},
            "routes": routes(
                upstream.address, a={"who": {}, "acl": conf}, b={"claims": {"_meta": {"priority": 9999}}, "acl": conf}
            ),
        }
        with Gateway(directory, config) as gateway:
            for team, status in (("infra", 200), ("cloud | infra", 200), ("infra,cloud", 403), ("infra|fake", 403), ("x", 403)):
                assert ask(gateway, "/a", f"X-Team: {team}").status == status, team
            assert ask(gateway, "/a").status == 403  # it says nothing of a team
            assert ask(gateway, "/b").body == b'{"message":"Missing authentication."}\n'
        reasons = [json.loads(line).get("refused") for line in log.read_text().splitlines()]
        assert reasons == [None, None, *["acl.refused"] * 4, "acl.missing"]


def test_a_package_brings_one_by_an_entry_point(directory: Path) -> None:
    site = package(directory, "stamping", WHO, "who = stamping:Own")
    path = os.pathsep.join([str(ROOT), str(site)])
    with mirror() as upstream:
        config = {
            "plugins_dir": str(write(directory, claims=CLAIMS)),
            "routes": routes(upstream.address, a={"who": {}, "claims": {}}),
        }
        with Gateway(directory, config, env={"PYTHONPATH": path}) as gateway:
            assert ask(gateway, "/a").status == 200
            assert 'plugin who: of entry point "who" (stamping:Own)' in gateway.log()
