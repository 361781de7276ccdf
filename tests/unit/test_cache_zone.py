"""A cache zone: what is found is what was put in, whole, whoever writes beside it; the oldest give way; turns."""

import hashlib
import mmap
import os
import random

import pytest

from fastgw._core import CacheZone

SIZE = 2**20
SECRET = bytes(16)


def key(number: int) -> bytes:
    return hashlib.blake2b(number.to_bytes(8, "little"), digest_size=16).digest()


def content(number: int, salt: int = 0) -> tuple[bytes, bytes]:
    """Head and body of a thing: any bytes of another would show."""
    chance = random.Random(number * 1000 + salt)
    return number.to_bytes(8, "little") + chance.randbytes(chance.randrange(100)), chance.randbytes(
        chance.choice((0, 7, 100, 5000, 30000))
    )


def zone(size: int = SIZE) -> CacheZone:
    return CacheZone(mmap.mmap(-1, size), SECRET)


def test_what_is_put_in_is_found() -> None:
    made = zone()
    assert made.get(key(1)) is None
    for head, body in ((b"", b""), (b"h", b""), (b"", b"b"), (b"head", b"body" * 1000), (b"head", b"other")):
        assert made.put(key(1), head, body)
        assert made.get(key(1)) == (head, body)
    assert made.get(key(2)) is None
    assert (made.drop(key(1)), made.drop(key(1)), made.get(key(1))) == (True, False, None)


def test_the_oldest_give_way() -> None:
    made = zone()
    body = b"x" * 10_000
    for number in range(300):
        assert made.put(key(number), b"%d" % number, body)
        assert made.get(key(number)) == (b"%d" % number, body)
    kept = [number for number in range(300) if made.get(key(number)) is not None]
    assert kept == list(range(kept[0], 300))
    assert 70 < len(kept) < 110


def test_no_bytes_of_another_thing_are_ever_found() -> None:
    made, chance = zone(300_000), random.Random(1)
    latest: dict[int, tuple[bytes, bytes]] = {}
    for salt in range(3000):
        number = chance.randrange(200)
        if chance.random() < 0.1:
            made.drop(key(number))
            latest.pop(number, None)
        elif made.put(key(number), *(thing := content(number, salt))):
            latest[number] = thing
        other = chance.randrange(200)
        assert made.get(key(other)) in (None, latest.get(other))


def test_too_long_a_thing_is_not_kept() -> None:
    made = zone()
    assert made.put(key(1), b"", b"x" * made.most)
    assert not made.put(key(2), b"", b"x" * (made.most + 65))
    assert made.get(key(2)) is None


def test_processes_that_write_at_once_find_nothing_but_whole_things() -> None:
    """In so little memory that they overrun each other all the time."""
    memory = mmap.mmap(-1, 200_000)
    made = CacheZone(memory, SECRET)
    children = []
    for seed in range(4):
        pid = os.fork()
        if pid == 0:
            wrong, found, chance = 0, 0, random.Random(seed)
            try:
                mine = CacheZone(memory, SECRET)
                for _ in range(4000):
                    number = chance.randrange(60)
                    mine.put(key(number), *content(number))
                    other = chance.randrange(60)
                    thing = mine.get(key(other))
                    found += thing is not None
                    wrong += thing not in (None, content(other))
            finally:
                os._exit(1 if wrong else 0 if found else 2)
        children.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * 4
    assert made.put(key(1), b"after", b"")
    assert made.get(key(1)) == (b"after", b"")


@pytest.mark.parametrize("where", range(0, 200_000, 997))
def test_a_byte_that_is_another_is_never_found(where: int) -> None:
    memory = mmap.mmap(-1, 300_000)
    made = CacheZone(memory, SECRET)
    things = {number: content(number) for number in range(20)}
    for number, thing in things.items():
        made.put(key(number), *thing)
    memory[where] ^= 0x5A
    for number, thing in things.items():
        assert made.get(key(number)) in (None, thing)


def test_turns() -> None:
    memory = mmap.mmap(-1, SIZE)
    made, other = CacheZone(memory, SECRET), CacheZone(memory, SECRET)
    before = made.turn(key(1))
    other.move_on(key(1))
    assert made.turn(key(1)) != before
    assert made.turn(key(2)) == other.turn(key(2))
    assert (made.disk(), made.disk(4096), other.disk(-96), made.disk()) == (0, 4096, 4000, 4000)


def test_what_it_is_not_made_of() -> None:
    for memory, secret in ((mmap.mmap(-1, 4096), SECRET), (mmap.mmap(-1, SIZE), b"short")):
        with pytest.raises(ValueError, match="expected"):
            CacheZone(memory, secret)
    for bad in (b"", b"x" * 15, b"x" * 17):
        with pytest.raises(ValueError, match="16 bytes"):
            zone().get(bad)
