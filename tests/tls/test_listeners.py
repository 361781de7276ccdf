"""TLS on listeners, from outside: whose certificate is shown, who is let in, what is refused, what changes while clients come."""

import contextlib
import hashlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import tls, wire
from tests.support.certificates import Authority
from tests.support.gateway import Gateway, one_route
from tests.support.programs import program
from tests.support.tls import client_context
from tests.support.upstreams import Answering, BigBody, SlowReader, Upstream, big_digest
from tests.support.waiting import until
from tests.support.wire import TIMEOUT

BIG = 8_000_000
CA = Authority()
PEOPLE = Authority("people")
HAND = 22  # of a TLS record: handshake


def entry(*names: str, authority: Authority = CA, **fields: Any) -> dict[str, Any]:
    """An ssl object, but for its id."""
    cert, key = authority.issue(*(name.replace("*", "w") for name in names))
    return {"snis": list(names), "cert": cert, "key": key, **fields}


def config(upstream: Any, **more: Any) -> dict[str, Any]:
    settings = {"tls": {"listen": ["127.0.0.1:0"], **more.pop("tls", {})}}
    return {**one_route(upstream), **settings, **more}


def with_a(upstream: Upstream) -> dict[str, Any]:
    return config(upstream.address, ssls=[{"id": "a", **entry("a.example")}])


