"""Secrets as they are kept: found by an index, compared by a digest, both of this process alone; and chance."""

import subprocess
import sys

import pytest

from fastgw import _core


def test_an_index_and_a_digest_belong_to_one_process() -> None:
    program = "from fastgw import _core\nprint(_core.SharedSecret(b'a').index.hex(), _core._test_secret_digest(b'a').hex())"
    others = [subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout for _ in "ab"]
    own = f"{_core.SharedSecret(b'a').index.hex()} {_core._test_secret_digest(b'a').hex()}\n"
    assert len({own, *others}) == 3
    assert all(len(each.split()[0]) == 32 and len(each.split()[1]) == 64 for each in others)


def test_equal_secrets_and_no_others_have_equal_forms() -> None:
    texts = [b"a", b"b", b"a\0", b"\0a", b"a" * 63, b"a" * 64, b"a" * 65, b"a" * 1000]
    assert len({_core.SharedSecret(text).index for text in texts}) == len(texts)
    assert len({_core._test_secret_digest(text) for text in texts}) == len(texts)
    for text in texts:
        assert _core.SharedSecret(text).index == _core.SharedSecret(bytes(text)).index


def test_no_secret_is_empty() -> None:
    with pytest.raises(ValueError, match="at least 1 byte"):
        _core.SharedSecret(b"")


@pytest.mark.parametrize(("size", "calls"), [(1, 10000), (16, 1000), (21, 500), (4096, 3), (3000, 5)])
def test_a_pool_never_gives_the_same_twice(size: int, calls: int) -> None:
    given = _core._test_random(size, calls)
    assert [len(each) for each in given] == [size] * calls
    if size > 4:
        assert len(set(given)) == calls
    counts = [b"".join(given).count(bytes([byte])) for byte in range(256)]
    mean = size * calls / 256
    # Eight standard deviations of a binomial: chance alone breaks this less than once in 10^12 runs.
    assert all(abs(count - mean) < 8 * mean**0.5 + 8 for count in counts)
