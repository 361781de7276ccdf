"""proxy-cache from outside: what is kept, for whom, and how it is answered (RFC 9111 as a shared cache keeps it)."""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from email.utils import formatdate, parsedate_to_datetime
from itertools import count
from typing import Any

import pytest

from fastgw.plugins.check import check_plugin
from tests.plugins.caching import HOUR, MEMORY, Saying, cached, fetch, status
from tests.plugins.mirror import parse
from tests.support import wire
from tests.support.gateway import Gateway
from tests.support.upstreams import Answering, Scripted, Upstream
from tests.support.waiting import until

NUMBERS = count()


def new(route: str) -> str:
    """A target nobody has asked for."""
    return f"/{route}/{next(NUMBERS)}"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Saying]:
    with Saying() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, upstream: Saying) -> Iterator[Gateway]:
    """One worker, so that what one request left the next one finds; that workers share is a test of its own."""
    config = cached(
        upstream.address,
        plain=MEMORY,
        obeys={**MEMORY, "cache_control": True},
        short={**MEMORY, "cache_ttl": 1},
        hide={**MEMORY, "hide_cache_headers": True},
        cookies={**MEMORY, "cache_set_cookie": True},
        bypass={**MEMORY, "cache_bypass": ["$arg_bypass", "$http_bypass"], "no_cache": ["$arg_no_cache"]},
        key={**MEMORY, "cache_key": ["$host", "$uri", "$arg_x", "-text"]},
        post={**MEMORY, "cache_method": ["GET", "POST"]},
        small={**MEMORY, "max_resp_body_size": 10},
        disk={},
    )
    node = config["routes"][0]["upstream"]
    for name, more in (("who", {}), ("shared", {"consumer_isolation": False})):
        plugins = {"key-auth": {}, "proxy-cache": {**MEMORY, **more}}
        config["routes"].append({"id": name, "uri": f"/{name}*", "upstream": node, "plugins": plugins})
    config["routes"].append({"id": "purge", "uri": "/who*", "methods": ["PURGE"], "priority": 1, "upstream": node})
    config["routes"][-1]["plugins"] = {"proxy-cache": MEMORY}
    config["consumers"] = [{"username": name, "plugins": {"key-auth": {"key": f"{name}s-key"}}} for name in ("jack", "rose")]
    with Gateway(tmp_path_factory.mktemp("cache"), config) as running:
        yield running


@pytest.mark.parametrize("route", ["plain", "disk"])
def test_miss_then_hit(gateway: Gateway, route: str) -> None:
    target = new(route) + "?a=1"
    of_one_connection = "Keep-Alive: x | Connection: X-Hop | X-Hop: 1"
    say = f"{HOUR} | Content-Type: text/x-test | X-Own: one | X-Own: two | Server: theirs | {of_one_connection}"
    first = fetch(gateway, target, say=say)
    again = fetch(gateway, target)
    assert (status(first), status(again)) == ("MISS", "HIT")
    assert (again.status, again.body) == (200, first.body)
    for name in ("X-Own", "Content-Type", "Cache-Control", "Content-Length", "Server"):
        assert again.header(name) == first.header(name), name
    assert again.header("X-Own") == ["one", "two"]
    assert again.header("X-Hop") == again.header("Keep-Alive") == []
    assert len(again.header("Date")) == len(again.header("Age")) == 1
    assert first.header("Age") == []
    other = fetch(gateway, target.replace("a=1", "a=2"))
    assert (status(other), other.body == first.body) == ("MISS", False)


def test_age_and_date_are_those_of_the_answer(gateway: Gateway) -> None:
    made = formatdate(time.time() - 100, usegmt=True)
    target = new("plain")
    fetch(gateway, target, say=f"{HOUR} | Date: {made} | Age: 30")
    again = fetch(gateway, target)
    assert status(again) == "HIT"
    assert again.header("Date") == [made]
    assert 100 <= int(again.header("Age")[0]) <= 110
    target = new("plain")
    fetch(gateway, target, say=f"{HOUR} | Age: 500")
    assert 500 <= int(fetch(gateway, target).header("Age")[0]) <= 510


