"""basic-auth with hashed passwords from outside: who is known, what it costs whom, and what a flood of guesses does."""

import base64
import json
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.plugins.mirror import Answer, ask, consumer, mirror
from tests.support import wire
from tests.support.gateway import Gateway
from tests.support.passwords import argon2id, scrypt
from tests.support.waiting import until
from tests.support.wire import Address

REFUSED = b'{"message":"Invalid user authorization"}\n'
BUSY = b'{"error_msg":"Service Unavailable"}\n'
DEAR = {"m": 131072, "t": 4}  # the most that is taken: some tenths of a second
QUICK = {"m": 64, "t": 1}


def basic(user: str, password: str) -> str:
    return "Authorization: Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def user(name: str, password: str) -> dict[str, Any]:
    return consumer(name, ("b", {"basic-auth": {"username": name, "password": password}}))


def config(upstream: Address, *users: dict[str, Any], **more: Any) -> dict[str, Any]:
    node = {"type": "roundrobin", "nodes": {str(upstream): 1}}
    confs: dict[str, dict[str, Any]] = {"basic": {}, "guest": {"anonymous_consumer": "guest", "hide_credentials": True}}
    routes = [{"id": n, "uri": f"/{n}", "upstream": node, "plugins": {"basic-auth": c}} for n, c in confs.items()]
    routes.append({"id": "open", "uri": "/open", "upstream": node})
    return {"consumers": [*users, {"username": "guest"}], "routes": routes, **more}


def refuses(answer: Answer) -> bool:
    found = (answer.status, answer.body, answer.header("WWW-Authenticate"), answer.sent)
    return found == (401, REFUSED, ['Basic realm="basic"'], "")


def at_once(gateway: Gateway, *requests: tuple[str, str]) -> list[Answer]:
    """Requests on connections of their own, all under way together; answers in their order."""
    answers: dict[int, Answer] = {}
    threads = [
        threading.Thread(target=lambda i=i, each=each: answers.__setitem__(i, ask(gateway, each[0], each[1])))
        for i, each in enumerate(requests)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [answers[i] for i in range(len(requests))]


def test_a_password_is_known_by_its_hash(directory: Path) -> None:
    users = [user("ann", argon2id("a:b c", **QUICK)), user("bob", scrypt("päss")), user("kim", "kimp")]
    with mirror() as upstream, Gateway(directory, config(upstream.address, *users)) as gateway:
        for _ in range(3):  # judged, then remembered
            assert (
                "X-Consumer-Username: ann\r\nX-Credential-Identifier: b\r\n" in ask(gateway, "/basic", basic("ann", "a:b c")).sent
            )
            assert "X-Consumer-Username: bob\r\n" in ask(gateway, "/basic", basic("bob", "päss")).sent
            assert "X-Consumer-Username: kim\r\n" in ask(gateway, "/basic", basic("kim", "kimp")).sent
            for name, password in (("ann", "a"), ("ann", ""), ("ann", "a:b c "), ("bob", "pass"), ("kim", "x"), ("zz", "a:b c")):
                assert refuses(ask(gateway, "/basic", basic(name, password))), (name, password)
        # The hash is not the password.
        assert refuses(ask(gateway, "/basic", basic("ann", users[0]["credentials"][0]["plugins"]["basic-auth"]["password"])))
        guest = ask(gateway, "/guest", basic("ann", "wrong"))
        assert "X-Consumer-Username: guest\r\n" in guest.sent
        assert "uthorization" not in guest.sent
        assert "X-Consumer-Username: ann\r\n" in ask(gateway, "/guest", basic("ann", "a:b c")).sent


def test_a_changed_hash_is_in_force_when_its_write_is_answered(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address, user("ann", "old"), workers=2)) as gateway:
        before = "old"
        for new in ("one", "two", "three"):
            conf = {"username": "ann", "password": argon2id(new, **QUICK)}
            gateway.put("consumers/ann/credentials/b", {"plugins": {"basic-auth": conf}})
            for _ in range(4):
                assert refuses(ask(gateway, "/basic", basic("ann", before)))
                assert ask(gateway, "/basic", basic("ann", new)).status == 200
            before = new


