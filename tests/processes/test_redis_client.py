"""Scripts on real Redis: one server, a cluster, sentinels; with passwords and TLS; and when servers die, hang, forget or move."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fastgw.plugins.redis_fields import RedisSettings
from fastgw.redis_client import Call, Client, RedisDownError, Script, connect
from tests.support.certificates import certificate
from tests.support.redis import MASTER, Cluster, Sentinels, Server, addresses_with_bus
from tests.support.waiting import until

COUNT = Script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
WRONG = Script("return redis.call('INCRBY', KEYS[1], 'x')")
OF = Script("return KEYS[1]")


def one(server: Server, **more: Any) -> RedisSettings:
    return RedisSettings("redis", (tuple(server.address),), **more)


def calls(count: int, by: int = 1) -> list[Call]:
    return [Call(COUNT, b"k%d" % index, (by,)) for index in range(count)]


def using(settings: RedisSettings, use: Callable[[Client], Awaitable[None]]) -> None:
    """Runs `use` with a client, that is closed at its end."""

    async def main() -> None:
        client = connect(settings)
        try:
            await use(client)
        finally:
            await client.close()

    asyncio.run(main())


def asked(settings: RedisSettings, wanted: Sequence[Call]) -> list[Any]:
    """What one run of a new client gives."""
    found: list[Any] = []

    async def use(client: Client) -> None:
        found.extend(await client.run(wanted))

    using(settings, use)
    return found


async def comes(client: Client, wanted: Sequence[Call]) -> list[Any]:
    """The results, as soon as each call has one; until then Redis is asked again."""
    for _ in range(600):
        try:
            results = await client.run(wanted)
            if not any(isinstance(each, RedisDownError) for each in results):
                return results
        except RedisDownError:
            pass
        await asyncio.sleep(0.05)
    raise AssertionError("Redis does not come back")


def why(settings: RedisSettings) -> str:
    """The reason why there is no result."""
    with pytest.raises(RedisDownError) as caught:
        asked(settings, calls(2))
    return str(caught.value)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("plain")) as server:
        yield server


@pytest.fixture(autouse=True)
def _empty(request: pytest.FixtureRequest) -> None:
    if "plain" in request.fixturenames:
        request.getfixturevalue("plain").cli("FLUSHALL")


# -- one server ----------------------------------------------------------------------------------------


def test_results_are_in_order(plain: Server) -> None:
    wanted = [Call(OF, b"key %d" % index) for index in range(1000)]
    assert asked(one(plain), wanted) == [b"key %d" % index for index in range(1000)]


def test_calls_on_one_key_run_in_order(plain: Server) -> None:
    assert asked(one(plain), [Call(COUNT, b"k", (n,)) for n in (1, 20, 300)]) == [1, 21, 321]


def test_a_script_that_fails_does_so_alone(plain: Server) -> None:
    first, wrong, last = asked(one(plain), [Call(COUNT, b"k", (1,)), Call(WRONG, b"k"), Call(COUNT, b"k", (1,))])
    assert (first, last) == (1, 2)
    assert isinstance(wrong, RedisDownError)
    assert "not an integer" in str(wrong)


def test_a_server_that_lost_its_scripts_gets_them_again(plain: Server) -> None:
    async def use(client: Client) -> None:
        assert await client.run(calls(3)) == [1, 1, 1]
        plain.cli("SCRIPT", "FLUSH")
        assert await client.run([*calls(2), Call(OF, b"o"), *calls(2)]) == [2, 2, b"o", 3, 3]

    using(one(plain), use)


def test_a_server_gets_a_script_once_for_all_that_runs_it(plain: Server) -> None:
    """It is a hundred times as long as what it is told."""
    plain.cli("SCRIPT", "FLUSH")
    plain.cli("CONFIG", "RESETSTAT")
    assert asked(one(plain), [Call(COUNT, b"once", (1,)) for _ in range(300)]) == list(range(1, 301))
    assert "cmdstat_eval:calls=1," in plain.cli("INFO", "commandstats")


def test_what_else_goes_wrong_with_a_connection_is_no_result_either(plain: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """uvloop says RuntimeError of a transport that is closed, and redis-py hands it on: it ends no task of the caller's."""

    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

    monkeypatch.setattr("redis.asyncio.Connection.send_packed_command", broken)
    assert "handler is closed" in why(one(plain))


def test_runs_at_the_same_time_share_few_connections(plain: Server) -> None:
    before = int(_info(plain, "total_connections_received"))

    async def use(client: Client) -> None:
        results = await asyncio.gather(*(client.run(calls(2)) for _ in range(50)))
        assert sorted(first for first, _ in results) == list(range(1, 51))

    using(one(plain, connections=3), use)
    assert int(_info(plain, "total_connections_received")) - before - 1 <= 3  # one is redis-cli's


