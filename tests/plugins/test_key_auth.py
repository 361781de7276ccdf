"""key-auth from outside, row by row of APISIX's answers, and where this gateway is stricter on purpose."""

import json
from pathlib import Path
from typing import Any

from tests.plugins.mirror import ask, consumer, mirror
from tests.support.gateway import Gateway
from tests.support.wire import Address

KIM = consumer("kim", ("k", {"key-auth": {"key": "kim-key"}}), labels={"custom_id": "cid-kim"})
LEE = consumer("lee", plugins={"key-auth": {"key": "lee-key"}})
INVALID = b'{"message":"Invalid API key in request"}\n'


def config(upstream: Address, **more: Any) -> dict[str, Any]:
    node = {"type": "roundrobin", "nodes": {str(upstream): 1}}
    confs = {
        "key": {},
        "keyhide": {"hide_credentials": True},
        "own": {"header": "X-Key", "query": "k", "realm": "staff only"},
        "guest": {"anonymous_consumer": "guest", "hide_credentials": True},
        "nobody": {"anonymous_consumer": "gone"},
    }
    routes = [{"id": n, "uri": f"/{n}", "upstream": node, "plugins": {"key-auth": c}} for n, c in confs.items()]
    return {"consumers": [KIM, LEE, {"username": "guest"}], "routes": routes, **more}


