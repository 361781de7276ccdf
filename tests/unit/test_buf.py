"""A growable run of bytes: numbers, of which every length of a body is one.

Owns: the buf room.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw import _core

EDGES = [10**n + d for n in range(19) for d in (-1, 0, 1)] + [2**31, 2**32, 2**63 - 1, 2**63 - 2]


@pytest.mark.parametrize("sign", [1, -1])
def test_numbers_of_every_length(sign):
    for value in EDGES:
        assert _core._test_buf_int(sign * value, b"") == b"%d" % (sign * value)
    assert _core._test_buf_int(-(2**63), b"") == b"%d" % -(2**63)


def test_every_number_that_needs_no_loop():
    for value in range(10002):
        assert _core._test_buf_int(value, b":") == b":%d" % value


@given(st.integers(-(2**63), 2**63 - 1), st.integers(480, 1030))
def test_wherever_the_block_ends(value, used):
    assert _core._test_buf_int(value, b"x" * used) == b"x" * used + b"%d" % value
