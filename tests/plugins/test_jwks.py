"""Key sets of issuers from outside: rotation, issuers that are down or talk nonsense, and who makes the gateway fetch."""

import json
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from fastgw import _core
from tests.support.certificates import certificate
from tests.support.gateway import Gateway, one_route
from tests.support.issuer import Issuer, Key, key, send, unused_address
from tests.support.load import Load
from tests.support.tokens import token
from tests.support.upstreams import Answering
from tests.support.waiting import until

SECONDS = float(os.environ.get("FASTGW_TEST_SECONDS", "4"))  # how long an issuer is down
CREDENTIAL = "consumers/ann/credentials/c"


class Patient(Answering):
    """Does not mind connections that nobody uses for long."""

    def talk(self, sock: socket.socket, index: int) -> None:
        with suppress(TimeoutError):
            super().talk(sock, index)


@pytest.fixture(scope="module")
def up() -> Iterator[Answering]:
    with Patient() as upstream:
        yield upstream


def conf(issuer: Issuer, algorithm: str = "ES256", **members: Any) -> dict[str, Any]:
    return {"key": "issuer", "algorithm": algorithm, "jwks_uri": issuer.uri, "jwks_throttle": 1, **members}


def config(directory: Path, up: Answering, credential: dict[str, Any] | None, **settings: Any) -> dict[str, Any]:
    """Sets are kept for a second, and no token is remembered, so that keys are asked for."""
    consumer: dict[str, Any] = {"username": "ann"}
    if credential is not None:
        consumer["plugins"] = {"jwt-auth": credential}
    return {
        "jwks": {"min_age": 1, "timeout": 2},
        "token_cache": 0,
        "workers": 2,
        "access_log": {"path": str(directory / "access.log")},
        "shared_memory": {"path": str(directory / "shared")},
        "consumers": [consumer],
        **one_route(up.address, plugins={"jwt-auth": {}}),
        **settings,
    }


def status(gateway: Gateway, signer: Key, **claims: Any) -> int:
    return gateway.get("/", signer.token(**claims)).status


def knows(gateway: Gateway, signer: Key) -> None:
    """And not only the one worker that was asked: the log says so when all do."""
    until(lambda: status(gateway, signer) == 200, f"the gateway knows {signer.kid}")
    until(lambda: f"{signer.kid or ''!r}" in gateway.log().rpartition(": changed")[2], "all workers do")


def forgets(gateway: Gateway, signer: Key) -> None:
    until(lambda: status(gateway, signer) == 401, f"the gateway has forgotten {signer.kid}")


def request(signer: Key) -> bytes:
    return b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: %b\r\n\r\n" % signer.token().encode()


def metric(directory: Path, name: str) -> int:
    return int(_core.Region.attach(str(directory / "shared")).metrics()[name])


# -- rotation ------------------------------------------------------------------------------------------


def test_a_rotation_that_overlaps_refuses_nobody(directory: Path, up: Answering) -> None:
    keys = [key(f"k{number}") for number in range(4)]
    with Issuer(keys[0]) as issuer, Gateway(directory, config(directory, up, conf(issuer))) as gateway:
        knows(gateway, keys[0])
        with Load(gateway.data, request(keys[0]), 4) as load:
            for old, new in pairwise(keys):
                issuer.keys = [old, new]
                knows(gateway, new)
                load.request = request(new)
                seen = load.done
                until(lambda seen=seen: load.done > seen + 100, "the load goes on with the new key")
                issuer.keys = [new]
                forgets(gateway, old)
        assert set(load.statuses) == {200}
        assert (load.lost, load.refused) == (0, 0)
        assert load.statuses[200] > 300
        assert metric(directory, "jwks_failures") == 0


