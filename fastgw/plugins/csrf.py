"""csrf: requests that change something must show, in a header, the token that a cookie has (double submit).

Owns the configuration, how a token is made and judged. Must not know how headers travel.
"""

import base64
import hmac
import secrets
import time
from email.utils import formatdate
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from fastgw import _core
from fastgw.plugins.contract import Env, Plugin, PluginConf
from fastgw.schema.base import Cookie, Secret

__all__ = ["Conf", "Csrf"]

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_LONGEST: Final = 4096  # characters of a token that is looked at
_SLACK_S: Final = 60  # that the clock of another gateway may be ahead


class Conf(PluginConf, frozen=True, kw_only=True):
    """csrf: the tokens.

    key: the secret that signs tokens
    expires: seconds for which a token is good; 0: as long as its cookie
    name: the cookie that carries the token to the client, and the header in which it comes back
    """

    key: Secret
    expires: Annotated[int, Meta(ge=0, le=2**31)] = 7200
    name: Cookie = "apisix-csrf-token"


class _Token(msgspec.Struct):
    """What a cookie says. `expires` is when the token was made, as in APISIX."""

    sign: str
    random: str
    expires: int


class Csrf(Plugin):
    """Refuses requests that another site's page may have sent."""

    name = "csrf"
    version = 0.1
    # Did another site's page send it, in `access`.
    priority = 2980
    phases = ("access", "header_filter")
    conf = Conf

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """Two Python steps."""
        tokens = _Tokens(conf)
        return [
            _core.PythonStep(self.name, "access", tokens.access, None),
            _core.PythonStep(self.name, "header_filter", tokens.header_filter, None),
        ]


class _Tokens:
    """One configuration at work."""

    def __init__(self, conf: Conf) -> None:
        self._name = conf.name
        self._key = conf.key.encode()
        self._expires = conf.expires
        self._cookie = _core.Template(f"cookie_{conf.name}", "var")

    def access(self, _: None, request: _core.Request) -> _core.Reply | None:
        """None lets the request pass."""
        if request.method in _SAFE:
            return None
        shown = [value for _, value in request.fields(self._name)]
        if not shown:
            return _refused("no csrf token in headers", "csrf.no_header")
        cookie = request.text(self._cookie)
        if not cookie:
            return _refused("no csrf cookie", "csrf.no_cookie")
        if any(value != cookie for value in shown):
            return _refused("csrf token mismatch", "csrf.mismatch")
        if not self._good(cookie, int(time.time())):
            return _refused("Failed to verify the csrf token signature", "csrf.bad_token")
        return None

    def header_filter(self, _: None, request: _core.Request) -> None:
        """Every answer brings a new token."""
        now = int(time.time())
        # One decimal number, so that the sign cannot be of another pair of random and time.
        random = str(secrets.randbits(128))
        token = _Token(self._sign(random, now), random, now)
        value = base64.b64encode(msgspec.json.encode(token)).decode()
        until = f";Expires={formatdate(now + self._expires, usegmt=True)}" if self._expires else ""
        request.add_response_header("Set-Cookie", f"{self._name}={value};path=/;SameSite=Lax{until}")

    def _good(self, text: str, now: int) -> bool:
        if len(text) > _LONGEST:
            return False
        try:
            token = msgspec.json.decode(base64.b64decode(text, validate=True), type=_Token)
            if not hmac.compare_digest(self._sign(token.random, token.expires).encode(), token.sign.encode()):
                return False
        except (ValueError, msgspec.DecodeError):
            return False
        return token.expires <= now + _SLACK_S and (not self._expires or now - token.expires <= self._expires)

    def _sign(self, random: str, made: int) -> str:
        return hmac.digest(self._key, f"{made}.{random}".encode(), "sha256").hex()


def _refused(message: str, reason: str) -> _core.Reply:
    return _core.Reply(401, {"error_msg": message}, reason=reason)
