"""What a client of hmac-auth does: the text that is signed, and the Authorization field, by the standard library alone."""

import base64
import hashlib
import hmac
import time
from collections.abc import Iterable
from email.utils import formatdate


def date(offset: float = 0) -> str:
    """The time that many seconds from now, as HTTP writes it."""
    return formatdate(time.time() + offset, usegmt=True)


def digest(body: bytes) -> str:
    """The Digest field's value for a body."""
    return "SHA-256=" + base64.b64encode(hashlib.sha256(body).digest()).decode()


def signature(secret: str, lines: Iterable[str], algorithm: str = "hmac-sha256") -> str:
    """The signature of these lines, in base64."""
    text = "".join(f"{line}\n" for line in lines)
    code = hmac.digest(secret.encode(), text.encode("latin-1"), algorithm.removeprefix("hmac-"))
    return base64.b64encode(code).decode()


def field(key_id: str, names: str, signed: str, algorithm: str = "hmac-sha256") -> str:
    """The Authorization field."""
    return f'Authorization: Signature keyId="{key_id}",algorithm="{algorithm}",headers="{names}",signature="{signed}"'


def signed(
    target: str,
    *fields: str,
    key_id: str = "kim-id",
    secret: str = "kim-secret",
    method: str = "GET",
    algorithm: str = "hmac-sha256",
    when: str | None = None,
) -> list[str]:
    """Date, these fields and Authorization of a request; its target, date and all the fields are signed."""
    stamp = date() if when is None else when
    pairs = [(name, value.strip()) for name, _, value in (each.partition(":") for each in fields)]
    names = " ".join(["@request-target", "date", *(name.lower() for name, _ in pairs)])
    lines = [key_id, f"{method} {target}", f"date: {stamp}", *(f"{name.lower()}: {value}" for name, value in pairs)]
    return [f"Date: {stamp}", *fields, field(key_id, names, signature(secret, lines, algorithm), algorithm)]