def test_a_set_that_stays_is_not_written_again(directory: Path, up: Answering) -> None:
    with Issuer(key("k0"), key("k1")) as issuer, Gateway(directory, config(directory, up, conf(issuer))) as gateway:
        knows(gateway, key("k0"))
        before = gateway.api("GET", "configs").headers["x-digest"]
        issuer.keys.reverse()  # another document, the same keys
        asked = len(issuer.asked)
        until(lambda: len(issuer.asked) > asked + 2, "it is fetched again")
        issuer.keys = [key("k1"), key("k2")]
        knows(gateway, key("k2"))
        assert gateway.log().count("changed") >= 2
        # Nobody wrote anything: the state goes by the same name, nothing is shown, nothing is in the audit log.
        listed = gateway.api("GET", "configs")
        assert listed.headers["x-digest"] == before
        assert "fetched" not in listed.json()
        assert gateway.api("GET", "fetched").status == 404
        assert gateway.api("GET", "audit").json()["total"] == 0


@pytest.mark.parametrize("algorithm", ["RS256", "ES384", "ES512", "EdDSA"])
def test_every_kind_of_key(directory: Path, up: Answering, algorithm: str) -> None:
    good, other = key("good", algorithm), key("other", algorithm)
    with Issuer(good, max_age=None) as issuer, Gateway(directory, config(directory, up, conf(issuer, algorithm))) as gateway:
        knows(gateway, good)
        assert status(gateway, other) == 401
        forged = Key("good", algorithm)  # its name, not its key
        assert status(gateway, forged) == 401


