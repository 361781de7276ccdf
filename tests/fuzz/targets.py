"""The fuzz targets by name."""

from __future__ import annotations

from collections.abc import Callable

from tests.fuzz import NAMES, chunked, exchange, token

TARGETS: dict[str, Callable[[bytes], None]] = dict(zip(NAMES, (chunked.check, exchange.check, token.check), strict=True))
