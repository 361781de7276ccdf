"""An issuer of tokens: its keys, and the server that publishes them, as good or as bad as a test wants it.

Owns: key sets as other software writes them (PyJWT), one HTTP(S) server. Must not know what the gateway makes of them.
"""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests.support.tokens import token
from tests.support.wire import TIMEOUT, Address

MAKERS: dict[str, Callable[[], Any]] = {
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ES512": lambda: ec.generate_private_key(ec.SECP521R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


class Key:
    """One key of an issuer."""

    def __init__(self, kid: str | None, algorithm: str = "ES256", **members: Any) -> None:
        self.kid = kid
        self.algorithm = algorithm
        self.private = MAKERS[algorithm]()
        writer = jwt.get_algorithm_by_name(algorithm)
        self.jwk: dict[str, Any] = json.loads(writer.to_jwk(self.private.public_key()))
        self.jwk.update({} if kid is None else {"kid": kid}, **members)

    def token(self, key: str = "issuer", **claims: Any) -> str:
        headers = None if self.kid is None else {"kid": self.kid}
        return token(key, self.private, algorithm=self.algorithm, headers=headers, **claims)


@cache
def key(kid: str, algorithm: str = "ES256") -> Key:
    """The same one for the same name, all through a test run."""
    return Key(kid, algorithm)


class Issuer:
    """Serves its key set while the `with` block lasts. What it does can be changed at any time.

    `answer`, if it is set, is called with the handler and says everything itself. `asked` are the times of requests.
    """

    def __init__(self, *keys: Key, max_age: int | None = 1, tls: ssl.SSLContext | None = None) -> None:
        self.keys = list(keys)
        self.max_age = max_age
        self.answer: Callable[[BaseHTTPRequestHandler], None] | None = None
        self.asked: list[float] = []
        self._tls = tls
        self._server: ThreadingHTTPServer | None = None
        self._port = 0

    @property
    def address(self) -> Address:
        return Address("127.0.0.1", self._port)

    @property
    def uri(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self.address}/jwks.json"

    def __enter__(self) -> "Issuer":
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def up(self) -> None:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(time.monotonic())
                if issuer.answer is not None:
                    issuer.answer(self)
                else:
                    send(self, issuer.document(), issuer.headers())

            def log_message(self, *_: object) -> None:
                pass

            def handle(self) -> None:
                self.connection.settimeout(TIMEOUT)
                try:
                    super().handle()
                except OSError:
                    pass  # the gateway has heard enough

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that does not trust us
        self._port = self._server.server_address[1]
        if self._tls is not None:
            self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def down(self) -> None:
        """From now on connections are refused."""
        if self._server is not None:
            self._server.shutdown()
            self._server.socket.close()
            self._server = None

    def document(self) -> bytes:
        return json.dumps({"keys": [each.jwk for each in self.keys]}).encode()

    def headers(self) -> dict[str, str]:
        return {} if self.max_age is None else {"Cache-Control": f"public, max-age={self.max_age}"}


def send(handler: BaseHTTPRequestHandler, body: bytes, headers: dict[str, str] | None = None, status: int = 200) -> None:
    handler.send_response(status)
    for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def unused_address() -> Address:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return Address(*held.getsockname())
