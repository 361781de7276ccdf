"""The fuzz targets by name, and how inputs of some are changed."""

from __future__ import annotations

from collections.abc import Callable

from tests.fuzz import NAMES, chunked, exchange, head, rewrite, token
from tests.fuzz.mutate import Rewrite

CHECKS = (chunked.check, exchange.check, head.check, token.check)
TARGETS: dict[str, Callable[[bytes], None]] = dict(zip(NAMES, CHECKS, strict=True))
REWRITES: dict[str, Rewrite] = {"exchange": rewrite.script}