@pytest.mark.parametrize(
    "say",
    [
        "Cache-Control: no-store",
        "Cache-Control: private",
        "Cache-Control: max-age=60, PRIVATE",
        "Cache-Control: no-cache",
        'Cache-Control: no-cache="Set-Cookie", max-age=60',
        'Cache-Control: private="X-A", max-age=60',
        "Cache-Control: max-age=60 | Cache-Control: no-store",
        "Cache-Control: max-age=0",
        "Cache-Control: s-maxage=0, max-age=60",
        "Cache-Control: max-age=nonsense",
        "Cache-Control: max-age=60, max-age=0",
        "Cache-Control: max-age=60 | Age: 60",
        "Cache-Control: max-age=60 | Date: Thu, 01 Jan 2015 00:00:00 GMT",
        "Expires: 0",
        "Expires: Thu, 01 Jan 2015 00:00:00 GMT",
        "Set-Cookie: a=b | Cache-Control: max-age=60",
        "Vary: * | Cache-Control: max-age=60",
        "Vary: Accept, * | Cache-Control: max-age=60",
    ],
)
def test_answers_that_are_not_kept(gateway: Gateway, say: str) -> None:
    target = new("plain")
    first = fetch(gateway, target, say=say)
    again = fetch(gateway, target, say=say)
    assert (status(first), status(again)) == ("MISS", "MISS")
    assert first.body != again.body


@pytest.mark.parametrize(
    "say",
    [
        "",  # cache_ttl
        "Cache-Control: max-age=60",
        "cache-control: MAX-AGE=60",
        'Cache-Control: max-age="60"',
        "Cache-Control: s-maxage=60, max-age=0",
        "Cache-Control: max-age=60 | Expires: Thu, 01 Jan 2015 00:00:00 GMT",
        "Expires: Thu, 01 Jan 2099 00:00:00 GMT",
        "Cache-Control: max-age=99999999999999999999",
        "Cache-Control: ,,extension=x,max-age=60",
        "Vary: Accept-Encoding | Cache-Control: max-age=60",
    ],
)
def test_answers_that_are_kept(gateway: Gateway, say: str) -> None:
    target = new("plain")
    first = fetch(gateway, target, say=say)
    again = fetch(gateway, target)
    assert (status(again), again.body) == ("HIT", first.body)


@pytest.mark.parametrize(
    ("code", "kept"), [(200, True), (301, True), (404, True), (500, False), (206, False), (302, False), (204, False)]
)
def test_statuses(gateway: Gateway, code: int, kept: bool) -> None:
    target = new("plain")
    fetch(gateway, target, f"X-Status: {code}", say=HOUR)
    again = fetch(gateway, target, f"X-Status: {code}")
    assert (again.status, status(again)) == (code, "HIT" if kept else "MISS")


@pytest.mark.parametrize(
    ("say", "kept"),
    [
        (HOUR, False),
        ("", False),
        (f"{HOUR}, public", True),
        (f"{HOUR}, must-revalidate", True),
        ("Cache-Control: s-maxage=60", True),
        (f"{HOUR}, public, private", False),
    ],
)
def test_answers_to_authorized_requests(gateway: Gateway, say: str, kept: bool) -> None:
    target = new("plain")
    fetch(gateway, target, "Authorization: Bearer x", say=say)
    assert status(fetch(gateway, target)) == ("HIT" if kept else "MISS")


def test_cookies_are_kept_where_that_is_wanted(gateway: Gateway) -> None:
    target = new("cookies")
    fetch(gateway, target, say=f"{HOUR} | Set-Cookie: a=b | Set-Cookie: c=d")
    assert fetch(gateway, target).header("Set-Cookie") == ["a=b", "c=d"]


