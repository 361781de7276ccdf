"""key-auth's step: where a key is looked for, whose it is, what is hidden, and what a refusal says."""

import pytest

from fastgw import _core
from tests.support.core import ask, shown, snapshot

KEYS = {
    "key": [
        shown(b"kim", "key", b"kim-key"),
        shown(b"odd", "key", "s p&c=\u00e9+%".encode()),
        shown(b"long", "key", b"x" * 300),
    ]
}
IDENTITY = b"X-Consumer-Username: kim\r\nX-Credential-Identifier: cred-key\r\nX-Consumer-Custom-ID: id-kim\r\n"
MISSING, INVALID = b"Missing API key in request", b"Invalid API key in request"


def get(target: bytes = b"/", *fields: bytes) -> bytes:
    return b"\r\n".join([b"GET %b HTTP/1.1" % target, b"Host: h", *fields, b"", b""])


def talk(step: _core.Step, target: bytes = b"/", *fields: bytes) -> tuple[bytes, bytes]:
    return ask(snapshot(step, others=KEYS), get(target, *fields))


@pytest.mark.parametrize("hide", [True, False])
@pytest.mark.parametrize(
    ("target", "field"),
    [
        (b"/", b"apikey: kim-key"),
        (b"/", b"ApiKey:kim-key  "),
        (b"/?apikey=kim-key&a=1", b"X: y"),
        (b"/?a=1&apikey=kim%2Dkey", b"X: y"),
        (b"/?a=1&%61pikey=kim-key", b"X: y"),
        (b"/?a=1&apikey=other", b"apikey: kim-key"),
        (b"/?a=1&apikey=other&apikey=third", b"apikey: kim-key"),
    ],
)
def test_a_key_is_found_and_hidden(target: bytes, field: bytes, hide: bool) -> None:
    sent, got = talk(_core.KeyAuthStep(hide_credentials=hide), target, b"X-Consumer-Username: root", field)
    assert got.startswith(b"HTTP/1.1 200 ")
    assert IDENTITY in sent
    assert b"root" not in sent
    if hide:
        assert b"key" not in sent.lower().replace(b"cred-key", b"")
        assert sent.startswith(b"GET /?a=1 " if b"a=1" in target else b"GET / ")
    else:
        assert sent.startswith(b"GET %b " % target)


@pytest.mark.parametrize(
    ("target", "fields", "message"),
    [
        (b"/", [], MISSING),
        (b"/?apikeys=kim-key", [b"x-apikey: kim-key"], MISSING),
        (b"/", [b"apikey: kim-ke"], INVALID),
        (b"/", [b"apikey: kim-key2"], INVALID),
        (b"/", [b"apikey: Kim-key"], INVALID),
        (b"/", [b"apikey: kim-key,"], INVALID),
        (b"/", [b"apikey:"], INVALID),
        (b"/?apikey=kim-key", [b"apikey:"], INVALID),
        (b"/?apikey=kim-key", [b"apikey: no"], INVALID),
        (b"/", [b"apikey: kim-key", b"apikey: kim-key"], INVALID),
        (b"/", [b"apikey: kim-key", b"APIKEY: other"], INVALID),
        (b"/?apikey=kim-key&apikey=kim-key", [], INVALID),
        (b"/?apikey=kim-key&api%6bey=kim-key", [], INVALID),
        (b"/?apikey", [], INVALID),
        (b"/?apikey=", [], INVALID),
        (b"/?apikey=kim%00-key", [], INVALID),
        (b"/?apikey=kim-key%", [], INVALID),
        (b"/", [b"Authorization: kim-key"], MISSING),
    ],
)
def test_no_good_key_no_entry(target: bytes, fields: list[bytes], message: bytes) -> None:
    sent, got = talk(_core.KeyAuthStep(), target, *fields)
    assert (sent, got[:25]) == (b"", b"HTTP/1.1 401 Unauthorized")
    assert b'\r\nWWW-Authenticate: apikey realm="key"\r\n' in got
    assert got.endswith(b'\r\n\r\n{"message":"' + message + b'"}\n')


def test_a_key_may_hold_any_bytes_that_its_place_can_carry() -> None:
    sent, _ = talk(_core.KeyAuthStep(), b"/?apikey=s+p%26c%3D%C3%A9%2b%25")
    assert b"X-Consumer-Username: odd\r\n" in sent
    sent, _ = talk(_core.KeyAuthStep(), b"/", "apikey: s p&c=\u00e9+%".encode())
    assert b"X-Consumer-Username: odd\r\n" in sent
    sent, _ = talk(_core.KeyAuthStep(), b"/", b"apikey: " + b"x" * 300)
    assert b"X-Consumer-Username: long\r\n" in sent


def test_a_header_of_ones_own_in_both_spellings() -> None:
    step = _core.KeyAuthStep(header="X-Api-Key", query="token", realm="my realm", hide_credentials=True)
    sent, _ = talk(step, b"/?token=wrong&apikey=kept", b"x_api_key: kim-key")
    assert sent.startswith(b"GET /?apikey=kept HTTP/1.1\r\n")
    assert IDENTITY in sent
    assert b"kim-key" not in sent
    _, got = talk(step, b"/", b"x_api_key: kim-key", b"X-Api-Key: kim-key")
    assert got.endswith(INVALID + b'"}\n')
    assert b'WWW-Authenticate: apikey realm="my realm"\r\n' in got


@pytest.mark.parametrize("field", [b"X: y", b"apikey: wrong", b"apikey: a\r\napikey: b"])
@pytest.mark.parametrize("hide", [True, False])
def test_anybody_else_is_the_anonymous_consumer(field: bytes, hide: bool) -> None:
    guest = _core.Credential(_core.Consumer(b"guest", _core.Steps([])), b"")
    step = _core.KeyAuthStep(anonymous=guest, fallback=True, hide_credentials=hide)
    sent, got = talk(step, b"/", field)
    assert got.startswith(b"HTTP/1.1 200 ")
    assert b"X-Consumer-Username: guest\r\n" in sent
    assert b"X-Credential-Identifier" not in sent
    assert b"WWW-Authenticate" not in got
    assert (b"apikey" in sent) is (b"apikey" in field and not hide)


def test_an_anonymous_consumer_that_is_not_there_admits_nobody() -> None:
    sent, got = talk(_core.KeyAuthStep(fallback=True), b"/", b"apikey: wrong")
    assert (sent, got[9:12]) == (b"", b"401")
    assert got.endswith(b'{"message":"Invalid user authorization"}\n')
    assert b"WWW-Authenticate" in got


def test_the_last_of_two_auth_steps_says_who_it_is() -> None:
    others = {**KEYS, "basic": [shown(b"bob", "basic", b"pw", b"bob")]}
    snap = snapshot(_core.BasicAuthStep(), _core.KeyAuthStep(), others=others)
    sent, _ = ask(snap, get(b"/", b"Authorization: Basic Ym9iOnB3", b"apikey: kim-key"))
    assert IDENTITY in sent
    assert b"bob\r\n" not in sent
    assert ask(snap, get(b"/", b"apikey: kim-key"))[1][9:12] == b"401"
    assert ask(snap, get(b"/", b"Authorization: Basic Ym9iOnB3"))[1][9:12] == b"401"
