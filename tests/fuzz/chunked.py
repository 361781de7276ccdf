"""Chunked bodies: the decoder against the oracle, however the bytes are cut.

Owns: one claim. The first byte of the input says how the rest is cut.
"""

from __future__ import annotations

from fastgw import _core
from tests.oracle import chunked as oracle

END, BAD = 2, 3
EXT, TRAILER = 64, 256


def check(data: bytes) -> None:
    """Whole, byte by byte or cut anywhere, the decoder gives the payload and the end that the oracle gives, or refuses
    what the oracle refuses; it never announces less than it gave.
    """
    size, body = (data[0] if data else 0), data[1:]
    expected = oracle.decode(body, EXT, TRAILER)
    for pieces in ([], [1] * len(body), [size] * (len(body) // max(size, 1) + 1)):
        payload, consumed, verdict, announced = _core._test_chunked(body, pieces, EXT, TRAILER)
        assert announced >= len(payload), (announced, payload)
        if expected is None:
            assert verdict != END, f"pieces {pieces}: took {consumed} bytes of what is no body"
        else:
            assert (payload, consumed, verdict) == (*expected, END), f"pieces {pieces}"
