"""What the limit plugins answer to a request that is over the limit.

Owns that body. Must not know any one of the plugins.
"""

import msgspec

__all__ = ["rejected_body"]


def rejected_body(message: str | None) -> bytes:
    """The body that carries a configured message; empty where the status must speak for itself."""
    return msgspec.json.encode({"error_msg": message}) + b"\n" if message else b""
