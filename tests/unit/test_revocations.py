"""The table of what is revoked: what is in it is found, nothing else is, and a writer that was killed leaves it whole."""

import random
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgw import _core

NOW = 1_700_000_000
SUBJECTS = [
    b"",
    b"a",
    b"b",
    b"john",
    b"john/1",
    b"x" * 16,
    b"x" * 17,
    b"y" * 1024,
    bytes(range(256)),
    *(b"%d" % n for n in range(60)),
]


def table(capacity: int = 64) -> _core.Revocations:
    return _core.Revocations(_core.Region.create(16, slots=1, revocations=capacity))


def test_nothing_is_revoked_in_an_empty_table() -> None:
    made = table()
    assert (made.held, made.capacity) == (0, 64)
    assert not any(made.revoked(kind, subject, None, NOW) for kind in _core.REV_KINDS for subject in SUBJECTS)


@pytest.mark.parametrize("kind", _core.REV_KINDS)
@pytest.mark.parametrize("subject", SUBJECTS[:10])
def test_only_the_subject_itself(kind: str, subject: bytes) -> None:
    made = table()
    assert made.lock() == 0
    made.put(b"1", kind, subject)
    made.unlock(5)
    asked = [(other, each) for other in _core.REV_KINDS for each in SUBJECTS]
    assert [each for each in asked if made.revoked(*each, None, NOW)] == [(kind, subject)]
    assert made.lock() == 5
    made.drop(b"1")
    made.drop(b"1")
    made.unlock(6)
    assert not any(made.revoked(*each, None, NOW) for each in asked)
    assert made.held == 0


def test_times() -> None:
    made = table()
    made.lock()
    made.put(b"1", "sub", b"john", 100, 1000)
    made.unlock(1)

    def found(issued: int | None, now: int) -> bool:
        return made.revoked("sub", b"john", issued, now)

    assert [found(issued, 500) for issued in (None, -(2**53), 0, 99)] == [True] * 4
    assert [found(issued, 500) for issued in (100, 101, 2**53)] == [False] * 3
    assert [found(99, now) for now in (-5, 0, 999)] == [True] * 3
    assert [found(99, now) for now in (1000, 2**60)] == [False] * 2


def test_several_of_one_subject_and_one_id_of_several() -> None:
    made = table()
    made.lock()
    made.put(b"1", "sub", b"john", 100)
    made.put(b"2", "sub", b"john", 200)
    assert (made.revoked("sub", b"john", 150), made.revoked("sub", b"john", 250)) == (True, False)
    made.put(b"2", "sub", b"john", 50)
    assert (made.revoked("sub", b"john", 150), made.revoked("sub", b"john", 75)) == (False, True)
    made.put(b"1", "jti", b"x")
    assert (made.revoked("sub", b"john", 75), made.revoked("sub", b"john", 25), made.revoked("jti", b"x")) == (False, True, True)
    assert made.held == 2
    made.unlock(1)


def test_full_is_said_and_changes_nothing_and_the_expired_give_way() -> None:
    made = table(8)
    made.lock()
    for n in range(8):
        made.put(b"%d" % n, "jti", b"%d" % n, None, NOW + n)
    with pytest.raises(_core.RevocationsFullError, match="expected at most 8, found one more"):
        made.put(b"8", "jti", b"8", None, None, NOW - 1)
    assert [made.revoked("jti", b"%d" % n, None, NOW - 1) for n in range(9)] == [True] * 8 + [False]
    made.put(b"7", "jti", b"seven", None, None, NOW - 1)  # in place of its own
    made.put(b"8", "jti", b"8", None, None, NOW + 2)
    assert made.held == 6
    assert [made.revoked("jti", b"%d" % n, None, 0) for n in range(9)] == [False] * 3 + [True] * 4 + [False, True]
    made.unlock(1)


def test_only_what_is_kept_stays() -> None:
    made = table()
    made.lock()
    for n in range(30):
        made.put(b"%d" % n, "jti", b"%d" % n)
    made.keep([b"%d" % n for n in range(0, 30, 3)])
    made.unlock(1)
    assert [n for n in range(30) if made.revoked("jti", b"%d" % n)] == list(range(0, 30, 3))
    assert made.held == 10


def test_writing_needs_the_lock() -> None:
    made = table()
    for write in (lambda: made.put(b"1", "jti", b"x"), lambda: made.drop(b"1"), lambda: made.keep([]), lambda: made.unlock(1)):
        with pytest.raises(RuntimeError, match="expected a locked table"):
            write()
    made.lock()
    with pytest.raises(RuntimeError, match="locked by this process"):
        made.lock()
    with pytest.raises(ValueError, match="kind: expected one of jti, sub, credential, all, found 'x'"):
        made.put(b"1", "x", b"x")
    made.unlock(1)


