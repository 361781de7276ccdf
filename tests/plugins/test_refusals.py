"""Every refusal has a reason in the access log, and every reason is in the docs, with its status.

Owns: that docs/access-log.md and the sources name the same reasons; that each reason of a plugin is met by a request from
outside, which the log then names with the status that the docs say. Must not know how a plugin decides.
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.plugins.mirror import consumer
from tests.support import wire
from tests.support.gateway import Gateway, free_addresses
from tests.support.processes import ROOT
from tests.support.signers import SIGNERS, b64
from tests.support.signing import date, field, signed
from tests.support.upstreams import OK, Answering
from tests.support.waiting import until

PAGE = ROOT / "docs" / "access-log.md"
REASON = re.compile(r'"([a-z][a-z-]*\.[a-z_]+)"')
# Verdicts that refuse nobody, the name of a number that is none, a group of entry points, and what only a shadow tells.
NEVER_LOGGED = {"jwt.ok", "jwt.later", "jwt.unknown", "fastgw.plugins", "limit-conn.delayed", "limit-req.delayed"}
OF_SPANS = re.compile(r"(?:apisix|fastgw|http|opentelemetry|service)\.")  # names that OpenTelemetry has in this form
NOT_A_PLUGINS = {
    "embed",
    "tunnel",
    "framing",
    "body",
    "timeout",
    "client",
    "config",
    "upstream",
    "plugin",
    "tls",
}  # tests/adversity, tests/tls and tests/unit meet these
NOT_FROM_OUTSIDE = {"limit-req.failed", "basic.failed", "proxy-rewrite.failed", "redirect.failed"}  # only without memory
ELSEWHERE = {
    "api-breaker.open",
    "basic.busy",
    "jwt.busy",
    "request-validation.busy",
    "hmac.replay_full",
    "response-rewrite.too_large",
    "response-rewrite.failed",
    "proxy-cache.absent",
}  # in tests of their plugins: it takes many requests, or the client gets no answer
CONFIGURED = "as configured"
HS = SIGNERS["HS256"]


def in_sources() -> set[str]:
    """The texts of the form word.word in the native rooms and the plugins, but for the names of files they include, and for
    what spans have."""
    found: set[str] = set()
    for path in [*(ROOT / "fastgw" / "native").glob("*.pxi"), *(ROOT / "fastgw" / "plugins").glob("*.py")]:
        if path.name in ("opentelemetry.py", "span_exporter.py"):
            continue
        for line in path.read_text().splitlines():
            if "extern from" not in line:
                found |= set(REASON.findall(line))
    return {reason for reason in found - NEVER_LOGGED if not OF_SPANS.match(reason)}


def in_docs() -> dict[str, str]:
    """Statuses by reason."""
    table = PAGE.read_text().partition("| `refused` | status |")[2]
    return dict(re.findall(r"(?m)^\| `([a-z-]+\.[a-z_]+)` \| ([^|]+) \|", table))


# ---- the requests ------------------------------------------------------------------------------------


def get(route: str, *fields: bytes, query: bytes = b"") -> bytes:
    head = b"GET /%b%b HTTP/1.1\r\nHost: test\r\n" % (route.encode(), query)
    return head + b"".join(field + b"\r\n" for field in fields) + b"\r\n"


def post(route: str, body: bytes, *fields: bytes) -> bytes:
    return get(route, b"Content-Length: %d" % len(body), *fields).replace(b"GET", b"POST", 1) + body


def bearer(token: bytes, route: str = "jwt") -> bytes:
    return get(route, b"Authorization: Bearer " + token)


def claims(**members: Any) -> bytes:
    return HS.token(payload=HS.payload(**members))


def of_ring(kid: bytes) -> bytes:
    """A token of the credential with two keys, the second of which is out of force."""
    return HS.token(header=b'{"alg":"HS256"%b}' % kid, payload=b'{"key":"ring-key"}')


def payload(text: bytes) -> bytes:
    return HS.token(payload=text)


def hmac(*fields: str, route: str = "hmac") -> bytes:
    return get(route, *(each.encode() for each in fields))


NOW = int(time.time())
GOOD = claims(exp=NOW + 3600)
CASES: dict[str, bytes] = {
    "jwt.no_token": get("jwt"),
    "jwt.repeated": get("jwt", b"Authorization: Bearer " + GOOD, b"Authorization: Bearer " + GOOD),
    "jwt.too_large": bearer(claims(x="x" * 6200)),
    "jwt.malformed": bearer(b"somewrongkey"),
    "jwt.bad_header": bearer(HS.token(header=b"[]")),
    "jwt.unsupported": bearer(HS.token(header=b'{"alg":"HS256","crit":["exp"]}')),
    "jwt.bad_payload": bearer(payload(b"[]")),
    "jwt.no_key_claim": bearer(payload(b"{}")),
    "jwt.bad_key_claim": bearer(payload(b'{"key":1}')),
    "jwt.unknown_key": bearer(payload(b'{"key":"nobody"}')),
    "jwt.bad_alg": bearer(b".".join([b64(b'{"alg":"none"}'), b64(HS.payload()), b""])),
    "jwt.bad_signature": bearer(GOOD.rpartition(b".")[0] + b"." + b64(bytes(32))),
    "jwt.missing_claim": bearer(claims(exp=NOW + 3600), route="jwt-both"),
    "jwt.bad_claim": bearer(claims(exp="tomorrow")),
    "jwt.expired": bearer(claims(exp=NOW - 1)),
    "jwt.not_yet": bearer(claims(nbf=NOW + 86_400)),
    "jwt.issuer": bearer(claims(iss="them", aud="here", iat=NOW), route="jwt-asked"),
    "jwt.audience": bearer(claims(iss="us", aud=["there"], iat=NOW), route="jwt-asked"),
    "jwt.iat_missing": bearer(claims(iss="us", aud="here"), route="jwt-asked"),
    "jwt.iat_in_future": bearer(claims(iss="us", aud="here", iat=NOW + 86_400), route="jwt-asked"),
    "jwt.too_old": bearer(claims(iss="us", aud="here", iat=NOW - 86_400), route="jwt-asked"),
    "jwt.kid_missing": bearer(of_ring(b"")),
    "jwt.unknown_kid": bearer(of_ring(b',"kid":"c"')),
    "jwt.key_not_in_force": bearer(of_ring(b',"kid":"b"')),
    "jwt.revoked": bearer(claims(jti="revoked")),
    "key.missing": get("key"),
    "key.repeated": get("key", b"apikey: k-e-y", b"apikey: k-e-y"),
    "key.unknown": get("key", b"apikey: wrong"),
    "key.revoked": get("key", b"apikey: r-e-v"),
    "basic.missing": get("basic"),
    "basic.repeated": get("basic", b"Authorization: Basic eDp5", b"Authorization: Basic eDp5"),
    "basic.malformed": get("basic", b"Authorization: Basic ?"),
    "basic.refused": get("basic", b"Authorization: Basic eDp5"),
    "basic.revoked": get("basic", b"Authorization: Basic " + base64.b64encode(b"rev:pass")),
    "multi.failed": get("multi"),
    "forward.denied": get("denied"),
    "forward.unreachable": get("unreachable"),
    "forward.too_large": get("posted", b"Content-Length: 2") + b"ab",
    "hmac.missing": hmac(),
    "hmac.scheme": hmac("Authorization: Bearer x"),
    "hmac.repeated": hmac(*signed("/hmac"), "Authorization: x"),
    "hmac.malformed": hmac("Authorization: Signature x"),
    "hmac.unknown_key": hmac(*signed("/hmac", key_id="nobody")),
    "hmac.bad_algorithm": hmac(*signed("/hmac", algorithm="hmac-sha1")),
    "hmac.no_date": hmac(field("kim-id", "date", "x")),
    "hmac.bad_date": hmac(*signed("/hmac", when="today")),
    "hmac.clock_skew": hmac(*signed("/hmac", when=date(-100_000))),
    "hmac.missing_header": hmac(f"Date: {date()}", field("kim-id", "host", "x")),
    "hmac.repeated_header": hmac(*signed("/hmac", "X-A: 1"), "X-A: 2"),
    "hmac.bad_signature": hmac(*signed("/hmac", secret="wrong")),
    "hmac.bad_digest": hmac(*signed("/hmac-body"), route="hmac-body"),
    "hmac.body_too_large": hmac(*signed("/hmac-body"), "Content-Length: 10", route="hmac-body") + b"0123456789",
    "hmac.revoked": hmac(*signed("/hmac", key_id="rev-id", secret="rev-secret")),
    "hmac.replayed": hmac(*signed("/hmac")),
    "acl.missing": get("unlabelled"),
    "acl.refused": get("label", b"apikey: k-e-y"),
    "consumer-restriction.missing": get("nobody"),
    "consumer-restriction.refused": get("notroute"),
    "ip-restriction.refused": get("ip"),
    "proxy-rewrite.unsafe": get("rewrite", query=b"?x=.."),
    "proxy-rewrite.too_long": get("rewrite", query=b"?x=" + b"x" * 7000),
    "ua-restriction.refused": get("agent"),
    "referer-restriction.refused": get("referer"),
    "uri-blocker.refused": get("blocked"),
    "public-api.unknown": get("public"),
    "proxy-cache.absent": get("cached", b"Cache-Control: only-if-cached"),
    "csrf.no_header": post("forged", b""),
    "csrf.no_cookie": post("forged", b"", b"csrf: 1"),
    "csrf.mismatch": post("forged", b"", b"csrf: 1", b"Cookie: csrf=2"),
    "csrf.bad_token": post("forged", b"", b"csrf: 1", b"Cookie: csrf=1"),
    "request-validation.refused": post("validated", b"1"),
    "request-validation.too_large": post("validated", b"[123456]"),
    "redirect.no_host": b"GET /https HTTP/1.0\r\n\r\n",
    "redirect.too_long": get("redirect", query=b"?x=" + b"x" * 7000),
    "client-control.too_large": get("control", b"Content-Length: 2") + b"ab",
    "limit-count.exceeded": get("count"),
    "limit-count.failed": get("counts", b"X-Most: 0"),
    "limit-req.exceeded": get("req"),
    "workflow.rejected": get("workflow"),
    "fault-injection.aborted": get("fault"),
    "mocking.answered": get("mock"),
    "limit-conn.exceeded": get("conn", b"X-Most: 1"),
    "limit-conn.failed": get("conn", b"X-Most: many"),
}
LET_THROUGH = {"limit-count.exceeded", "limit-req.exceeded", "hmac.replayed"}  # the first of two; the second is refused
KNOWN = {"acl.refused"}  # what befalls consumers
RING = [{"kid": "a", "secret": HS.private.decode()}, {"kid": "b", "secret": HS.private.decode(), "expires": NOW - 3600}]
CODE = 418  # what plugins are configured to refuse with: nothing else answers so
CODES = {"ip-restriction.refused": 404}  # which knows only two

ROUTES: dict[str, dict[str, Any]] = {
    "jwt": {"jwt-auth": {}},
    "jwt-both": {"jwt-auth": {"claims_to_verify": ["exp", "nbf"]}},
    "jwt-asked": {"jwt-auth": {"issuers": ["us"], "audiences": ["here"], "max_token_age": 3600}},
    "key": {"key-auth": {}},
    "basic": {"basic-auth": {}},
    "multi": {"multi-auth": {"auth_plugins": [{"key-auth": {}}, {"basic-auth": {}}]}},
    "denied": {"forward-auth": {"uri": "http://$UPSTREAM/deny"}},
    "posted": {"forward-auth": {"uri": "http://$UPSTREAM/", "request_method": "POST", "max_req_body_size": 1}},
    "unreachable": {"forward-auth": {"uri": "http://$NOBODY/", "status_on_error": CODE}},
    "hmac": {"hmac-auth": {"allowed_algorithms": ["hmac-sha256"], "clock_skew": 90_000, "prevent_replay": True}},
    "hmac-body": {"hmac-auth": {"validate_request_body": True, "max_req_body_size": 9, "clock_skew": 90_000}},
    "unlabelled": {"acl": {"allow_labels": {"a": ["b"]}}},
    "label": {"key-auth": {}, "acl": {"allow_labels": {"a": ["b"]}, "rejected_code": CODE}},
    "nobody": {"consumer-restriction": {"whitelist": ["kim"]}},
    "notroute": {"consumer-restriction": {"type": "route_id", "blacklist": ["notroute"], "rejected_code": CODE}},
    "ip": {"ip-restriction": {"blacklist": ["127.0.0.0/8"], "response_code": 404}},
    "rewrite": {"proxy-rewrite": {"uri": "/$arg_x" * 10}},
    "agent": {"ua-restriction": {"allowlist": ["x"]}},
    "referer": {"referer-restriction": {"whitelist": ["x"]}},
    "blocked": {"uri-blocker": {"block_rules": ["blocked"], "rejected_code": CODE}},
    "public": {"public-api": {}},
    "cached": {"proxy-cache": {"cache_strategy": "memory", "cache_zone": "memory_cache", "cache_control": True}},
    "forged": {"csrf": {"key": "a-key", "name": "csrf"}},
    "validated": {"request-validation": {"body_schema": {"type": "array"}, "rejected_code": CODE, "max_req_body_size": 7}},
    "redirect": {"redirect": {"uri": "/$arg_x" * 10}},
    "https": {"redirect": {"http_to_https": True}},
    "control": {"client-control": {"max_body_size": 1}},
    "count": {"limit-count": {"count": 1, "time_window": 3600, "rejected_code": CODE}},
    "counts": {"limit-count": {"count": "$http_x_most", "time_window": 3600, "rejected_code": CODE}},
    "req": {"limit-req": {"rate": 0.001, "burst": 0, "key": "remote_addr", "rejected_code": CODE}},
    "fault": {"fault-injection": {"abort": {"http_status": CODE}}},
    "mock": {"mocking": {"response_example": "x", "response_status": CODE}},
    "workflow": {"workflow": {"rules": [{"actions": [["return", {"code": CODE}]]}]}},
    "conn": {
        "limit-conn": {"conn": "$http_x_most", "burst": 0, "default_conn_delay": 0.1, "key": "remote_addr", "rejected_code": CODE}
    },
}


class Running(NamedTuple):
    gateway: Gateway
    upstream: Answering
    log: Path
    gate: threading.Event  # shut: the upstream answers nobody
    marks: list[int]  # how often the log was marked


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("refusals")
    gate = threading.Event()
    gate.set()
    denial = b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % CODE

    def answered(request: bytes) -> bytes:
        if request.startswith(b"GET /deny"):
            return denial
        return OK if gate.wait(wire.TIMEOUT) else b""

    with Answering(answered) as upstream:
        assert isinstance(upstream, Answering)
        node = {"type": "roundrobin", "nodes": {str(upstream.address): 1}}
        text = json.dumps(ROUTES).replace("$UPSTREAM", str(upstream.address)).replace("$NOBODY", str(free_addresses(1)[0]))
        config = {
            "access_log": {"path": str(directory / "access.log")},
            "consumers": [
                HS.consumer(),
                consumer("rita", ("r", {"jwt-auth": {"key": "ring-key", "keys": RING}})),
                consumer("kim", ("k", {"key-auth": {"key": "k-e-y"}})),
                consumer("kai", ("h", {"hmac-auth": {"key_id": "kim-id", "secret_key": "kim-secret"}})),
                consumer(
                    "rev",
                    ("k", {"key-auth": {"key": "r-e-v"}}),
                    ("b", {"basic-auth": {"username": "rev", "password": "pass"}}),
                    ("h", {"hmac-auth": {"key_id": "rev-id", "secret_key": "rev-secret"}}),
                ),
                consumer("ann", ("a", {"basic-auth": {"username": "ann", "password": "pass"}})),
            ],
            "revocations": [{"id": "t", "jti": "revoked"}, *({"id": id, "credential": f"rev/{id}"} for id in "kbh")],
            "routes": [
                {"id": name, "uri": f"/{name}", "upstream": node, "plugins": plugins}
                for name, plugins in json.loads(text).items()
            ],
        }
        with Gateway(directory, config) as gateway:
            yield Running(gateway, upstream, directory / "access.log", gate, [0])


def ask(running: Running, request: bytes) -> int:
    with closing(wire.connect(running.gateway.data)) as sock:
        sock.sendall(request)
        (answer,) = wire.read_pipelined(sock, 1)
        return answer.status


def at_upstream(running: Running) -> int:
    return sum(bytes(data).count(b"\r\n\r\n") for data in running.upstream.received)


@contextmanager
def another_runs(running: Running, request: bytes) -> Iterator[None]:
    """Meanwhile the same request is at the upstream, which keeps it."""
    running.gate.clear()
    before = at_upstream(running)
    try:
        with closing(wire.connect(running.gateway.data)) as sock:
            sock.sendall(request)
            until(lambda: at_upstream(running) > before, "the upstream has it")
            yield
            running.gate.set()
            assert [answer.status for answer in wire.read_pipelined(sock, 1)] == [200]
    finally:
        running.gate.set()


@contextmanager
def counted(running: Running) -> Iterator[list[dict[str, Any]]]:
    """The log's lines of the requests made within; a last one of our own tells that all are there."""
    before = len(running.log.read_text().splitlines())
    found: list[dict[str, Any]] = []
    yield found
    assert ask(running, b"GET /end HTTP/1.1\r\nHost: test\r\n\r\n") == 404
    text = until(lambda: text if (text := running.log.read_text()).count('"uri":"/end"') > running.marks[0] else "", "the mark")
    running.marks[0] += 1
    found += [json.loads(line) for line in text.splitlines()[before:-1]]