def test_the_set_does_not_widen_what_the_credential_accepts(directory: Path, up: Answering) -> None:
    """Neither by another algorithm nor by a symmetric key, whatever the token says."""
    good, rs = key("good"), key("rs", "RS256")
    secret = {"kty": "oct", "kid": "hs", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldC0", "alg": "HS256"}
    with Issuer(good, rs) as issuer:
        issuer.answer = lambda handler: send(handler, json.dumps({"keys": [secret, rs.jwk, good.jwk]}).encode())
        with Gateway(directory, config(directory, up, conf(issuer))) as gateway:
            knows(gateway, good)
            assert status(gateway, rs) == 401
            hs = token("issuer", b"secret-secret-secret-secret-secret-", headers={"kid": "hs"})
            assert gateway.get("/", hs).status == 401
            assert "symmetric" in gateway.log()
            assert secret["k"] not in gateway.log()


def test_one_key_without_a_name(directory: Path, up: Answering) -> None:
    nameless = Key(None)
    with Issuer(nameless) as issuer, Gateway(directory, config(directory, up, conf(issuer))) as gateway:
        knows(gateway, nameless)
        assert status(gateway, key("k0")) == 401


def test_what_is_explained_knows_the_set(directory: Path, up: Answering) -> None:
    with Issuer(key("k0")) as issuer, Gateway(directory, config(directory, up, conf(issuer))) as gateway:
        knows(gateway, key("k0"))
        for signer, consumer in ((key("k0"), "ann"), (key("gone"), None)):
            question = {"method": "GET", "host": "h", "uri": "/", "headers": {"Authorization": signer.token()}}
            answer = gateway.api("POST", "explain", question).json()
            assert (answer["consumer"] or {}).get("username") == consumer


# -- issuers that fail ---------------------------------------------------------------------------------


def test_an_issuer_that_is_down_fails_no_request(directory: Path, up: Answering) -> None:
    with Issuer(key("k0")) as issuer, Gateway(directory, config(directory, up, conf(issuer))) as gateway:
        knows(gateway, key("k0"))
        issuer.down()
        with Load(gateway.data, request(key("k0")), 4) as load:
            began = time.monotonic()
            until(lambda: metric(directory, "jwks_failures") >= 2, "two fetches have failed")
            time.sleep(max(0.0, began + SECONDS - time.monotonic()))
        assert set(load.statuses) == {200}
        assert (load.lost, load.refused) == (0, 0)
        assert "Connection refused; the last good keys stay in force" in gateway.log()
        issuer.keys = [key("k1")]
        issuer.up()
        knows(gateway, key("k1"))
        assert "fetched again" in gateway.log()


def test_a_start_while_the_issuer_is_down(directory: Path, up: Answering) -> None:
    with Issuer(key("k0")) as issuer:
        gateway = Gateway(directory, config(directory, up, None))
        with gateway:
            gateway.put(CREDENTIAL, {"plugins": {"jwt-auth": conf(issuer)}})
            knows(gateway, key("k0"))
        issuer.down()
        with gateway:
            assert status(gateway, key("k0")) == 200
            until(lambda: "the last good keys stay in force" in gateway.log(), "a fetch has failed")
            assert status(gateway, key("k0")) == 200
        issuer.up()


def test_before_the_first_set_every_token_is_refused(directory: Path, up: Answering) -> None:
    with Issuer(key("k0")) as issuer:
        issuer.down()
        with Gateway(directory, config(directory, up, conf(issuer))) as gateway:
            assert status(gateway, key("k0")) == 401
            until(lambda: "there are no keys yet" in gateway.log(), "a fetch has failed")
            issuer.up()
            knows(gateway, key("k0"))


def _drip(handler: BaseHTTPRequestHandler) -> None:
    """Byte by byte, each soon enough for any timeout of a read."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    for _ in range(200):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.1)


def _cut(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"keys": []}')
    handler.close_connection = True


def _elsewhere(handler: BaseHTTPRequestHandler) -> None:
    send(handler, b"", {"Location": f"http://localhost:{handler.server.server_address[1]}/jwks.json"}, 302)


OCT = {"keys": [{"kty": "oct", "kid": "k0", "k": "AAAA"}]}
SHORT = {"keys": [{"kty": "RSA", "kid": "k0", "n": "sXchDaQebHnPiGvyDOAT4saGEUetSyo9MKLOoWFsueri", "e": "AQAB"}]}
JUNK: dict[str, tuple[Callable[[BaseHTTPRequestHandler], None], str]] = {
    "nothing": (lambda handler: send(handler, b""), "expected a JWK Set"),
    "null": (lambda handler: send(handler, b"null"), "expected a JWK Set"),
    "a page": (lambda handler: send(handler, b"<html>down for maintenance</html>"), "expected a JWK Set"),
    "no keys": (lambda handler: send(handler, b'{"keys": []}'), "found none"),
    "symmetric": (lambda handler: send(handler, json.dumps(OCT).encode()), "a symmetric key"),
    "short": (lambda handler: send(handler, json.dumps(SHORT).encode()), "2048"),
    "deep": (lambda handler: send(handler, b"[" * 100_000), "expected a JWK Set"),
    "404": (lambda handler: send(handler, b'{"keys": []}', status=404), "answered 404"),
    "500": (lambda handler: send(handler, b"", status=500), "answered 500"),
    "huge": (lambda handler: send(handler, b" " * (1 << 20) + b"{}"), "expected at most 1048576 bytes"),
    "drip": (_drip, "no whole answer within 2 s"),
    "cut": (_cut, "ended too early"),
    "elsewhere": (_elsewhere, "redirected elsewhere"),
    "in circles": (lambda handler: send(handler, b"", {"Location": handler.path}, 307), "redirected more than 3 times"),
    "no HTTP": (lambda handler: handler.wfile.write(b"220 ready\r\n\r\n") and None, "BadStatusLine"),
}


def test_nothing_but_keys_takes_the_place_of_keys(directory: Path, up: Answering) -> None:
    with Issuer(key("k0")) as issuer, Gateway(directory, config(directory, up, conf(issuer))) as gateway:
        knows(gateway, key("k0"))
        for name, (answer, words) in JUNK.items():
            said = gateway.log().count(words)
            issuer.answer = answer
            # Each failure in a row makes the next pause longer; a token with an unknown kid makes it short again.
            until(lambda said=said, words=words: gateway.log().count(words) > said or not status(gateway, key("gone")), name)
            assert status(gateway, key("k0")) == 200, name
            issuer.answer = None
            fetched = metric(directory, "jwks_fetches")
            until(
                lambda fetched=fetched: metric(directory, "jwks_fetches") > fetched or not status(gateway, key("gone")),
                "a good one again",
            )
        assert status(gateway, key("k0")) == 200


def test_a_redirect_within_the_host_is_followed(directory: Path, up: Answering) -> None:
    def moved(handler: BaseHTTPRequestHandler) -> None:
        if handler.path == "/jwks.json":
            send(handler, b"", {"Location": "/keys"}, 301)
        else:
            send(handler, issuer.document())

    with Issuer(key("k0")) as issuer:
        issuer.answer = moved
        with Gateway(directory, config(directory, up, conf(issuer))) as gateway:
            knows(gateway, key("k0"))


def test_a_uri_of_the_environment_is_judged_as_it_is_now(directory: Path, up: Answering) -> None:
    """Another environment at another start must not make it fetch from where nobody could have told it to."""
    with Issuer(key("k0")) as issuer:
        with Gateway(directory, config(directory, up, None), env={"SET": issuer.uri}) as gateway:
            gateway.put(CREDENTIAL, {"plugins": {"jwt-auth": conf(issuer, jwks_uri="$env://SET")}})
            knows(gateway, key("k0"))
        asked = len(issuer.asked)
        elsewhere = issuer.uri.replace("127.0.0.1", "127.1")  # the same for the resolver, no loopback address by its looks
        with Gateway(directory, config(directory, up, None), env={"SET": elsewhere}) as gateway:
            until(lambda: "jwks_uri: expected https" in gateway.log(), "it is refused")
            assert status(gateway, key("k0")) == 401
        assert len(issuer.asked) == asked


# -- TLS -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trusted", [True, False])
def test_tls_is_verified(directory: Path, up: Answering, trusted: bool) -> None:
    chain, private = certificate("localhost", "127.0.0.1")
    (directory / "issuer.pem").write_text(chain + private)
    (directory / "ca.pem").write_text(chain if trusted else certificate("localhost", "127.0.0.1")[0])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "issuer.pem")
    with Issuer(key("k0"), tls=context) as issuer:
        env = {"SSL_CERT_FILE": str(directory / "ca.pem")}
        with Gateway(directory, config(directory, up, conf(issuer)), env=env) as gateway:
            if trusted:
                knows(gateway, key("k0"))
            else:
                until(lambda: "TLS: " in gateway.log(), "the certificate is refused")
                assert status(gateway, key("k0")) == 401
                assert not issuer.asked


# -- who makes it fetch --------------------------------------------------------------------------------


def test_an_unknown_kid_makes_it_fetch(directory: Path, up: Answering) -> None:
    with Issuer(key("k0"), max_age=3600) as issuer, Gateway(directory, config(directory, up, conf(issuer))) as gateway:
        knows(gateway, key("k0"))
        issuer.keys = [key("k0"), key("k1")]
        knows(gateway, key("k1"))


def test_a_flood_of_unknown_kids_makes_one_fetch_per_period(directory: Path, up: Answering) -> None:
    throttle, periods = 2, 3
    with (
        Issuer(key("k0"), max_age=3600) as issuer,
        Gateway(directory, config(directory, up, conf(issuer, jwks_throttle=throttle))) as gateway,
    ):
        knows(gateway, key("k0"))
        before = len(issuer.asked)
        began = time.monotonic()
        with Load(gateway.data, request(key("gone")), 8) as load:
            until(lambda: len(issuer.asked) >= before + periods, "the set is fetched again and again")
        took = time.monotonic() - began
        assert set(load.statuses) == {401}
        assert load.done > 100
        assert len(issuer.asked) - before <= took / throttle + 1
        assert status(gateway, key("k0")) == 200


# -- processes that die --------------------------------------------------------------------------------


def test_a_worker_that_is_killed(directory: Path, up: Answering) -> None:
    with Issuer(key("k0")) as issuer, Gateway(directory, config(directory, up, conf(issuer), workers=1)) as gateway:
        knows(gateway, key("k0"))
        issuer.down()
        gateway.kill_worker(gateway.workers()[0])
        assert status(gateway, key("k0")) == 200


def test_the_admin_process_is_killed_while_it_fetches(directory: Path, up: Answering) -> None:
    with Issuer(key("k0")) as issuer, Gateway(directory, config(directory, up, conf(issuer))) as gateway:
        knows(gateway, key("k0"))
        issuer.keys = [key("k0"), key("k1")]
        issuer.answer = lambda handler: time.sleep(1) or send(handler, issuer.document())
        asked = len(issuer.asked)
        until(lambda: len(issuer.asked) > asked, "a fetch is under way")
        (admin,) = gateway.pids("admin")
        os.kill(admin, signal.SIGKILL)
        assert status(gateway, key("k0")) == 200
        until(lambda: gateway.pids("admin") not in ([], [admin]), "there is another admin process")
        knows(gateway, key("k1"))
        assert gateway.api("GET", "consumers/ann").status == 200


def test_a_stop_does_not_wait_for_the_issuer(directory: Path, up: Answering) -> None:
    over = threading.Event()
    with Issuer(key("k0")) as issuer:
        issuer.answer = lambda handler: over.wait(60) and None
        with Gateway(directory, config(directory, up, conf(issuer), jwks={"timeout": 60})) as gateway:
            until(lambda: issuer.asked, "a fetch is under way")
        assert "not stopped in time" not in gateway.log()
        over.set()


# -- what is written -----------------------------------------------------------------------------------


def test_the_set_goes_with_the_last_credential_that_names_it(directory: Path, up: Answering) -> None:
    with Issuer(key("k0")) as issuer, Gateway(directory, config(directory, up, None)) as gateway:
        for name, claim in (("c", "issuer"), ("d", "other")):
            credential = {"plugins": {"jwt-auth": conf(issuer, key=claim)}}
            gateway.put(f"consumers/ann/credentials/{name}", credential)
        knows(gateway, key("k0"))
        until(lambda: status(gateway, key("k0"), key="other") == 200, "the other one knows it too")
        assert gateway.api("DELETE", CREDENTIAL).status == 200
        assert (status(gateway, key("k0")), status(gateway, key("k0"), key="other")) == (401, 200)
        assert gateway.api("DELETE", "consumers/ann/credentials/d").status == 200
        asked = len(issuer.asked)
        issuer.down()
        gateway.put(CREDENTIAL, {"plugins": {"jwt-auth": conf(issuer)}})  # and does not come back of itself
        until(lambda: "there are no keys yet" in gateway.log(), "it is fetched anew")
        assert status(gateway, key("k0")) == 401
        assert len(issuer.asked) <= asked + 1


REFUSED: dict[str, dict[str, Any]] = {
    "user name": {"jwks_uri": "https://user:password@issuer.example/"},
    "plain HTTP": {"jwks_uri": "http://issuer.example/jwks.json"},
    "another scheme": {"jwks_uri": "ftp://issuer.example/jwks.json"},
    "no host": {"jwks_uri": "https:///jwks.json"},
    "a fragment": {"jwks_uri": "https://issuer.example/#keys"},
    "a space": {"jwks_uri": "https://issuer.example/ x"},
    "a line": {"jwks_uri": "https://issuer.example/\r\nX: y"},
    "a port that is none": {"jwks_uri": "https://issuer.example:99999/"},
    "a file": {"jwks_uri": "/etc/passwd"},
    "shared secret": {"jwks_uri": "https://issuer.example/", "algorithm": "HS256"},
    "a secret beside": {"jwks_uri": "https://issuer.example/", "secret": "s"},
    "a key beside": {"jwks_uri": "https://issuer.example/", "public_key": "p"},
    "too often": {"jwks_uri": "https://issuer.example/", "jwks_throttle": 0.5},
}


@pytest.fixture(scope="module")
def writing(up: Answering, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("writing")
    with Gateway(directory, config(directory, up, None)) as gateway:
        yield gateway


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(writing: Gateway, name: str) -> None:
    wrong = {"key": "issuer", "algorithm": "ES256", **REFUSED[name]}
    answer = writing.api("PUT", CREDENTIAL, {"plugins": {"jwt-auth": wrong}})
    assert answer.status == 400, answer.body
    assert b"user:password" not in answer.body
    assert "user:password" not in writing.log()


def test_no_algorithm_is_refused(writing: Gateway) -> None:
    wrong = {"key": "issuer", "jwks_uri": "https://issuer.example/"}
    assert writing.api("PUT", CREDENTIAL, {"plugins": {"jwt-auth": wrong}}).status == 400


def test_plain_http_by_word(writing: Gateway) -> None:
    address = unused_address()
    for uri, more in ((f"http://{address}/", {}), ("http://issuer.invalid/", {"jwks_allow_http": True})):
        allowed = {"key": "issuer", "algorithm": "ES256", "jwks_uri": uri, **more}
        writing.put(CREDENTIAL, {"plugins": {"jwt-auth": allowed}})
    assert writing.api("DELETE", CREDENTIAL).status == 200