def test_vary(gateway: Gateway) -> None:
    target, say = new("plain"), f"{HOUR} | Vary: Accept-Language, X-Other"
    english = fetch(gateway, target, "Accept-Language: en", say=say)
    german = fetch(gateway, target, "Accept-Language: de", say=say)
    assert (status(english), status(german)) == ("MISS", "MISS")
    for fields, body in (
        (("Accept-Language: en",), english.body),
        (("accept-language: de",), german.body),
    ):
        again = fetch(gateway, target, *fields)
        assert (status(again), again.body) == ("HIT", body)
    for fields in (
        (),
        ("Accept-Language:",),
        ("Accept-Language: en", "X-Other: 1"),
        ("Accept-Language: en", "Accept-Language: de"),
    ):
        assert status(fetch(gateway, target, *fields)) == "MISS", fields


def test_an_answer_with_vary_is_never_for_those_who_came_before(gateway: Gateway) -> None:
    """One answer without Vary and one with: the names of both count."""
    target = new("plain")
    fetch(gateway, target, "X-Lang: en", say=HOUR)
    assert status(fetch(gateway, target, "X-Lang: de")) == "HIT"
    assert fetch(gateway, target, method="PURGE").status == 200
    english = fetch(gateway, target, "X-Lang: en", say=f"{HOUR} | Vary: X-Lang")
    german = fetch(gateway, target, "X-Lang: de", say=HOUR)
    assert german.body != english.body
    assert fetch(gateway, target, "X-Lang: en").body == english.body
    assert fetch(gateway, target, "X-Lang: de").body == german.body
    assert status(fetch(gateway, target)) == "MISS"


def test_vary_by_what_the_gateway_says_of_clients(gateway: Gateway) -> None:
    """127.0.0.1 and 127.0.0.2 are two to an upstream that looks at X-Forwarded-For."""
    target = new("plain")
    first = fetch(gateway, target, say=f"{HOUR} | Vary: X-Forwarded-For")
    assert status(fetch(gateway, target)) == "HIT"
    request = f"GET {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode()
    with closing(socket.create_connection(gateway.data, source_address=("127.0.0.2", 0))) as client:
        client.sendall(request)
        other = parse(wire.read_to_end(client))
    assert (status(other), other.body == first.body) == ("MISS", False)


def test_identity(gateway: Gateway) -> None:
    target = new("who")
    jack = fetch(gateway, target, "apikey: jacks-key", say=HOUR)
    rose = fetch(gateway, target, "apikey: roses-key", say=HOUR)
    assert (status(jack), status(rose)) == ("MISS", "MISS")
    assert jack.body != rose.body
    assert fetch(gateway, target, "apikey: jacks-key").body == jack.body
    assert fetch(gateway, target, "apikey: roses-key").body == rose.body
    assert fetch(gateway, target).status == 401
    assert fetch(gateway, target, method="PURGE").status == 200  # of everybody, by another route
    assert status(fetch(gateway, target, "apikey: jacks-key")) == status(fetch(gateway, target, "apikey: roses-key")) == "MISS"


def test_identity_is_shared_where_that_is_wanted(gateway: Gateway) -> None:
    target = new("shared")
    jack = fetch(gateway, target, "apikey: jacks-key", say=HOUR)
    rose = fetch(gateway, target, "apikey: roses-key")
    assert (status(rose), rose.body) == ("HIT", jack.body)
    assert fetch(gateway, target).status == 401


