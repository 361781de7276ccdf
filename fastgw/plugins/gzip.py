"""gzip: answers in the content coding gzip, for clients that take it.

Owns the configuration. Must not know which answers may be coded (native/encode), nor how (codings).
"""

from functools import partial
from typing import Annotated

from msgspec import Meta

from fastgw import _core
from fastgw.plugins.codings import GzipCoder
from fastgw.plugins.contract import Env, Plugin
from fastgw.plugins.encoding import CodingConf, asked_for
from fastgw.schema.base import Nested

__all__ = ["Buffers", "Conf", "Gzip"]


class Buffers(Nested, frozen=True, kw_only=True):
    """Buffers of nginx; this gateway has others, and these numbers no effect.

    number: how many
    size: bytes of each
    """

    number: Annotated[int, Meta(ge=1)] = 32
    size: Annotated[int, Meta(ge=1)] = 4096


class Conf(CodingConf, frozen=True, kw_only=True):
    """gzip: which answers are coded, and how hard.

    comp_level: 1 is quick, 9 small
    buffers: without effect
    """

    comp_level: Annotated[int, Meta(ge=1, le=9)] = 1
    buffers: Buffers = Buffers()


class Gzip(Plugin):
    """Makes answers smaller."""

    name = "gzip"
    version = 0.1
    # What becomes of the answer. Codings are only asked for here, and given behind all of it.
    priority = 995
    phases = ("header_filter",)
    conf = Conf

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """A native step that asks for it."""
        return [_core.EncodeStep("gzip", partial(GzipCoder, conf.comp_level), **asked_for(conf))]
