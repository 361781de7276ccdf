"""Rings of consistent hashing are those of resty.chash, point for point."""

import math
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from fastgw import _core
from tests.oracle import chash

KEYS = [b"key-%d" % i for i in range(20_000)]
NAMES = [f"192.0.2.{i}:8080" for i in range(1, 11)]


def found(nodes: dict[str, int], keys: list[bytes]) -> list[str]:
    names = list(nodes)
    entries = [(name.replace(":", "\0").encode(), weight) for name, weight in nodes.items()]
    return [names[index] for index in _core._test_chash(entries, keys)]


weights = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 12), min_size=1, max_size=5).filter(
    lambda nodes: any(nodes.values())
)


@settings(deadline=None, max_examples=60)
@given(weights, st.lists(st.binary(max_size=40), max_size=40))
def test_every_key_goes_where_resty_chash_sends_it(nodes: dict[str, int], keys: list[bytes]) -> None:
    assert found(nodes, keys) == [chash.node_of(nodes, key) for key in keys]


def test_points_are_the_crc_register_at_the_id_fed_the_point_before_and_inverted() -> None:
    """Literal figures, so that the oracle cannot err along with the core."""
    assert chash.follow(b"127.0.0.1\x001980", 3) == [0x39A6EB5C, 0xBA92F760, 0xDAC8CB00]
    nodes = {"127.0.0.1:1980": 1, "127.0.0.1:1981": 1}
    assert found(nodes, [b"key-7", b"key-8"]) == ["127.0.0.1:1980", "127.0.0.1:1981"]


def test_weights_count_in_proportion() -> None:
    assert found({"a:1": 50, "b:1": 100}, KEYS) == found({"a:1": 1, "b:1": 2}, KEYS)


def test_a_weight_beyond_all_measure_costs_no_more_than_precision() -> None:
    shares = Counter(found({"a:1": 2**30 - 1, "b:1": 1, "c:1": 2**29}, KEYS))
    assert shares["a:1"] > shares["c:1"] > len(KEYS) / 4
    assert _core._test_chash([], [b"x"]) == _core._test_chash([(b"a", 0)], [b"x"]) == [-1]


def test_a_node_less_of_ten_moves_its_own_keys_and_no_others() -> None:
    all_of_them = dict.fromkeys(NAMES, 1)
    before = found(all_of_them, KEYS)
    moved = []
    for gone in NAMES:
        after = found({name: 1 for name in NAMES if name != gone}, KEYS)
        changed = [key for key, old, new in zip(KEYS, before, after, strict=True) if old != new]
        assert changed == [key for key, old in zip(KEYS, before, strict=True) if old == gone]
        moved.append(len(changed))
    # Each key is moved by exactly one of the ten removals: a tenth on average, exactly.
    assert sum(moved) == len(KEYS)
    # The share of one node follows from its points; 160 of 1600 keep it near a tenth.
    share = [_share(all_of_them, name) for name in NAMES]
    assert math.isclose(sum(share), 1)
    assert all(abs(count / len(KEYS) - part) < 0.01 for count, part in zip(moved, share, strict=True))


def _share(nodes: dict[str, int], name: str) -> float:
    """Of all hashes there are, those that belong to a node."""
    points = chash.ring(nodes)
    total = points[0][0] if points[0][1] == name else 0
    for (hash_, owner), (following, _) in zip(points, [*points[1:], (2**32, "")], strict=True):
        total += following - hash_ if owner == name else 0
    return total / 2**32
