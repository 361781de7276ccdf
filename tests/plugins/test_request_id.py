"""request-id from outside: one id for the upstream, the client and the log."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.mirror import ask, mirror
from tests.support.gateway import Gateway
from tests.support.upstreams import Answering
from tests.support.waiting import until
from tests.support.wire import Address

FORMS = {
    "uuid": r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
    "uuidv7": r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
    "nanoid": r"[\w-]{21}",
    "ksuid": r"[0-9A-Za-z]{27}",
    "range_id": r"[a-zA-Z0-9]{16}",
}


def config(upstream: Address, **more: Any) -> dict[str, Any]:
    node = {"type": "roundrobin", "nodes": {str(upstream): 1}}
    confs: dict[str, dict[str, Any]] = {name: {"algorithm": name} for name in FORMS}
    confs["plain"] = {}
    confs["quiet"] = {"algorithm": "nanoid", "header_name": "X-Q", "include_in_response": False}
    confs["range"] = {"algorithm": "range_id", "range_id": {"length": 6, "char_set": "abcdef"}}
    routes = [{"id": n, "uri": f"/{n}", "upstream": node, "plugins": {"request-id": c}} for n, c in confs.items()]
    return {"routes": routes, **more}


def sent_id(sent: str, name: str = "X-Request-Id") -> str:
    found = re.findall(rf"(?im)^{name}: (.*)\r$", sent)
    assert len(found) == 1
    return str(found[0])


def test_ids_of_every_form_reach_upstream_client_and_log(directory: Path) -> None:
    log = directory / "access.log"
    told = []
    with mirror() as upstream, Gateway(directory, config(upstream.address, access_log={"path": str(log)})) as gateway:
        for name, form in [*FORMS.items(), ("plain", FORMS["uuid"]), ("range", "[a-f]{6}")]:
            answer = ask(gateway, f"/{name}")
            assert answer.header("X-Request-Id") == [sent_id(answer.sent)]
            assert re.fullmatch(form, sent_id(answer.sent)), name
            told.append(sent_id(answer.sent))
        quiet = ask(gateway, "/quiet")
        assert quiet.header("X-Q") == quiet.header("X-Request-Id") == []
        told.append(sent_id(quiet.sent, "X-Q"))
        assert ask(gateway, "/none").status == 404
        told.append("")
    assert [json.loads(line).get("request_id", "") for line in log.read_text().splitlines()] == told


def test_a_clients_id_is_kept_and_what_is_none_replaced(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        mine = ask(gateway, "/plain", "X-Request-Id: mine")
        assert (sent_id(mine.sent), mine.header("X-Request-Id")) == ("mine", ["mine"])
        for fields in (("X-Request-Id:",), ("X-Request-Id: a", "x-request-id: b"), ("X-Request-Id: " + "x" * 300,)):
            fresh = ask(gateway, "/plain", *fields)
            assert re.fullmatch(FORMS["uuid"], sent_id(fresh.sent))
            assert fresh.header("X-Request-Id") == [sent_id(fresh.sent)]
        folded = ask(gateway, "/plain", "x_request_id: mine")
        assert "x_request_id" not in folded.sent
        assert sent_id(folded.sent) == "mine"


def test_the_upstreams_own_stays_in_the_answer(directory: Path) -> None:
    answer = b"HTTP/1.1 200 OK\r\nX-Request-Id: theirs\r\nContent-Length: 0\r\n\r\n"
    with Answering(lambda request: answer) as upstream, Gateway(directory, config(upstream.address)) as gateway:
        assert ask(gateway, "/plain", "X-Request-Id: mine").header("X-Request-Id") == ["theirs"]


def test_refusals_and_missing_routes_have_the_id_of_a_global_rule(directory: Path) -> None:
    with mirror() as upstream:
        settings = config(upstream.address, global_rules=[{"id": "1", "plugins": {"request-id": {}}}])
        settings["routes"].append({"id": "k", "uri": "/k", "plugins": {"key-auth": {}}})
        with Gateway(directory, settings) as gateway:
            for target, status in (("/k", 401), ("/none", 404)):
                answer = ask(gateway, target)
                assert answer.status == status
                assert re.fullmatch(FORMS["uuid"], *answer.header("X-Request-Id"))
            once = ask(gateway, "/ksuid")
            assert once.header("X-Request-Id") == [sent_id(once.sent)]
            assert re.fullmatch(FORMS["uuid"], sent_id(once.sent))  # the first that ran made it


def test_workers_do_not_share_their_chance(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address, workers=4)) as gateway:
        seen = [sent_id(ask(gateway, "/plain").sent) for _ in range(200)]
        assert len(set(seen)) == 200


@pytest.mark.parametrize(
    "conf",
    [
        {"algorithm": "md5"},
        {"header_name": "Content-Length"},
        {"header_name": "X-Consumer-Username"},
        {"header_name": "a b"},
        {"range_id": {"length": 5}},
        {"range_id": {"length": 1000}},
        {"range_id": {"char_set": "abcde"}},
        {"range_id": {"char_set": "abc def"}},
        {"range_id": {"char_set": "abcdef\r\n"}},
        {"include_in_response": "yes"},
    ],
)
def test_confs_that_are_refused(conf: dict[str, Any]) -> None:
    from fastgw.plugins.check import check_plugin

    assert check_plugin("routes", "request-id", conf)[0]


def test_only_trusted_peers_say_what_an_id_is_where_that_is_asked_for(directory: Path) -> None:
    said = "X-Request-Id: said-by-the-client"
    with mirror() as upstream:
        settings = {"request_ids_from": "trusted"}
        with Gateway(directory, config(upstream.address, **settings)) as gateway:
            assert re.fullmatch(FORMS["uuid"], sent_id(ask(gateway, "/plain", said).sent))
            trusted = config(upstream.address, **settings, trusted_addresses=["127.0.0.0/8"])
            gateway.reload(trusted)
            until(lambda: sent_id(ask(gateway, "/plain", said).sent) == "said-by-the-client", "the reload is in force")