def test_rows_of_the_reference(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        good = ask(gateway, "/key", "apikey: kim-key")
        assert good.status == 200
        identity = "X-Consumer-Username: kim\r\nX-Credential-Identifier: k\r\nX-Consumer-Custom-ID: cid-kim\r\n"
        assert identity in good.sent
        assert "apikey: kim-key\r\n" in good.sent
        none = ask(gateway, "/key")
        assert (none.status, none.body) == (401, b'{"message":"Missing API key in request"}\n')
        assert none.header("WWW-Authenticate") == ['apikey realm="key"']
        wrong = ask(gateway, "/key", "apikey: zz")
        assert (wrong.status, wrong.body, wrong.header("WWW-Authenticate")) == (401, INVALID, ['apikey realm="key"'])
        assert ask(gateway, "/key?apikey=kim-key&a=1").sent.startswith("GET /key?apikey=kim-key&a=1 HTTP/1.1\r\n")
        hidden = ask(gateway, "/keyhide", "apikey: kim-key")
        assert identity in hidden.sent
        assert "kim-key" not in hidden.sent
        assert ask(gateway, "/keyhide?a=1&apikey=kim-key").sent.startswith("GET /keyhide?a=1 HTTP/1.1\r\n")
        plain = ask(gateway, "/key", "apikey: lee-key", "X-Credential-Identifier: forged", "x_consumer_custom_id: forged")
        assert "X-Consumer-Username: lee\r\n" in plain.sent
        assert "forged" not in plain.sent
        assert "X-Credential-Identifier" not in plain.sent


def test_one_key_per_request(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        for target, fields in (
            ("/key", ("apikey: kim-key", "apikey: kim-key")),
            ("/key", ("apikey: kim-key", "APIKEY: lee-key")),
            ("/key?apikey=kim-key&apikey=lee-key", ()),
            ("/key?apikey=kim-key&api%6Bey=lee-key", ()),
            ("/key?apikey=kim-key", ("apikey:",)),
        ):
            answer = ask(gateway, target, *fields)
            assert (answer.status, answer.body, answer.sent) == (401, INVALID, "")
        assert upstream.received == []


def test_edges_of_the_lookup(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        for target, fields in (
            ("/key", ("apikey:",)),  # there, but empty
            ("/key?apikey", ()),
            ("/key?apikey=", ()),
            ("/key?apikey=kim%2Dke", ()),
            ("/key", ("apikey: kim-key2",)),
            ("/key", ("apikey: Kim-key",)),
            ("/key", ('apikey: "kim-key"',)),
            ("/key", ("apikey: kim-key,lee-key",)),
            ("/key", ("apikey: Bearer kim-key",)),
            ("/key?apikey=kim-key", ("apikey: wrong",)),  # the header decides
        ):
            answer = ask(gateway, target, *fields)
            assert (answer.status, answer.body, answer.sent) == (401, INVALID, ""), (target, fields)
        for target, fields in (
            ("/key", ("APIKEY: kim-key",)),
            ("/key", ("ApiKey:kim-key",)),
            ("/key", ("apikey:   kim-key\t",)),
            ("/key?a=1&apikey=kim%2dkey&b=2", ()),
            ("/key?api%6bey=kim-key", ()),
            ("/key?apikey=wrong", ("apikey: kim-key",)),
        ):
            assert "X-Consumer-Username: kim\r\n" in ask(gateway, target, *fields).sent, (target, fields)
        for target, fields in (
            ("/key?Apikey=kim-key", ()),
            ("/key", ("Authorization: kim-key",)),
            ("/key", ("Cookie: apikey=kim-key",)),
        ):
            assert ask(gateway, target, *fields).body == b'{"message":"Missing API key in request"}\n', (target, fields)


def test_both_places_are_hidden_on_every_outcome(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        for target, fields in (
            ("/keyhide?a=1&apikey=lee-key&b=2", ("apikey: kim-key",)),
            ("/keyhide?a=1&apikey=kim-key&b=2", ()),
            ("/guest?a=1&apikey=lee-key&b=2", ("apikey: wrong-key",)),
            ("/guest?a=1&apikey=wrong-key&b=2&api%6Bey=lee-key", ()),
            ("/guest?a=1&b=2", ("apikey: wrong-key", "APIKEY: lee-key")),
        ):
            sent = ask(gateway, target, *fields).sent
            assert sent.startswith(f"GET /{target[1:].partition('?')[0]}?a=1&b=2 HTTP/1.1\r\n"), (target, fields)
            assert "-key" not in sent
            assert "apikey" not in sent.lower()
        shown = ask(gateway, "/key?apikey=lee-key", "apikey: kim-key").sent
        assert shown.startswith("GET /key?apikey=lee-key HTTP/1.1\r\n")
        assert "apikey: kim-key\r\n" in shown


def test_places_and_realm_of_ones_own(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        assert "X-Consumer-Username: kim\r\n" in ask(gateway, "/own", "x-key: kim-key").sent
        assert "X-Consumer-Username: kim\r\n" in ask(gateway, "/own?k=kim%2dkey").sent
        refused = ask(gateway, "/own?apikey=kim-key", "apikey: kim-key")
        assert (refused.status, refused.header("WWW-Authenticate")) == (401, ['apikey realm="staff only"'])


def test_the_anonymous_consumer(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        for fields in ((), ("apikey: wrong",)):
            guest = ask(gateway, "/guest?apikey=alsowrong", *fields)
            assert guest.status == 200
            assert "X-Consumer-Username: guest\r\n" in guest.sent
            assert "wrong" not in guest.sent
        assert "X-Consumer-Username: kim\r\n" in ask(gateway, "/guest", "apikey: kim-key").sent
        nobody = ask(gateway, "/nobody")
        assert (nobody.status, nobody.body) == (401, b'{"message":"Invalid user authorization"}\n')


def test_a_changed_key_is_in_force_when_its_write_is_answered(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address, workers=2)) as gateway:
        for number in range(5):
            gateway.put("consumers/kim/credentials/k", {"plugins": {"key-auth": {"key": f"key-{number}"}}})
            assert ask(gateway, "/key", f"apikey: key-{number}").status == 200
            old = f"key-{number - 1}" if number else "kim-key"
            assert ask(gateway, "/key", f"apikey: {old}").body == INVALID
        taken = gateway.api("PUT", "consumers/lee/credentials/k", {"plugins": {"key-auth": {"key": "key-4"}}})
        assert (taken.status, b"key-4" in taken.body) == (400, False)
        assert gateway.api("DELETE", "consumers/kim/credentials/k").status == 200
        assert ask(gateway, "/key", "apikey: kim-key").status == 200  # the file's is back


def test_refusals_are_in_the_log_and_keys_are_not(directory: Path) -> None:
    log = directory / "access.log"
    with mirror() as upstream:
        with Gateway(directory, config(upstream.address, access_log={"path": str(log)})) as gateway:
            for fields in ((), ("apikey: s3cret-wrong",), ("apikey: s3cret", "apikey: s3cret"), ("apikey: kim-key",)):
                ask(gateway, "/key", *fields)
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert [line.get("refused") for line in lines] == ["key.missing", "key.unknown", "key.repeated", None]
        assert (lines[3]["consumer"], lines[3]["credential"]) == ("kim", "k")
        assert "s3cret" not in log.read_text() + gateway.log()
        assert "kim-key" not in log.read_text() + gateway.log()