def test_identity_that_only_headers_tell(gateway: Gateway, upstream: Saying) -> None:
    """Of users who are no consumers: forward-auth tells the upstream who they are."""

    def who(request: bytes) -> bytes:
        found = re.search(rb"(?i)\r\nx-token: (\w+)", request)
        return b"HTTP/1.1 200 OK\r\nX-User: %b\r\nContent-Length: 0\r\n\r\n" % (found[1] if found else b"nobody")

    with Answering(who) as other:
        auth = {"uri": f"http://{other.address}/", "request_headers": ["X-Token"], "upstream_headers": ["X-User"]}
        node = {"type": "roundrobin", "nodes": {str(upstream.address): 1}}
        plugins = {"forward-auth": auth, "request-id": {}, "proxy-cache": MEMORY}
        gateway.put("routes/told", {"uri": "/told", "upstream": node, "plugins": plugins})
        jack = fetch(gateway, "/told", "X-Token: jack", say=HOUR)
        rose = fetch(gateway, "/told", "X-Token: rose", say=HOUR)
        assert [status(jack), status(rose)] == ["MISS", "MISS"]
        for token, answer in (("jack", jack), ("rose", rose)):
            again = fetch(gateway, "/told", f"X-Token: {token}", f"X-Request-Id: of-{token}-2")
            assert (status(again), again.body) == ("HIT", answer.body)
            assert again.header("X-Request-Id") == [f"of-{token}-2"]


def test_purge(gateway: Gateway) -> None:
    target = new("plain")
    assert fetch(gateway, target, method="PURGE").status == 404
    first = fetch(gateway, target, "X-V: 1", say=f"{HOUR} | Vary: X-V")
    fetch(gateway, target, "X-V: 2", say=f"{HOUR} | Vary: X-V")
    assert fetch(gateway, target, method="PURGE").status == 200
    assert fetch(gateway, target, method="PURGE").status == 404
    for value in "12":
        again = fetch(gateway, target, f"X-V: {value}", say=f"{HOUR} | Vary: X-V")
        assert (status(again), again.body == first.body) == ("MISS", False)


@pytest.mark.parametrize(
    ("method", "code", "gone"), [("POST", 200, True), ("DELETE", 204, True), ("PUT", 500, False), ("OPTIONS", 200, False)]
)
def test_changes_of_the_resource(gateway: Gateway, method: str, code: int, gone: bool) -> None:
    target = new("plain")
    fetch(gateway, target, say=HOUR)
    assert fetch(gateway, target, f"X-Status: {code}", method=method).status == code
    assert status(fetch(gateway, target)) == ("MISS" if gone else "HIT")


