"""Regular expressions and what takes the place of what they match, as proxy-rewrite and redirect have them in `regex_uri`.

Owns: which expressions there may be, which of them the core can match by itself. Must not know what is rewritten, nor how an
expression is matched (native/regex).
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from fastgw import _core
from fastgw.errors import Fault, Path
from fastgw.schema.regex import compiled, flaw

__all__ = ["pair_faults", "pairs_of"]

_PIECE: Final = re.compile(r"""((?:[\w/~%=&,;:@!'"<> -]|\\[^\w\s])+)|\((\.|\[\^/\]|\\d|\[0-9\]|\\w)([*+])\)""", re.ASCII)
_DIGITS: Final = b"0123456789"
_KINDS: Final = {
    ".": bytes({*range(256)} - {10}),
    "[^/]": bytes({*range(256)} - {47}),
    r"\d": _DIGITS,
    "[0-9]": _DIGITS,
    r"\w": _DIGITS + b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_",
}
Run = tuple[bytes, int]
"""The bytes that a group may take, and how many at least."""


def pairs_of(texts: Sequence[str], *, raw: bool = False, url: bool = False) -> list[tuple[_core.Regex, _core.Composed]]:
    """What a sound list says: expressions, each with what takes the place of its match. raw, url: as native/compose has them."""
    return [_pair(texts[at], texts[at + 1], raw=raw, url=url) for at in range(0, len(texts) - 1, 2)]


def pair_faults(texts: Sequence[str], path: Path, *, url: bool = False) -> Iterator[Fault]:
    """What is wrong with a list's expressions and texts, each at its place."""
    for at in range(0, len(texts) - 1, 2):
        pattern, text = texts[at], texts[at + 1]
        apisix = f"invalid regex_uri({pattern}, {text})"
        if (wrong := flaw(pattern)) is not None:
            yield Fault(path.to(at), wrong, apisix=apisix)
            continue
        try:
            _pair(pattern, text, url=url)
        except ValueError as error:
            yield Fault(path.to(at + 1), str(error), apisix=apisix)


def _pair(pattern: str, text: str, *, raw: bool = False, url: bool = False) -> tuple[_core.Regex, _core.Composed]:
    expression = compiled(pattern)
    parts, whole = _plain(pattern)
    regex = _core.Regex(expression.search, expression.groups, parts, whole)
    # "$$" is a "$", as ngx.re.sub has it.
    return regex, _core.Composed(text.replace("$$", r"\$"), expression.groups, raw, url)


def _plain(pattern: str) -> tuple[list[tuple[bytes, Run | None]] | None, bool]:
    """What an expression consists of, where it is anchored and made of literal texts and simple groups such that none ever has
    to give back what it took; None of any other. And whether it must match to the end."""
    if not pattern.startswith("^"):
        return None, False
    parts: list[tuple[bytes, Run | None]] = []
    literal, at, end = b"", 1, len(pattern)
    whole = pattern.endswith("$") and not pattern.endswith(r"\$")
    if whole:
        end -= 1
    while at < end:
        piece = _PIECE.match(pattern, at, end)
        if piece is None:
            return None, False
        at = piece.end()
        if piece[1] is not None:
            literal = re.sub(r"\\(.)", r"\1", piece[1]).encode()
            if parts and parts[-1][1] is not None and literal[0] in parts[-1][1][0]:
                return None, False
        elif parts and not literal:
            return None, False
        else:
            parts.append((literal, (_KINDS[piece[2]], 1 if piece[3] == "+" else 0)))
            literal = b""
    parts.append((literal, None))
    return parts, whole