def test_others_are_served_while_one_is_judged(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address, user("ann", argon2id("right", **DEAR)))) as gateway:
        started = time.monotonic()
        assert ask(gateway, "/basic", basic("ann", "wrong")).status == 401
        alone = time.monotonic() - started
        done = threading.Event()
        served = 0

        def guess() -> None:
            ask(gateway, "/basic", basic("ann", "another"))
            done.set()

        thread = threading.Thread(target=guess)
        thread.start()
        while not done.is_set():
            assert ask(gateway, "/open").status == 200
            served += not done.is_set()
        thread.join()
        assert served >= 5, f"{served} requests in what took {alone:.2f} s alone"


def test_one_that_many_show_at_once_is_judged_once(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address, user("ann", argon2id("right", **DEAR)))) as gateway:
        answers = at_once(gateway, *[("/basic", basic("ann", "right"))] * 40)
        assert [answer.status for answer in answers] == [200] * 40  # 40 different ones would be refused


def test_a_flood_of_guesses_keeps_out_nobody_who_is_known(directory: Path) -> None:
    log = directory / "access.log"
    users = [user("ann", argon2id("right", **DEAR)), user("bob", argon2id("bobs", **QUICK))]
    with mirror() as upstream:
        with Gateway(directory, config(upstream.address, *users, access_log={"path": str(log)})) as gateway:
            assert ask(gateway, "/basic", basic("ann", "right")).status == 200
            guesses = [("/basic", basic("ann", f"guess {number}")) for number in range(40)]
            answers = at_once(gateway, *guesses, ("/basic", basic("ann", "right")), ("/basic", basic("bob", "bobs")))
            *guessed, known, other = answers
            assert known.status == 200  # remembered
            assert other.status == 200  # another user
            statuses = [answer.status for answer in guessed]
            assert set(statuses) == {401, 503}
            busy = guessed[statuses.index(503)]
            assert (busy.body, busy.header("Retry-After"), busy.header("WWW-Authenticate")) == (BUSY, ["1"], [])
            # Unknown users are judged, and bounded, likewise; and nobody is taken for the guest without being judged.
            strangers = at_once(gateway, *[("/guest", basic(f"user {number}", "x" * number)) for number in range(40)])
            assert {answer.status for answer in strangers} == {200, 503}
            assert all("X-Consumer-Username: guest\r\n" in answer.sent for answer in strangers if answer.status == 200)
            # It is over when the flood is.
            until(lambda: ask(gateway, "/basic", basic("ann", "a last guess")).status == 401, "guesses are judged again")
        reasons = {json.loads(line).get("refused") for line in log.read_text().splitlines()}
        assert reasons == {None, "basic.refused", "basic.busy"}


def test_a_client_that_leaves_meanwhile_harms_nobody(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address, user("ann", argon2id("right", **DEAR)))) as gateway:
        request = f"GET /basic HTTP/1.1\r\nHost: t\r\n{basic('ann', 'right')}\r\n\r\n".encode()
        for _ in range(3):
            with closing(wire.connect(gateway.data)) as sock:
                sock.sendall(request)
        assert ask(gateway, "/basic", basic("ann", "right")).status == 200
        # A hash that is edited away while it is asked.
        thread = threading.Thread(target=lambda: ask(gateway, "/basic", basic("ann", "guess")))
        thread.start()
        gateway.put("consumers/ann/credentials/b", {"plugins": {"basic-auth": {"username": "ann", "password": "clear"}}})
        thread.join()
        assert ask(gateway, "/basic", basic("ann", "clear")).status == 200
        assert refuses(ask(gateway, "/basic", basic("ann", "right")))


def test_passwords_and_hashes_are_in_no_log(directory: Path) -> None:
    log = directory / "access.log"
    hashed = argon2id("s3cret", **QUICK)
    with mirror() as upstream:
        with Gateway(directory, config(upstream.address, user("ann", hashed), access_log={"path": str(log)})) as gateway:
            for password in ("s3cret", "gu3ss"):
                ask(gateway, "/basic", basic("ann", password))
            shown = gateway.api("GET", "consumers/ann/credentials/b", key=None)
            assert hashed.encode() not in shown.body
        written = log.read_text() + gateway.log()
        assert not any(secret in written for secret in ("s3cret", "gu3ss", hashed))
