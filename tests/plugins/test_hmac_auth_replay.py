"""hmac-auth with prevent_replay: a signature is good for one request, in whatever worker it arrives."""

import json
import threading
from pathlib import Path
from typing import Any

from tests.plugins.mirror import ask, mirror
from tests.plugins.test_hmac_auth import INVALID, KIM
from tests.support.gateway import Gateway
from tests.support.signing import date, field, signature, signed
from tests.support.wire import Address


def config(upstream: Address, **more: Any) -> dict[str, Any]:
    node = {"type": "roundrobin", "nodes": {str(upstream): 1}}
    confs = {
        "once": {"prevent_replay": True},
        "too": {"prevent_replay": True, "hide_credentials": True},
        "often": {},
        "short": {"prevent_replay": True, "clock_skew": 2},
        "guest": {"prevent_replay": True, "anonymous_consumer": "guest"},
    }
    routes = [{"id": n, "uri": f"/{n}", "upstream": node, "plugins": {"hmac-auth": c}} for n, c in confs.items()]
    return {"consumers": [KIM, {"username": "guest"}], "routes": routes, **more}


def test_a_signature_is_good_once(directory: Path) -> None:
    log = directory / "access.log"
    with mirror() as upstream:
        with Gateway(directory, config(upstream.address, access_log={"path": str(log)})) as gateway:
            fields = signed("/once", "X-Nonce: 1")
            assert ask(gateway, "/once", *fields).status == 200
            again = ask(gateway, "/once", *fields)
            assert (again.status, again.body, again.header("WWW-Authenticate")) == (401, INVALID, ['hmac realm="hmac"'])
            # However it is written: another order of the fields, other padding.
            *others, auth = fields
            assert auth.endswith('="')
            assert ask(gateway, "/once", *others, auth.replace('",', '" , ')).status == 401
            assert ask(gateway, "/once", *others, auth.removesuffix('="') + '"').status == 401
            assert ask(gateway, "/once", *signed("/once", "X-Nonce: 2")).status == 200
            # What was refused has not been used.
            bad = [*others[:-1], "X-Nonce: 3", auth]
            assert ask(gateway, "/once", *bad).status == 401
            repeatable = signed("/often")
            assert [ask(gateway, "/often", *repeatable).status for _ in range(3)] == [200, 200, 200]
            guest = signed("/guest")
            assert "X-Consumer-Username: kim\r\n" in ask(gateway, "/guest", *guest).sent
            assert "X-Consumer-Username: guest\r\n" in ask(gateway, "/guest", *guest).sent
        reasons = [json.loads(line).get("refused") for line in log.read_text().splitlines()]
        assert reasons[:4] == [None, "hmac.replayed", "hmac.replayed", "hmac.replayed"]


def test_on_another_route_too(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        now = date()
        fields = (f"Date: {now}", field("kim-id", "date", signature("kim-secret", ["kim-id", f"date: {now}"])))
        assert ask(gateway, "/once", *fields).status == 200
        assert ask(gateway, "/too", *fields).body == INVALID
        assert ask(gateway, "/often", *fields).status == 200  # which does not ask


def test_one_of_many_workers_admits_it(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, config(upstream.address, workers=4)) as gateway:
        for number in range(10):
            fields = signed("/once", f"X-Nonce: {number}")
            found: list[int] = []
            threads = [
                threading.Thread(target=lambda f=fields, o=found: o.append(ask(gateway, "/once", *f).status)) for _ in range(12)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sorted(found) == [200, *[401] * 11]


def test_it_is_remembered_while_it_could_be_used(directory: Path) -> None:
    """Across a reload, the death of its worker, and to the last second of its date."""
    with mirror() as upstream, Gateway(directory, config(upstream.address)) as gateway:
        fields = signed("/once")
        assert ask(gateway, "/once", *fields).status == 200
        gateway.reload()
        assert ask(gateway, "/once", *fields).status == 401
        gateway.kill_worker(gateway.workers()[0])
        assert ask(gateway, "/once", *fields).status == 401
        ahead = signed("/once", when=date(290))
        assert ask(gateway, "/once", *ahead).status == 200
        assert ask(gateway, "/once", *ahead).status == 401


def test_a_table_without_room_admits_nobody_unseen(directory: Path) -> None:
    """Fail closed: what cannot be remembered is not admitted, and no limit's count is pushed out for it."""
    log = directory / "access.log"
    small = {"counters": 1024}
    with mirror() as upstream:
        with Gateway(directory, config(upstream.address, shared_memory=small, access_log={"path": str(log)})) as gateway:
            answers = [ask(gateway, "/once", *signed("/once", f"X-Nonce: {number}")) for number in range(1400)]
        statuses = [answer.status for answer in answers]
        assert set(statuses) == {200, 503}
        assert statuses.count(200) <= 1024
        full = answers[statuses.index(503)]
        assert (full.header("Retry-After"), full.body) == (["1"], b'{"error_msg":"Service Unavailable"}\n')
        reasons = {json.loads(line).get("refused") for line in log.read_text().splitlines()}
        assert reasons == {None, "hmac.replay_full"}
