"""What gzip and brotli share: which answers a coding is asked for.

Owns those members of their configurations. Must not know any one coding.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from fastgw.errors import Fault
from fastgw.plugins.contract import PluginConf
from fastgw.schema.base import Text
from fastgw.schema.rules import broken

__all__ = ["CodingConf", "asked_for"]

_VERSIONS: Final = (1.1, 1.0)


class CodingConf(PluginConf, frozen=True, kw_only=True):
    """Which answers a coding is asked for.

    types: media types, or "*" for all
    min_length: bytes; a shorter answer stays as it is, if its length is known
    http_version: the lowest version of HTTP whose clients get it, 1.1 or 1.0
    vary: whether answers say that they depend on Accept-Encoding
    """

    types: Annotated[tuple[Text, ...], Meta(min_length=1)] | Literal["*"] = ("text/html",)
    min_length: Annotated[int, Meta(ge=1, le=2**62)] = 20
    http_version: float = 1.1
    vary: bool = False

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """A version that there is."""
        if good.get("http_version", _VERSIONS[0]) not in _VERSIONS:
            yield broken("http_version", "expected 1.1 or 1.0", "matches none of the enum values")


def asked_for(conf: CodingConf) -> dict[str, Any]:
    """The same as the native step takes it."""
    return {
        "types": None if conf.types == "*" else [each.lower() for each in conf.types],
        "min_length": conf.min_length,
        "minor": round(conf.http_version * 10) - 10,
        "vary": conf.vary,
    }