# ---- the tests ---------------------------------------------------------------------------------------


def test_docs_and_sources_name_the_same_reasons() -> None:
    assert set(in_docs()) == in_sources(), f"a row in {PAGE.name} for each reason in fastgw, and the other way round"


def test_each_reason_of_a_plugin_has_a_case() -> None:
    of_plugins = {reason for reason in in_sources() if reason.partition(".")[0] not in NOT_A_PLUGINS}
    assert of_plugins == set(CASES) | NOT_FROM_OUTSIDE | ELSEWHERE, "a request in CASES for each reason of a plugin"


@pytest.mark.parametrize("reason", CASES)
def test_the_log_names_the_reason(running: Running, reason: str) -> None:
    request = CASES[reason]
    said = in_docs()[reason]
    with counted(running) as lines:
        if reason in LET_THROUGH:
            assert ask(running, request) == 200
        if reason == "limit-conn.exceeded":
            with another_runs(running, request):
                status = ask(running, request)
        else:
            status = ask(running, request)
    line = next(line for line in lines if "refused" in line)
    assert len(lines) == 1 + (reason in LET_THROUGH or reason == "limit-conn.exceeded")
    assert (line["refused"], line["status"]) == (reason, status)
    assert status == (CODES.get(reason, CODE) if said == CONFIGURED else int(said))
    assert ("consumer" in line) == (reason in KNOWN)


def test_who_is_let_through_has_no_reason(running: Running) -> None:
    with counted(running) as lines:
        assert ask(running, bearer(GOOD)) == 200
    (line,) = lines
    assert "refused" not in line
    assert (line["consumer"], line["credential"]) == ("hs256", "of-HS256")