def test_an_answer_that_was_asked_for_before_a_purge_is_not_kept_after_it(gateway: Gateway, upstream: Saying) -> None:
    class Held(Upstream):
        def talk(self, sock: Any, index: int) -> None:
            self.read_request(sock, index)
            self.closing.wait(0)
            sock.sendall(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 6\r\n\r\nold")
            until(lambda: self.go, "the test goes on")
            sock.sendall(b"est")

        go = False

    with Held() as held:
        node = {"type": "roundrobin", "nodes": {str(held.address): 1}}
        route = {"uri": "/held", "upstream": node, "plugins": {"proxy-cache": MEMORY}}
        gateway.put("routes/held", route)
        with closing(wire.connect(gateway.data)) as client:
            client.sendall(b"GET /held HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
            begun = wire.read_until(client, b"old")  # the client has it as it comes
            assert b"MISS" in begun
            assert fetch(gateway, "/held", method="PURGE").status == 404
            held.go = True
            wire.read_to_end(client)
        assert status(fetch(gateway, "/held")) == "MISS"
        assert status(fetch(gateway, "/held")) == "HIT"


def test_head_is_answered_by_what_a_get_left(gateway: Gateway) -> None:
    target = new("plain")
    assert status(fetch(gateway, target, method="HEAD", say=HOUR)) == "MISS"
    first = fetch(gateway, target, say=HOUR)
    assert status(first) == "MISS"
    head = fetch(gateway, target, method="HEAD")
    assert (status(head), head.body, head.header("Content-Length")) == ("HIT", b"", [str(len(first.body))])


def test_expired(gateway: Gateway) -> None:
    target = new("short")
    first = fetch(gateway, target)
    until(lambda: status(fetch(gateway, target)) == "EXPIRED", "it is not fresh any more")
    again = fetch(gateway, target)
    assert (status(again), again.body != first.body) == ("HIT", True)


def test_what_requests_say(gateway: Gateway) -> None:
    target, stale = new("obeys"), new("obeys")
    fetch(gateway, target, say="Cache-Control: max-age=100 | Age: 50")
    for said, want in (
        ("max-age=40", "STALE"),
        ("max-age=99", "HIT"),
        ("min-fresh=99", "STALE"),
        ("no-cache", "BYPASS"),
        ("no-store", "BYPASS"),
        ("max-age=nonsense", "STALE"),
        ("only-if-cached", "HIT"),
    ):
        if want == "STALE":
            fetch(gateway, target, method="PURGE")
            fetch(gateway, target, say="Cache-Control: max-age=100 | Age: 50")
        assert status(fetch(gateway, target, f"Cache-Control: {said}", say="Cache-Control: max-age=100 | Age: 50")) == want, said
    assert status(fetch(gateway, target, "Pragma: no-cache")) == "BYPASS"
    absent = fetch(gateway, new("obeys"), "Cache-Control: only-if-cached")
    assert (absent.status, status(absent)) == (504, "MISS")
    fetch(gateway, stale, say="Cache-Control: max-age=60 | Age: 59")
    until(lambda: status(fetch(gateway, stale, "Cache-Control: max-stale=50")) == "STALE", "it is stale, and served")
    assert status(fetch(gateway, stale, "Cache-Control: max-stale")) == "STALE"
    assert status(fetch(gateway, stale, say="Cache-Control: max-age=60, must-revalidate | Age: 59")) == "EXPIRED"
    until(
        lambda: status(fetch(gateway, stale, "Cache-Control: max-stale=50", say="Cache-Control: no-store")) == "EXPIRED", "strict"
    )


def test_answers_must_say_how_long_where_that_is_obeyed(gateway: Gateway) -> None:
    target = new("obeys")
    fetch(gateway, target)
    assert status(fetch(gateway, target)) == "MISS"


def test_requests_are_not_obeyed_otherwise_but_for_no_store(gateway: Gateway) -> None:
    target = new("plain")
    fetch(gateway, target, "Cache-Control: no-store", say=HOUR)
    assert status(fetch(gateway, target, say=HOUR)) == "MISS"
    assert status(fetch(gateway, target, "Cache-Control: no-cache")) == "HIT"


def test_bypass_and_no_cache(gateway: Gateway) -> None:
    target = new("bypass")
    assert status(fetch(gateway, f"{target}?no_cache=1", say=HOUR)) == "MISS"
    assert status(fetch(gateway, f"{target}?no_cache=1", say=HOUR)) == "MISS"
    for again in ("MISS", "HIT"):
        assert status(fetch(gateway, f"{target}?no_cache=0&bypass=0", say=HOUR)) == again
    for fields in ((f"{target}?no_cache=0&bypass=1",), (f"{target}?no_cache=0&bypass=0", "bypass: yes")):
        assert status(fetch(gateway, *fields)) == "BYPASS"


def test_hidden_headers(gateway: Gateway) -> None:
    target = new("hide")
    for want in ("MISS", "HIT"):
        answer = fetch(gateway, target, say=f"{HOUR} | Expires: Thu, 01 Jan 2099 00:00:00 GMT | X-Own: 1")
        assert (status(answer), answer.header("X-Own")) == (want, ["1"])
        assert answer.header("Cache-Control") == answer.header("Expires") == []


def test_the_key_is_what_is_configured(gateway: Gateway) -> None:
    target = new("key")
    fetch(gateway, f"{target}?x=1&y=1", say=HOUR)
    assert status(fetch(gateway, f"{target}?y=2&x=1")) == "HIT"
    assert status(fetch(gateway, f"{target}?x=2")) == "MISS"


def test_spellings_of_one_path_are_kept_apart(gateway: Gateway) -> None:
    """They are one to routing, but the upstream sees them as they were written, and may answer each otherwise."""
    target = new("plain")
    first = fetch(gateway, f"{target}/x", say=HOUR)
    odd = fetch(gateway, f"{target}/y/%2e%2e/x", say=HOUR)
    assert (status(odd), odd.body == first.body) == ("MISS", False)
    assert fetch(gateway, f"{target}/x").body == first.body


def test_a_get_with_a_body_passes_by(gateway: Gateway) -> None:
    target = new("plain")
    fetch(gateway, target, say=HOUR)
    assert status(fetch(gateway, target, body=b"fat")) == "BYPASS"
    target = new("plain")
    fetch(gateway, target, body=b"fat", say=HOUR)
    assert status(fetch(gateway, target)) == "MISS"


def test_post(gateway: Gateway) -> None:
    target = new("post")
    one = fetch(gateway, target, method="POST", body=b"a=1", say=HOUR)
    two = fetch(gateway, target, method="POST", body=b"a=2", say=HOUR)
    again = fetch(gateway, target, method="POST", body=b"a=1")
    assert [status(each) for each in (one, two, again)] == ["MISS", "MISS", "HIT"]
    assert again.body == one.body != two.body
    assert status(fetch(gateway, target)) == "MISS"
    assert status(fetch(gateway, target, method="HEAD")) == "MISS"


def test_bodies_of_all_framings(gateway: Gateway) -> None:
    head = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n"
    answers = {
        "chunked": [head + b"Transfer-Encoding: chunked\r\n\r\n", b"4;x\r\nchun\r\n", b"3\r\nked\r\n0\r\nX-Trailer: 1\r\n\r\n"],
        "until-close": [head + b"Connection: close\r\n\r\n", b"some"],
        "cut": [head + b"Content-Length: 100\r\n\r\n", b"half"],
        "cut-chunks": [head + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"],
    }
    for name, pieces in answers.items():
        with Scripted([pieces]) as server:
            node = {"type": "roundrobin", "nodes": {str(server.address): 1}}
            gateway.put("routes/framed", {"uri": "/framed/*", "upstream": node, "plugins": {"proxy-cache": MEMORY}})
            fetch(gateway, f"/framed/{name}")
            again = fetch(gateway, f"/framed/{name}")
            if name == "chunked":
                assert (status(again), again.body, again.header("Content-Length")) == ("HIT", b"chunked", ["7"])
            else:
                assert status(again) == "MISS", name


def test_long_bodies_pass_and_are_not_kept(gateway: Gateway) -> None:
    target = new("small")
    for size, want in ((10, "HIT"), (11, "MISS")):
        fetch(gateway, f"{target}/{size}", f"X-Body: {'x' * size}", say=HOUR)
        again = fetch(gateway, f"{target}/{size}", f"X-Body: {'x' * size}")
        assert (status(again), len(again.body)) == (want, size)


def test_dates_of_hits_parse(gateway: Gateway) -> None:
    """An upstream without a clock: the gateway's is taken when the answer comes (RFC 9110 section 6.6.1)."""
    target = new("plain")
    fetch(gateway, target, say=HOUR)
    assert parsedate_to_datetime(fetch(gateway, target).header("Date")[0]).tzinfo is not None


@pytest.mark.parametrize(
    "conf",
    [
        {"cache_strategy": "memory"},
        {"cache_strategy": "memory", "cache_zone": "disk_cache_one"},
        {"cache_zone": "memory_cache"},
        {"cache_zone": "nothere"},
        {"cache_key": []},
        {"cache_key": ["$request_method"]},
        {"cache_key": ["$nothere"]},
        {"cache_key": ["$a b"]},
        {"cache_bypass": []},
        {"no_cache": ["$unknown_thing"]},
        {"cache_method": ["DELETE"]},
        {"cache_method": ["GET", "GET"]},
        {"cache_http_status": [199]},
        {"cache_http_status": []},
        {"cache_ttl": 0},
        {"max_resp_body_size": 0},
        {"cache_strategy": "tape"},
    ],
)
def test_confs_that_are_refused(conf: dict[str, Any]) -> None:
    assert check_plugin("routes", "proxy-cache", conf)[0]