def _info(server: Server, name: str) -> str:
    lines = dict(line.partition(":")[::2] for line in server.cli("INFO").splitlines())
    return lines[name].strip()


def test_a_pipeline_is_one_write(plain: Server) -> None:
    """However many calls: Redis reads them at once, or nearly so, and none waits for the answer of another."""

    async def use(client: Client) -> None:
        await client.run(calls(1))
        before = int(_info(plain, "total_reads_processed"))
        await client.run(calls(200))
        assert int(_info(plain, "total_reads_processed")) - before < 20

    using(one(plain), use)


def test_databases_are_apart(plain: Server) -> None:
    assert asked(one(plain, database=1), calls(1)) == [1]
    assert asked(one(plain, database=2), calls(1)) == [1]
    assert asked(one(plain, database=1), calls(1)) == [2]


def test_an_idle_connection_is_closed(plain: Server) -> None:
    async def use(client: Client) -> None:
        assert await client.run(calls(1)) == [1]
        assert _clients(plain) == 1
        while _clients(plain):
            await asyncio.sleep(0.05)
        assert await client.run(calls(1)) == [2]

    using(one(plain, idle=1.0), use)


def _clients(server: Server) -> int:
    return len(server.cli("CLIENT", "LIST").splitlines()) - 1


# -- who may, and how it is reached --------------------------------------------------------------------


def test_a_password(tmp_path: Path) -> None:
    with Server(tmp_path, password="of the server") as server:
        assert asked(one(server, password="of the server"), calls(1)) == [1]
        for password in ("", "another"):
            message = why(one(server, password=password))
            assert message.startswith(f"redis {server.address}/0: ")
            assert "another" not in message


