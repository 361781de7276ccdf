"""What the limit plugins share: the answer to a request that is over the limit, and the templates of keys.

Must not know any one of the plugins.
"""

from functools import lru_cache
from typing import Final, Literal

import msgspec

from fastgw import _core

__all__ = ["MOST", "key_template", "rejected_body"]

MOST: Final = 2**53 - 1  # the largest whole number that every JSON reader keeps exact


@lru_cache(maxsize=1024)
def key_template(text: str, kind: Literal["var", "var_combination", "constant"]) -> _core.Template:
    """The template of a key: one for all that count by the same; a copy for each consumer would be a cache miss for each."""
    return _core.Template(text, kind)


def rejected_body(message: str | None) -> bytes:
    """The body that carries a configured message; empty where the status must speak for itself."""
    return msgspec.json.encode({"error_msg": message}) + b"\n" if message else b""
