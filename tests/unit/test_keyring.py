"""The keyring: its file, what is refused as one, and that a key opens only what it sealed for that place."""

import base64
import json
import multiprocessing
import stat
from pathlib import Path

import pytest

from fastgw.errors import StoreError
from fastgw.storage.keyring import Key, Keyring, WrongKey


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fastgw.keys"


def test_a_first_key_is_made_once_for_its_owner_alone(path: Path) -> None:
    first, second = Keyring.made(path), Keyring.made(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [(key.id, key.secret) for key in first] == [(key.id, key.secret) for key in second]
    assert len(first.newest().secret) == 32
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_key_opens_what_it_sealed_in_that_place_alone() -> None:
    key, other = Key("00000001", b"a" * 32), Key("00000002", b"b" * 32)
    sealed = key.seal(b"value", b"place")
    assert key.open(sealed, b"place") == b"value"
    assert b"value" not in sealed
    assert key.seal(b"value", b"place") != sealed, "a nonce of its own"
    damaged = [bytes([*sealed[:at], sealed[at] ^ 1, *sealed[at + 1 :]]) for at in range(len(sealed))]
    for wrong, place in ((sealed, b"other"), (sealed[:-1], b"place"), (b"", b"place"), *((each, b"place") for each in damaged)):
        with pytest.raises(WrongKey):
            key.open(wrong, place)
    with pytest.raises(WrongKey):
        other.open(sealed, b"place")


def test_digests_are_the_keys_own() -> None:
    key, other = Key("00000001", b"a" * 32), Key("00000002", b"b" * 32)
    assert key.digest(b"text") == Key("00000009", b"a" * 32).digest(b"text") != key.digest(b"Text")
    assert key.digest(b"text") != other.digest(b"text")


def test_keys_come_and_go_and_others_learn_of_them(path: Path) -> None:
    ring, elsewhere = Keyring.made(path), Keyring(path)
    first, second = ring.newest(), ring.add()
    assert [key.id for key in ring] == [second.id, first.id]
    assert elsewhere.get(second.id).secret == second.secret, "read again when it was not known"
    assert ring.keep({second.id}) == [first.id]
    assert [key.id for key in Keyring(path)] == [second.id]
    third = ring.add()
    assert elsewhere.get(third.id).id == third.id
    assert elsewhere.get(first.id).secret == first.secret, "what was read under it before is still to be opened"
    with pytest.raises(StoreError, match=rf"fastgw\.keys: expected the key {first.id}, found {third.id}, {second.id}"):
        Keyring(path).get(first.id)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def entry(id: str = "0123abcd", size: int = 32) -> dict[str, str]:
    return {"id": id, "secret": base64.b64encode(b"s" * size).decode()}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "expected a keyring of fastgw: "),
        ("\xff", "expected a keyring of fastgw: "),
        ("[]", "expected a keyring of fastgw: Expected `object`, got `array`"),
        ({"keys": []}, "expected a keyring of fastgw: Expected `array` of length >= 1"),
        ({"keys": [entry()], "more": 1}, "expected a keyring of fastgw: Object contains unknown field `more`"),
        ({"keys": [entry(id="x")]}, "expected a keyring of fastgw: Expected `str` matching regex"),
        ({"keys": [entry(size=31)]}, "key 0123abcd: expected 32 bytes in base64"),
        ({"keys": [entry() | {"secret": "not base64"}]}, "key 0123abcd: expected 32 bytes in base64"),
        ({"keys": [entry(), entry()]}, "expected each key once"),
    ],
)
def test_a_file_that_is_no_keyring_is_named_and_its_content_is_not_told(path: Path, content: object, told: str) -> None:
    path.write_bytes((content if isinstance(content, str) else json.dumps(content)).encode("latin-1"))
    path.chmod(0o600)
    with pytest.raises(StoreError) as error:
        Keyring(path)
    assert str(error.value).startswith(f"{path}: {told}")
    assert "\n" not in str(error.value)
    assert base64.b64encode(b"s" * 12).decode() not in str(error.value)


def test_a_file_that_others_may_read_is_refused(path: Path) -> None:
    Keyring.made(path)
    path.chmod(0o640)
    with pytest.raises(StoreError, match=r"fastgw\.keys: expected mode 0600, found 0640"):
        Keyring(path)
    path.chmod(0o400)
    Keyring(path)


def test_a_file_that_cannot_be_read_is_named(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StoreError, match=r"fastgw\.keys: cannot be read: Is a directory"):
        Keyring(path)


def _make(path: Path, results: "multiprocessing.SimpleQueue[str]") -> None:
    results.put(Keyring.made(path).newest().id)


def test_processes_that_make_it_at_once_agree_on_one(path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    results = spawn.SimpleQueue()
    makers = [spawn.Process(target=_make, args=(path, results)) for _ in range(4)]
    for maker in makers:
        maker.start()
    ids = {results.get() for _ in makers}
    for maker in makers:
        maker.join()
    assert ids == {Keyring(path).newest().id}