@pytest.fixture(scope="module")
def upstream() -> Iterator[Answering]:
    def respond(request: bytes) -> bytes:
        proto = next(line for line in request.split(b"\r\n") if line.startswith(b"X-Forwarded-Proto"))
        return b"HTTP/1.1 200 OK\r\nX-Seen: %b\r\nContent-Length: 2\r\n\r\nok" % proto.partition(b": ")[2]

    class Patient(Answering):
        """Of the gateway's idle connections nobody minds how long they are."""

        def talk(self, sock: socket.socket, index: int) -> None:
            sock.settimeout(None)
            super().talk(sock, index)

    with Patient(respond) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def gateway(upstream: Answering, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    mutual = {"ca": PEOPLE.pem, "depth": 1}
    ssls = [
        {"id": "a", **entry("a.example")},
        {"id": "w", **entry("*.w.example")},
        {"id": "m", **entry("m.example", client=mutual)},
        {"id": "s", **entry("s.example", client={**mutual, "skip_mtls_uri_regex": ["^/open"]})},
        {"id": "mw", **entry("*.mw.example", client=mutual)},
        {"id": "nw", **entry("*.n.mw.example")},
        {"id": "off", **entry("off.example", status=0)},
        {"id": "two", **entry("two.example", ssl_protocols=["TLSv1.2"])},
    ]
    settings = config(upstream.address, ssls=ssls, workers=2, limits={"head_timeout": 1})
    with Gateway(tmp_path_factory.mktemp("tls"), settings) as gateway:
        yield gateway


# ---- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.example", "w.w.example"])
def test_a_client_that_judges_gets_what_it_asked_for(gateway: Gateway, name: str) -> None:
    response = tls.get(gateway.tls, name, client_context(CA.pem))
    assert (response.status, response.body) == (200, b"ok")
    assert response.headers["x-seen"] == "https"


@pytest.mark.parametrize("name", ["b.example", "off.example", "x.y.w.example", None])
def test_a_name_that_nobody_has_is_refused(gateway: Gateway, name: str | None) -> None:
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        tls.connect(gateway.tls, name)


def test_plain_and_tls_side_by_side(gateway: Gateway) -> None:
    assert gateway.get("/").headers["x-seen"] == "http"


def test_a_connection_is_kept(gateway: Gateway) -> None:
    with tls.connect(gateway.tls, "a.example") as sock:
        for _ in range(20):
            assert tls.ask(sock, "a.example").status == 200


def test_a_host_of_another_name_is_served(gateway: Gateway) -> None:
    """As by APISIX: only where a client has to prove itself the two must be one."""
    assert tls.get(gateway.tls, "a.example", host="b.example").status == 200


def test_a_fallback_for_clients_without_a_name(upstream: Answering, tmp_path: Path) -> None:
    settings = config(upstream.address, tls={"fallback_sni": "a.example"}, ssls=[{"id": "a", **entry("a.example")}])
    with Gateway(tmp_path, settings) as gateway, tls.connect(gateway.tls, None) as sock:
        assert tls.ask(sock, "anything").status == 200


# ---- changes -------------------------------------------------------------------------------------


def test_a_certificate_changes_under_load_without_a_failed_handshake(upstream: Answering, tmp_path: Path) -> None:
    failures: list[BaseException] = []
    done = threading.Event()
    served = [0] * 3

    def load(index: int) -> None:
        context = client_context(CA.pem)
        try:
            while not done.is_set():
                assert tls.get(gateway.tls, "a.example", context).status == 200
                served[index] += 1
        except BaseException as failure:
            failures.append(failure)

    with Gateway(tmp_path, config(upstream.address, workers=2)) as gateway:
        first = entry("a.example")
        gateway.put("ssls/a", first)
        threads = [threading.Thread(target=load, args=(index,), daemon=True) for index in range(len(served))]
        for thread in threads:
            thread.start()
        for _ in range(15):
            fresh = entry("a.example")
            gateway.put("ssls/a", fresh)
            # When the write is answered every worker shows it.
            assert tls.shown(gateway.tls, "a.example") == ssl.PEM_cert_to_DER_cert(fresh["cert"])
        until(lambda: failures or min(served) > 5, "every client was served")
        done.set()
        for thread in threads:
            thread.join(TIMEOUT)
        assert not failures
        assert gateway.api("DELETE", "ssls/a").status == 200
        with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
            tls.connect(gateway.tls, "a.example")


def test_of_two_with_one_name_the_older_is_shown(upstream: Answering, tmp_path: Path) -> None:
    with Gateway(tmp_path, config(upstream.address)) as gateway:
        old, new = entry("a.example"), entry("a.example", "b.example")
        gateway.put("ssls/z", old)
        gateway.put("ssls/a", new)
        assert tls.shown(gateway.tls, "a.example") == ssl.PEM_cert_to_DER_cert(old["cert"])
        assert gateway.api("DELETE", "ssls/z").status == 200
        assert tls.shown(gateway.tls, "a.example") == ssl.PEM_cert_to_DER_cert(new["cert"])
        gateway.put("ssls/a", {**new, "snis": ["b.example"]})
        with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
            tls.connect(gateway.tls, "a.example")


# ---- clients that prove themselves ---------------------------------------------------------------


def person(authority: Authority = PEOPLE) -> ssl.SSLContext:
    return client_context(CA.pem, authority.issue("somebody"))


def test_a_client_with_a_certificate(gateway: Gateway) -> None:
    assert tls.get(gateway.tls, "m.example", person()).status == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_without_one_is_refused(gateway: Gateway, version: ssl.TLSVersion) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        tls.get(gateway.tls, "m.example", client_context(version=version))


def test_a_client_with_one_of_others_is_refused(gateway: Gateway) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        tls.get(gateway.tls, "m.example", person(Authority("people")))


@pytest.mark.parametrize(("between", "status"), [(1, 200), (2, None)])
def test_a_chain_may_be_so_long(gateway: Gateway, between: int, status: int | None) -> None:
    authority = PEOPLE
    for index in range(between):
        authority = Authority(f"between {index}", under=authority)
    if status is not None:
        assert tls.get(gateway.tls, "m.example", person(authority)).status == status
        return
    with pytest.raises((ssl.SSLError, ConnectionError)):
        tls.get(gateway.tls, "m.example", person(authority))


def test_the_host_must_be_that_of_the_handshake(gateway: Gateway) -> None:
    """Nobody reaches a host that asks for certificates by way of one that does not, or of another one."""
    assert tls.get(gateway.tls, "a.example", host="m.example").status == 400
    assert tls.get(gateway.tls, "a.example", host="M.EXAMPLE:9443").status == 400
    assert tls.get(gateway.tls, "s.example", person(), host="m.example").status == 400
    assert tls.get(gateway.tls, "m.example", person(), host="m.example:9443").status == 200
    assert tls.get(gateway.tls, "m.example", person(), host="a.example").status == 200


@pytest.mark.parametrize("host", ["x.mw.example", "x.y.mw.example", "x.y.n.z.mw.example", "X.Y.mw.example.:1"])
def test_a_wildcard_decides_for_hosts_however_deep(gateway: Gateway, host: str) -> None:
    """As it names them in a route. It is shown to one label only, so over connections to other names these are refused."""
    assert tls.get(gateway.tls, "a.example", host=host).status == 400


@pytest.mark.parametrize("host", ["mw.example", "x.n.mw.example", "x.y.n.mw.example", "xmw.example"])
def test_of_two_wildcards_the_longer_one_decides(gateway: Gateway, host: str) -> None:
    assert tls.get(gateway.tls, "a.example", host=host).status == 200


def test_paths_that_need_no_certificate(gateway: Gateway) -> None:
    nobody = client_context(CA.pem)
    assert tls.get(gateway.tls, "s.example", nobody, "/open/x").status == 200
    assert tls.get(gateway.tls, "s.example", nobody, "/closed").status == 400
    assert tls.get(gateway.tls, "s.example", nobody, "/open/../closed").status == 400
    assert tls.get(gateway.tls, "s.example", person(), "/closed").status == 200
    with tls.connect(gateway.tls, "s.example", nobody) as sock:  # HTTP/1.0 without a host means that of the handshake
        sock.sendall(b"GET /closed HTTP/1.0\r\n\r\n")
        assert wire.read_response(sock).status == 400


def test_who_has_to_prove_itself_from_now_on_has_to_at_once(upstream: Answering, tmp_path: Path) -> None:
    """Also on connections that were there before."""
    with Gateway(tmp_path, config(upstream.address)) as gateway:
        first = entry("a.example")
        gateway.put("ssls/a", first)
        with tls.connect(gateway.tls, "a.example") as sock:
            assert tls.ask(sock, "a.example").status == 200
            gateway.put("ssls/a", {**first, "client": {"ca": PEOPLE.pem}})
            assert tls.ask(sock, "a.example").status == 400
        with tls.connect(gateway.tls, "a.example", person()) as sock:
            assert tls.ask(sock, "a.example").status == 200
            gateway.put("ssls/a", {**entry("a.example"), "client": {"ca": PEOPLE.pem}})
            assert tls.ask(sock, "a.example").status == 200  # a new certificate of ours, the same judges
            gateway.put("ssls/a", {**first, "client": {"ca": Authority("others").pem}})
            assert tls.ask(sock, "a.example").status == 400


# ---- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_versions_are_refused(gateway: Gateway, version: ssl.TLSVersion) -> None:
    context = client_context(version=version)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        tls.connect(gateway.tls, "a.example", context)


@pytest.mark.parametrize("ciphers", ["AES128-SHA", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES128-SHA256", "AES128-GCM-SHA256"])
def test_weak_suites_are_refused(gateway: Gateway, ciphers: str) -> None:
    context = client_context(version=ssl.TLSVersion.TLSv1_2)
    context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
        tls.connect(gateway.tls, "a.example", context)


def test_a_version_that_a_name_does_not_speak(gateway: Gateway) -> None:
    with tls.connect(gateway.tls, "two.example") as sock:
        assert sock.version() == "TLSv1.2"


def test_renegotiation_is_refused(gateway: Gateway) -> None:
    command = [program("openssl"), "s_client", "-connect", str(gateway.tls), "-servername", "a.example", "-tls1_2"]
    done = subprocess.run(command, input="R\n", capture_output=True, text=True, timeout=TIMEOUT)
    assert "RENEGOTIATING" in done.stdout + done.stderr
    assert "no renegotiation" in done.stdout + done.stderr


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_no_session_is_resumed(gateway: Gateway, tmp_path: Path, version: str) -> None:
    command = [program("openssl"), "s_client", "-connect", str(gateway.tls), "-servername", "a.example", version, "-reconnect"]
    done = subprocess.run(command, input="", capture_output=True, text=True, timeout=TIMEOUT)
    assert "New, TLSv1." in done.stdout
    assert "Reused" not in done.stdout
    assert "TLS session ticket:" not in done.stdout


def test_plain_http_to_a_tls_port_is_closed(gateway: Gateway) -> None:
    answer = wire.raw(gateway.tls, b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
    assert b"HTTP/" not in answer


def test_half_handshakes_end(gateway: Gateway) -> None:
    """head_timeout is the deadline of the handshake; honest clients are served meanwhile."""
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(contextlib.closing(wire.connect(gateway.tls))) for _ in range(100)]
        for sock in socks:
            sock.sendall(bytes([HAND, 3, 1, 2, 0, 1, 0]))
        assert tls.get(gateway.tls, "a.example").status == 200
        assert all(wire.read_to_end(sock) == b"" for sock in socks)


# ---- long bodies ---------------------------------------------------------------------------------


@pytest.mark.parametrize("chunked", [False, True])
def test_a_long_answer_for_a_slow_client(tmp_path: Path, chunked: bool) -> None:
    with BigBody(BIG, chunked) as upstream, Gateway(tmp_path, with_a(upstream)) as gateway:
        sock = tls.connect(gateway.tls, "a.example")
        sock.sendall(tls.GET % b"a.example")
        until(lambda: upstream.sent > 0, "the answer begins")
        response = wire.read_response(sock)
        sock.close()
    assert hashlib.sha256(response.body).hexdigest() == big_digest(BIG)


def test_a_long_request_for_a_slow_upstream(tmp_path: Path) -> None:
    body = bytes(range(256)) * (BIG // 256)
    with SlowReader() as upstream, Gateway(tmp_path, with_a(upstream)) as gateway:
        with tls.connect(gateway.tls, "a.example") as sock:
            sock.sendall(b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: %d\r\n\r\n" % len(body))
            sender = threading.Thread(target=sock.sendall, args=(body,), daemon=True)
            sender.start()
            upstream.wait_for(b"\r\n\r\n")
            upstream.go.set()
            assert wire.read_response(sock).status == 200
            sender.join(TIMEOUT)
        assert upstream.length == len(body)
        assert upstream.digest.hexdigest() == hashlib.sha256(body).hexdigest()


def test_drain_ends_kept_connections(upstream: Answering, tmp_path: Path) -> None:
    with Gateway(tmp_path, with_a(upstream)) as gateway:
        context = client_context()
        plain = wire.connect(gateway.tls)
        with context.wrap_socket(plain, server_hostname="a.example", suppress_ragged_eofs=False) as sock:
            assert tls.ask(sock, "a.example").status == 200
            stopped = threading.Thread(target=gateway.stop)
            stopped.start()
            assert sock.recv(1) == b""  # close_notify, then the end
            stopped.join(TIMEOUT)


# ---- settings ------------------------------------------------------------------------------------


def test_a_gateway_of_tls_alone(upstream: Answering, tmp_path: Path) -> None:
    with Gateway(tmp_path, {**with_a(upstream), "listen": []}) as gateway:
        assert gateway.tls == gateway.data
        assert tls.get(gateway.tls, "a.example").status == 200


def test_a_reload_puts_settings_in_force(upstream: Answering, tmp_path: Path) -> None:
    settings = with_a(upstream)
    listen = settings["tls"]["listen"]
    with Gateway(tmp_path, settings) as gateway:
        with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
            tls.connect(gateway.tls, None)
        before = gateway.workers()
        settings["tls"] = {"listen": listen, "fallback_sni": "a.example", "protocols": ["TLSv1.2"]}
        assert "reloaded" in gateway.reload(settings)

        def taken() -> bool:
            with contextlib.suppress(OSError), tls.connect(gateway.tls, None) as sock:
                return sock.version() == "TLSv1.2"
            return False

        until(taken, "a worker of the new settings serves")
        until(lambda: not set(before) & set(gateway.workers()), "those of the old ones take no more")
        settings["tls"] = {**settings["tls"], "trusted_certificate": str(tmp_path / "nothing.pem")}
        log = gateway.reload(settings)
        assert "reload refused" in log
        assert "nothing.pem" in log
        del settings["tls"]["trusted_certificate"]
        settings["tls"]["listen"] = ["127.0.0.1:1"]
        assert "tls.listen: changed, takes effect at the next start" in gateway.reload(settings)
        assert taken()