def test_who_leaves_it_unfinished_makes_the_next_begin_anew() -> None:
    region = _core.Region.create(16, slots=1, revocations=64)
    one, two = _core.Revocations(region), _core.Revocations(region)
    one.lock()
    one.put(b"1", "jti", b"x")
    one.unlock(7)
    assert two.lock() == 7
    two.put(b"2", "jti", b"y")
    two.unlock(None)
    assert one.lock() == 0
    one.put(b"1", "jti", b"x")
    one.put(b"2", "jti", b"z")
    one.unlock(8)
    assert [one.revoked("jti", each) for each in (b"x", b"y", b"z")] == [True, False, True]
    assert (one.held, two.lock()) == (2, 8)


kinds, subjects = st.sampled_from(_core.REV_KINDS), st.sampled_from(SUBJECTS)
ids = st.integers(0, 40).map(lambda n: b"%d" % n)
times = st.none() | st.integers(0, 5)
put = st.tuples(st.just("put"), ids, kinds, subjects, times, times)
drop = st.tuples(st.just("drop"), ids)


@settings(max_examples=300)
@given(st.lists(put | put | drop, max_size=120), st.integers(0, 2**32))
def test_it_holds_what_a_dict_holds(course: list[tuple[object, ...]], seed: int) -> None:
    """Small, so that runs are long and entries move; two writers take turns."""
    region = _core.Region.create(16, slots=1, revocations=41)
    writers = [_core.Revocations(region), _core.Revocations(region)]
    chance, model = random.Random(seed), {}
    made = writers[0]
    made.lock()
    for what, id, *rest in course:
        if chance.random() < 0.1:
            made.unlock(1)
            made = chance.choice(writers)
            made.lock()
        if what == "put":
            model[id] = rest
            made.put(id, *rest)  # type: ignore[arg-type]
        else:
            model.pop(id, None)
            made.drop(id)  # type: ignore[arg-type]
    made.unlock(1)
    assert made.held == len(model)
    for kind in _core.REV_KINDS:
        for subject in SUBJECTS:
            for issued, now in ((None, 0), (0, 3), (3, 0), (5, 5)):
                expected = any(
                    (kind, subject) == (each[0], each[1])
                    and (each[2] is None or issued is None or issued < each[2])
                    and (each[3] is None or now < each[3])
                    for each in model.values()
                )
                assert made.revoked(kind, subject, issued, now) == expected


def test_half_full_with_churn_searches_stay_short() -> None:
    """No graves are left: after many times its capacity has come and gone, the table is as on the first day."""
    made = table(512)
    chance = random.Random(3)
    made.lock()
    held: list[bytes] = []
    for n in range(20_000):
        if len(held) == 512:
            made.drop(held.pop(chance.randrange(512)))
        made.put(b"%d" % n, "jti", b"%d" % n)
        held.append(b"%d" % n)
    made.keep([])
    made.unlock(1)
    assert made.held == 0
    assert set(_core._test_marks(made)) == {0}


MARKS_SECTION = 48 + 5 * 24  # of the directory, as docs/shared-memory.md draws it


@pytest.mark.parametrize(
    ("offset", "data", "message"),
    [
        (1152, struct.pack("<Q", 0), "expected room for 1 to 16777216 revocations, found 0"),
        (1152, struct.pack("<Q", 2**40), "expected room for 1 to 16777216 revocations, found"),
        (1152, struct.pack("<Q", 65), "sections marks, revocations: expected 256 entries each, found 128 and 128"),
        (MARKS_SECTION + 16, struct.pack("<Q", 127), "sections marks, revocations: expected 128 entries each, found 127"),
        (MARKS_SECTION - 24 + 16, struct.pack("<Q", 0), "section revoked: expected 1 entry, found 0"),
    ],
)
def test_a_strange_region_is_refused(tmp_path: Path, offset: int, data: bytes, message: str) -> None:
    path = tmp_path / "region"
    _core.Region.create(64, path, slots=4, revocations=64)
    with path.open("r+b") as f:
        f.seek(offset)
        f.write(data)
    with pytest.raises(_core.RegionError, match=f"^{path}: {message}"):
        _core.Region.attach(path)


def test_another_boot_leaves_nothing_but_the_room_for_it(tmp_path: Path) -> None:
    path = tmp_path / "region"
    made = _core.Revocations(_core.Region.create(64, path, slots=4, revocations=64))
    made.lock()
    made.put(b"1", "jti", b"x")
    made.unlock(9)
    again = _core.Revocations(_core.Region.attach(path))
    assert (again.revoked("jti", b"x"), again.lock()) == (True, 9)
    again.unlock(9)
    with path.open("r+b") as f:
        f.seek(24)
        f.write(struct.pack("<Q", 1))
    again = _core.Revocations(_core.Region.attach(path))
    assert (again.revoked("jti", b"x"), again.lock(), again.held, again.capacity) == (False, 0, 0, 64)
