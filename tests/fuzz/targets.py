"""The fuzz targets by name."""

from __future__ import annotations

from collections.abc import Callable

from tests.fuzz import NAMES, chunked, exchange, head, token

CHECKS = (chunked.check, exchange.check, head.check, token.check)
TARGETS: dict[str, Callable[[bytes], None]] = dict(zip(NAMES, CHECKS, strict=True))
