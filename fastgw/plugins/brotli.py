"""brotli: answers in the content coding br, for clients that take it.

Owns the configuration. Must not know which answers may be coded (native/encode), nor how (codings).
"""

from collections.abc import Collection, Iterator, Mapping
from functools import partial
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from fastgw import _core
from fastgw.errors import Fault, Path
from fastgw.plugins import codings
from fastgw.plugins.contract import Env, Plugin
from fastgw.plugins.encoding import CodingConf, asked_for

__all__ = ["Brotli", "Conf"]

_MISSING: Final = "not supported without the Python package Brotli: pip install 'fastgw[brotli]'"
_SLOW: Final = 7  # from this level on a block that fills up would hold up its worker: pieces are coded as they come
_PIECES: Final = ((10, 2048), (_SLOW, 4096), (0, 16384))  # bytes that one turn codes, by the lowest level


class Conf(CodingConf, frozen=True, kw_only=True):
    """brotli: which answers are coded, and how hard.

    mode: what bodies are: 0 anything, 1 text, 2 fonts
    comp_level: 0 is quick, 11 small
    lgwin: the window, as a power of two of bytes; 0: the library's own
    lgblock: the block, as a power of two of bytes; 0: by the level
    """

    mode: Annotated[int, Meta(ge=0, le=2)] = 0
    comp_level: Annotated[int, Meta(ge=0, le=11)] = 6
    lgwin: Literal[0, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24] = 19
    lgblock: Literal[0, 16, 17, 18, 19, 20, 21, 22, 23, 24] = 0

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """Nothing without the package."""
        yield from super().rules(good, present)
        if codings.brotli() is None:
            yield Fault(Path(), _MISSING, "unsupported")


class Brotli(Plugin):
    """Makes answers smaller still."""

    name = "brotli"
    version = 0.1
    # What becomes of the answer. Codings are only asked for here, and given behind all of it.
    priority = 996
    phases = ("header_filter",)
    conf = Conf

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """A native step that asks for it."""
        slow = conf.comp_level >= _SLOW
        lgwin = conf.lgwin or 22
        make = partial(codings.BrotliCoder, conf.mode, conf.comp_level, lgwin, conf.lgblock, slow)
        piece = next(size for level, size in _PIECES if conf.comp_level >= level)
        return [_core.EncodeStep("br", make, piece=piece, **asked_for(conf))]
