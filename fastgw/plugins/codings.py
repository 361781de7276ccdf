"""Content codings of bodies (RFC 9110 section 8.4): gzip by zlib, br by a package that need not be there.

Owns how bodies are coded and decoded. Must not know which are to be.
"""

import importlib
import zlib
from functools import cache
from typing import Any, Final

__all__ = ["FLUSH", "BrotliCoder", "GzipCoder", "brotli", "decoded"]

FLUSH: Final = 1  # native/encode.pxi: what is behind the bytes
_END: Final = 2
_GZIP: Final = 16 + zlib.MAX_WBITS
_PIECE: Final = 16384
_MEMBERS: Final = 64  # that a body may have, and one more for each so many bytes:
_MEMBER: Final = 1024


@cache
def brotli() -> Any:
    """The package that codes br: Brotli of `fastgw[brotli]`, or brotlicffi, which has the same interface; None without one."""
    for name in ("brotli", "brotlicffi"):
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        if hasattr(module.Decompressor, "can_accept_more_data"):  # since 1.2: before, nothing bounded what came out
            return module
    return None


class GzipCoder:
    """One body on its way into gzip: pieces, each with what is behind it."""

    __slots__ = ("_coder",)

    def __init__(self, level: int) -> None:
        self._coder = zlib.compressobj(level, zlib.DEFLATED, _GZIP)

    def __call__(self, piece: bytes, end: int) -> bytes:
        coded = self._coder.compress(piece)
        if end:
            coded += self._coder.flush(zlib.Z_SYNC_FLUSH if end == FLUSH else zlib.Z_FINISH)
        return coded


class BrotliCoder:
    """The same into br. `eager`: each piece by itself, so that none waits for a block to be full, which then takes its time."""

    __slots__ = ("_coder", "_eager")

    def __init__(self, mode: int, level: int, lgwin: int, lgblock: int, eager: bool) -> None:
        module = brotli()
        self._coder = module.Compressor(mode=mode, quality=level, lgwin=lgwin, lgblock=lgblock)
        self._eager = eager

    def __call__(self, piece: bytes, end: int) -> bytes:
        coded: bytes = self._coder.process(piece) if piece else b""
        if end == _END:
            coded += self._coder.finish()
        elif end == FLUSH or (self._eager and piece):
            coded += self._coder.flush()
        return coded


def decoded(body: bytes, coding: str, most: int) -> bytes:
    """The body without its coding; ValueError where it is none, ends early, or is longer than `most` bytes."""
    found = _gunzipped(body, most) if coding == "gzip" else _unbrotlied(body, most)
    if len(found) > most:
        raise ValueError(f"a body of more than {most} bytes in {coding}")
    return found


def _gunzipped(body: bytes, most: int) -> bytes:
    found = bytearray()
    at = members = 0
    while at < len(body):  # members, one behind the other (RFC 1952 section 2.2)
        members += 1
        if members > _MEMBERS + len(body) // _MEMBER:  # each costs its time, however short it is
            raise ValueError("gzip: in too many pieces")
        decoder = zlib.decompressobj(_GZIP)
        while not decoder.eof:
            piece = body[at : at + _PIECE]  # of what is given at once the rest is copied for each member
            if not piece:
                raise ValueError("gzip: ends early")
            at += len(piece)
            try:
                found += decoder.decompress(piece, most + 1 - len(found))
            except zlib.error as error:
                raise ValueError(f"gzip: {error}") from error
            if len(found) > most:
                return bytes(found)
        at -= len(decoder.unused_data)
    return bytes(found)


def _unbrotlied(body: bytes, most: int) -> bytes:
    module = brotli()
    decoder = module.Decompressor()
    try:
        found: bytes = decoder.process(body, output_buffer_limit=most + 1)
        while len(found) <= most and not decoder.can_accept_more_data():
            found += decoder.process(b"", output_buffer_limit=most + 1 - len(found))
    except module.error as error:
        raise ValueError(f"br: {error}") from error
    if len(found) <= most and not decoder.is_finished():
        raise ValueError("br: ends early")
    return found
