"""Heads: the parser and its verdicts against the oracle and llhttp, however the bytes are cut.

Owns: the claims about one head. The first byte of the input says how the rest is cut, the second what it is: "a" the answer to a
GET, "h" to a HEAD, else a request.
"""

from __future__ import annotations

import re

from fastgw import _core
from tests.oracle import head as oracle
from tests.oracle import llhttp

INCOMPLETE = 0
TOO_LONG = (414, 431)
MAX_BYTES, MAX_TARGET, MAX_FIELDS = 1024, 256, 16
EMPTY_LINE = re.compile(rb"(?s)(?:\r\n)?.+\r\n\r\n")


def check(data: bytes) -> None:
    """Whole, byte by byte or cut anywhere, a head gives one verdict; it is good only if the oracle finds the same parts in it,
    refused only if the oracle or a bound refuses it, and never waited for once its empty line is there; llhttp reads what is
    good alike.
    """
    size, kind, head = (data[0] if data else 0), data[1:2], data[2:]
    is_response, method = kind in (b"a", b"h"), "HEAD" if kind == b"h" else "GET"
    verdicts = [
        _core._test_head(head, pieces, is_response, method, MAX_BYTES, MAX_TARGET, MAX_FIELDS)
        for pieces in ([], [1] * min(len(head), MAX_BYTES + 1), [size] * (MAX_BYTES // max(size, 1) + 1))
    ]
    found = verdicts[0]
    assert verdicts == [found] * 3, verdicts
    expected = oracle.response(head, method) if is_response else oracle.request(head)
    if isinstance(found, dict):
        assert expected is not None, found
        assert {name: found[name] for name in expected} == expected, found
        taken = llhttp.read(head[: found["len"]], is_response)
        assert (taken.done, taken.target, taken.fields) == (True, found["target"], [(n, v) for n, v, _ in found["fields"]])
    elif expected is not None:
        assert found in TOO_LONG or is_response, found
        assert expected["len"] > MAX_BYTES or len(expected["target"]) > MAX_TARGET or len(expected["fields"]) > MAX_FIELDS, found
    else:
        assert found or not EMPTY_LINE.match(head), "waits for more of a head that has ended"
