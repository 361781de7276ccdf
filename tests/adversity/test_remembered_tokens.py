"""A remembered token does not outlive its credential: on no worker, from the answer to the write on."""

from contextlib import ExitStack
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from fastgw import _core
from tests.support import tokens
from tests.support.gateway import Gateway, one_route
from tests.support.upstreams import Answering
from tests.support.waiting import until
from tests.support.wire import Client

WORKERS = 2
CONNECTIONS = 40  # enough for each worker to get one: it fails once in 2^39


def _keys() -> tuple[str, str]:
    """A private key and its public half, PEM."""
    private = rsa.generate_private_key(65537, 2048)
    text = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return text.decode(), private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def test_a_credential_that_the_admin_api_changes_or_deletes(directory: Path) -> None:
    private, public = _keys()
    _, other = _keys()
    jwt_auth = {"key": "rs-key", "algorithm": "RS256"}
    shared = directory / "shared"
    with Answering() as upstream, ExitStack() as held:
        config = {
            "workers": WORKERS,
            "shared_memory": {"path": str(shared)},
            **one_route(upstream.address, plugins={"jwt-auth": {}}),
            "consumers": [{"username": "ann"}],
        }
        gateway = held.enter_context(Gateway(directory, config))
        credential = "consumers/ann/credentials/c"
        gateway.put(credential, {"plugins": {"jwt-auth": {**jwt_auth, "public_key": public}}})
        clients = [held.enter_context(Client(gateway.data)) for _ in range(CONNECTIONS)]
        region = _core.Region.attach(str(shared))
        fields = {"Authorization": tokens.token("rs-key", private, algorithm="RS256")}

        def everywhere() -> tuple[set[int], int, int]:
            """Each connection stays with its worker. Statuses, and what it added to hits and misses."""
            before = region.metrics()
            found = {client.request("GET", "/", headers=fields).status for client in clients}
            after = region.metrics()
            return found, *(after[name] - before[name] for name in ("token_cache_hits", "token_cache_misses"))

        assert everywhere() == ({200}, CONNECTIONS - WORKERS, WORKERS)
        assert everywhere() == ({200}, CONNECTIONS, 0)
        gateway.put(credential, {"plugins": {"jwt-auth": {**jwt_auth, "public_key": other}}})
        assert everywhere() == ({401}, 0, CONNECTIONS)
        gateway.put(credential, {"plugins": {"jwt-auth": {**jwt_auth, "public_key": public}}})
        assert everywhere() == ({200}, CONNECTIONS - WORKERS, WORKERS)
        gateway.put(
            "routes/elsewhere", {"uri": "/elsewhere", "plugins": {"jwt-auth": {}}, "upstream": config["routes"][0]["upstream"]}
        )
        assert everywhere() == ({200}, CONNECTIONS, 0)
        assert gateway.api("DELETE", credential).status == 200
        assert everywhere() == ({401}, 0, CONNECTIONS)
        gateway.put(credential, {"plugins": {"jwt-auth": {**jwt_auth, "public_key": public}}})
        assert everywhere() == ({200}, CONNECTIONS - WORKERS, WORKERS)
        gateway.put("consumers/ann", {"username": "ann", "desc": "edited"})
        assert everywhere() == ({200}, CONNECTIONS - WORKERS, WORKERS)


def test_a_reload_switches_it_off(directory: Path) -> None:
    shared = directory / "shared"
    with Answering() as upstream:
        config = {
            "shared_memory": {"path": str(shared)},
            **one_route(upstream.address, plugins={"jwt-auth": {}}),
            "consumers": [{"username": "john", "plugins": {"jwt-auth": tokens.JOHN}}],
        }
        with Gateway(directory, config) as gateway:
            region = _core.Region.attach(str(shared))
            good = tokens.john()
            assert [gateway.get("/", good).status for _ in range(3)] == [200] * 3
            counted = region.metrics()["token_cache_hits"], region.metrics()["token_cache_misses"]
            assert counted == (2, 1)
            old = gateway.workers()
            assert "next start" not in gateway.reload({**config, "token_cache": 0})
            until(lambda: not set(old) & set(gateway.workers()), "new workers only")
            assert [gateway.get("/", good).status for _ in range(3)] == [200] * 3
            assert (region.metrics()["token_cache_hits"], region.metrics()["token_cache_misses"]) == counted