def test_a_user_of_the_acl(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        server.cli("ACL", "SETUSER", "gateway", "on", ">of the user", "~k*", "+evalsha", "+eval", "+incrby", "+select")
        server.cli("ACL", "SETUSER", "default", "off")
        user = one(server, username="gateway", password="of the user", database=1)
        assert asked(user, calls(1)) == [1]
        (refused,) = asked(user, [Call(COUNT, b"other", (1,)), *calls(1)])[:1]
        assert "NOPERM" in str(refused) or "permission" in str(refused)
        assert "of the user" not in why(replace(user, username="nobody"))


def test_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown certificate is refused where it is to be checked; so is a known one for another address."""
    pem, key = certificate(address="127.0.0.1")
    files = tmp_path / "server.pem", tmp_path / "server.key"
    files[0].write_text(pem)
    files[1].write_text(key)
    with Server(tmp_path, tls=files) as server:
        encrypted = one(server, tls=True)
        assert asked(encrypted, calls(1)) == [1]
        assert "CERTIFICATE_VERIFY_FAILED" in why(replace(encrypted, verify=True))
        why(one(server))  # in clear
        monkeypatch.setenv("SSL_CERT_FILE", str(files[0]))
        assert asked(replace(encrypted, verify=True), calls(1)) == [2]
        elsewhere = replace(encrypted, verify=True, addresses=(("localhost", server.address.port),))
        assert "CERTIFICATE_VERIFY_FAILED" in why(elsewhere)


def test_authorities_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many connections there are: it takes as long as a thousand requests."""
    pem, key = certificate(address="127.0.0.1")
    files = tmp_path / "server.pem", tmp_path / "server.key"
    files[0].write_text(pem)
    files[1].write_text(key)
    monkeypatch.setenv("SSL_CERT_FILE", str(files[0]))
    made: list[ssl.SSLContext] = []
    whole = ssl.create_default_context
    monkeypatch.setattr(ssl, "create_default_context", lambda *rest: made.append(whole(*rest)) or made[-1])
    with Server(tmp_path, tls=files) as server:

        async def use(client: Client) -> None:
            await asyncio.gather(*(client.run(calls(1)) for _ in range(5)))
            assert _clients(server) > 1

        using(one(server, tls=True, verify=True), use)
    assert len(made) == 1


# -- when it is not there ------------------------------------------------------------------------------


def test_no_server(tmp_path: Path) -> None:
    server = Server(tmp_path)
    assert "refused" in why(one(server)) or "Connect call failed" in why(one(server))
    assert "no.such.host.invalid" in why(RedisSettings("redis", (("no.such.host.invalid", 1),)))


def test_something_else_that_listens(tmp_path: Path) -> None:
    """A server that greets with what is no RESP."""

    async def main() -> None:
        async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 mail.example\r\n")
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(greet, "127.0.0.1", 0) as listening:
            client = connect(RedisSettings("redis", (listening.sockets[0].getsockname(),)))
            with pytest.raises(RedisDownError):
                await client.run(calls(2))
            await client.close()

    asyncio.run(main())


def test_a_server_that_hangs_is_left_in_time(tmp_path: Path) -> None:
    """Also with many calls, and what it answers later is not taken for the answer to something else."""
    with Server(tmp_path) as server:

        async def use(client: Client) -> None:
            assert await client.run(calls(1)) == [1]
            server.pause()
            with pytest.raises(RedisDownError):
                await asyncio.wait_for(client.run(calls(500)), 20)
            server.go_on()
            assert await comes(client, [Call(OF, b"mine")]) == [b"mine"]

        using(one(server, read_timeout=0.3, connect_timeout=0.3), use)


def test_a_killed_server_is_used_again_when_it_is_back(tmp_path: Path) -> None:
    with Server(tmp_path, "--appendonly", "no") as server:

        async def use(client: Client) -> None:
            assert await client.run(calls(2)) == [1, 1]
            server.kill()
            with pytest.raises(RedisDownError):
                await client.run(calls(2))
            server.start()
            assert await client.run(calls(2)) == [1, 1]  # its data was never written

        using(one(server), use)


# -- a cluster -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


def of(cluster: Cluster, **more: Any) -> RedisSettings:
    nodes = tuple(tuple(node.address) for node in cluster.nodes[:1])
    return RedisSettings("redis-cluster", nodes, name="c", **more)  # type: ignore[arg-type]


def test_a_cluster_is_asked_node_by_node(shards: Cluster) -> None:
    """One node is named, and names the others; keys of all nodes come in order."""
    wanted = [Call(OF, b"key %d" % index) for index in range(1000)]
    before = [int(_info(node, "total_reads_processed")) for node in shards.nodes]

    async def use(client: Client) -> None:
        assert await client.run(wanted) == [call.key for call in wanted]
        assert {client.place(call.key) for call in wanted} == set(shards.addresses)

    using(of(shards), use)
    for node, reads in zip(shards.nodes, before, strict=True):
        assert 0 < int(_info(node, "total_reads_processed")) - reads < 100


def test_a_slot_that_moved_is_found(shards: Cluster) -> None:
    async def use(client: Client) -> None:
        assert await client.run([Call(COUNT, b"moved", (1,)), *calls(20)]) == [1] * 21
        source = shards.of("moved")
        target = next(node for node in shards.nodes if node is not source)
        shards.move("moved", target)
        assert await client.run([Call(COUNT, b"moved", (1,)), *calls(20)]) == [2] * 21
        assert client.place(b"moved") == str(target.address)

    using(of(shards), use)


def test_a_slot_that_is_on_its_way_is_found(shards: Cluster) -> None:
    """The old node has what was there, the new one gets what is new."""
    source = shards.of("{way}")
    target = next(node for node in shards.nodes if node is not source)
    slot = source.cli("CLUSTER", "KEYSLOT", "{way}")

    async def use(client: Client) -> None:
        assert await client.run([Call(COUNT, b"{way}old", (1,))]) == [1]
        target.cli("CLUSTER", "SETSLOT", slot, "IMPORTING", source.cli("CLUSTER", "MYID"))
        source.cli("CLUSTER", "SETSLOT", slot, "MIGRATING", target.cli("CLUSTER", "MYID"))
        both = [Call(COUNT, b"{way}old", (1,)), Call(COUNT, b"{way}new", (1,)), *calls(1, by=0)]
        assert (await client.run(both))[:2] == [2, 1]
        assert (await client.run(both))[:2] == [3, 2]

    using(of(shards), use)
    assert target.cli("CLUSTER", "COUNTKEYSINSLOT", slot) == "1"
    for node in (source, target):
        node.cli("CLUSTER", "SETSLOT", slot, "STABLE")


def test_a_cluster_with_tls_and_a_password(tmp_path: Path) -> None:
    pem, key = certificate(address="127.0.0.1")
    files = tmp_path / "server.pem", tmp_path / "server.key"
    files[0].write_text(pem)
    files[1].write_text(key)
    (address,) = addresses_with_bus(1)
    encrypted = ("--cluster-enabled", "yes", "--tls-cluster", "yes")
    with Server(tmp_path, *encrypted, tls=files, password="p", address=address) as server:
        server.cli("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        until(lambda: "cluster_state:ok" in server.cli("CLUSTER", "INFO"), "the cluster has formed")
        settings = RedisSettings("redis-cluster", (tuple(server.address),), name="c", password="p", tls=True)
        assert asked(settings, calls(5)) == [1] * 5
        assert "CERTIFICATE_VERIFY_FAILED" in why(replace(settings, verify=True))
        why(replace(settings, password="q"))


def test_a_tls_server_that_never_says_goodbye_is_let_go_of(tmp_path: Path) -> None:
    """Else each attempt to reach one that hangs would hold a descriptor for another half a minute."""
    pem, key = certificate(address="127.0.0.1")
    both = tmp_path / "both.pem"
    both.write_text(pem + key)
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trust.load_cert_chain(both)
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        listener.settimeout(60)

        def hang() -> bytes:
            accepted, _ = listener.accept()
            accepted.settimeout(60)
            with trust.wrap_socket(accepted, server_side=True) as line:
                line.recv(4096)  # AUTH
                line.sendall(b"-WRONGPASS no\r\n")
                raw = line.detach()
            with socket.socket(fileno=raw) as left, contextlib.suppress(ConnectionResetError):
                left.settimeout(60)
                while left.recv(4096):  # its goodbye, which is not answered
                    pass
            return b"gone"

        hung = pool.submit(hang)
        address = ("127.0.0.1", listener.getsockname()[1])

        async def use(client: Client) -> None:
            with pytest.raises(RedisDownError, match="no"):
                await client.run(calls(1))
            assert await asyncio.wait_for(asyncio.wrap_future(hung), 15) == b"gone"

        using(RedisSettings("redis", (address,), password="p", tls=True), use)


def test_no_cluster(plain: Server) -> None:
    assert "cluster support disabled" in why(RedisSettings("redis-cluster", (tuple(plain.address),), name="c"))


def test_a_dead_node_concerns_its_own_keys(tmp_path: Path) -> None:
    """Also one that hangs: calls of other places need not wait for it; and it is used again when it is back."""
    with Cluster(tmp_path, "--appendonly", "yes", "--appendfsync", "always") as cluster:
        wanted = calls(30)

        async def use(client: Client) -> None:
            assert await client.run(wanted) == [1] * 30
            dead = cluster.nodes[0]
            theirs = [client.place(call.key) == str(dead.address) for call in wanted]
            assert any(theirs)
            assert not all(theirs)
            dead.kill()
            results = await client.run(wanted)
            assert [isinstance(each, RedisDownError) for each in results] == theirs
            assert all(each == 2 for each, is_dead in zip(results, theirs, strict=True) if not is_dead)
            dead.start()
            alive = [call for call, is_dead in zip(wanted, theirs, strict=True) if is_dead]
            assert await comes(client, alive) == [2] * len(alive)

        using(of(cluster), use)


# -- sentinels -----------------------------------------------------------------------------------------


def test_the_master_is_followed(tmp_path: Path) -> None:
    """With passwords of the servers and of the sentinels; also while the sentinel that is asked first hangs."""
    with Sentinels(tmp_path, password="of the servers", sentinel_password="of the sentinels") as watched:
        settings = RedisSettings(
            "redis-sentinel",
            tuple(tuple(each) for each in watched.addresses),  # type: ignore[arg-type]
            name=MASTER,
            password="of the servers",
            sentinel_password="of the sentinels",
            database=3,
        )
        assert "No master found" in why(replace(settings, name="another"))
        why(replace(settings, sentinel_password="wrong"))
        why(replace(settings, password="wrong"))
        watched.sentinels[0].pause()
        assert asked(settings, calls(1, by=0)) == [0]
        watched.sentinels[0].go_on()

        async def use(client: Client) -> None:
            assert await client.run(calls(3)) == [1] * 3
            until(lambda: watched.replica.cli("-n", "3", "GET", "k2") == "1", "the replica has it too")
            await asyncio.to_thread(watched.fail_over)
            assert await comes(client, calls(3)) == [2] * 3
            assert watched.master.cli("-n", "3", "GET", "k0") == "2"

        using(settings, use)


def test_a_master_that_was_demoted_is_left(tmp_path: Path) -> None:
    """It lives, and answers that it is read-only."""
    with Sentinels(tmp_path) as watched:
        places = tuple(tuple(each) for each in watched.addresses)
        settings = RedisSettings("redis-sentinel", places, name=MASTER)  # type: ignore[arg-type]

        async def use(client: Client) -> None:
            assert await client.run(calls(3)) == [1] * 3
            until(lambda: watched.replica.cli("GET", "k0") == "1", "the replica has it too")
            counted = 1
            watched.sentinels[0].cli("SENTINEL", "FAILOVER", MASTER)
            for _ in range(600):
                await comes(client, [Call(OF, b"k")])
                await asyncio.gather(client.run(calls(1)), return_exceptions=True)
                # A server that changes its part closes all connections, also one that asks just then.
                role = watched.replica.cli("INFO", "replication", check=False)
                found = watched.replica.cli("GET", "k0", check=False)
                if "role:master" in role and found.isdecimal() and int(found) > counted:
                    break
                counted = int(found) if found.isdecimal() else counted
                await asyncio.sleep(0.05)
            else:
                raise AssertionError("the new master counts nothing")

        using(settings, use)
