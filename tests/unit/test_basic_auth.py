"""basic-auth's step: what of RFC 7617 is taken, what is not, and what a refusal says."""

import asyncio
import base64

import pytest

from fastgw import _core
from tests.support.core import ask, chain, shown, snapshot

USERS = {
    "basic": [
        shown(b"kim", "basic", b"kimp", b"kimu"),
        shown(b"colon", "basic", b"a:b: c", b"with space"),
        shown(b"utf8", "basic", "pässwörd".encode(), "jürgen".encode()),
        shown(b"long", "basic", b"p" * 200, b"long"),
    ]
}
MISSING, MALFORMED, REFUSED = (
    b"Missing authorization in request",
    b"Invalid authorization in request",
    b"Invalid user authorization",
)


def basic(text: bytes, scheme: bytes = b"Basic ") -> bytes:
    return b"Authorization: " + scheme + base64.b64encode(text)


def talk(step: _core.Step, *fields: bytes) -> tuple[bytes, bytes]:
    return ask(snapshot(step, others=USERS), b"\r\n".join([b"GET / HTTP/1.1", b"Host: h", *fields, b"", b""]))


@pytest.mark.parametrize("hide", [True, False])
@pytest.mark.parametrize(
    ("field", "name"),
    [
        (basic(b"kimu:kimp"), b"kim"),
        (basic(b"kimu:kimp", b"basic "), b"kim"),
        (basic(b"kimu:kimp", b"BASIC   "), b"kim"),
        (basic(b"with space:a:b: c"), b"colon"),
        (basic("jürgen:pässwörd".encode()), b"utf8"),
        (basic(b"long:" + b"p" * 200), b"long"),
        (basic(b"kimu:kimp").rstrip(b"="), b"kim"),  # padding may be left out
    ],
)
def test_a_user_is_known_and_hidden(field: bytes, name: bytes, hide: bool) -> None:
    sent, got = talk(_core.BasicAuthStep(hide_credentials=hide), b"X-Credential-Identifier: root", field)
    assert got.startswith(b"HTTP/1.1 200 ")
    assert (
        b"X-Consumer-Username: %b\r\nX-Credential-Identifier: cred-basic\r\nX-Consumer-Custom-ID: id-%b\r\n" % (name, name)
        in sent
    )
    assert b"root" not in sent
    assert (field in sent) is not hide
    assert (b"uthorization" in sent) is not hide


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([], MISSING),
        ([b"Proxy-Authorization: Basic a2ltdTpraW1w"], MISSING),
        ([b"Authorization:"], MALFORMED),
        ([b"Authorization: Basic"], MALFORMED),
        ([b"Authorization: Basic !!"], MALFORMED),
        ([b"Authorization: Basic a"], MALFORMED),
        ([b"Authorization: Basic a2ltdTpraW1w="], MALFORMED),
        ([b"Authorization: Basic a2ltdTpraW1w===="], MALFORMED),
        ([b"Authorization: Basic a2ltdTp raW1w"], MALFORMED),
        ([b"Authorization: Basic =="], MALFORMED),
        ([b"Authorization: Basic\ta2ltdTpraW1w"], MALFORMED),
        ([b"Authorization: Basica2ltdTpraW1w"], MALFORMED),
        ([b"Authorization: Bearer x"], MALFORMED),
        ([b"Authorization: a2ltdTpraW1w"], MALFORMED),
        ([b"Authorization: X Basic a2ltdTpraW1w"], MALFORMED),
        ([basic(b"nocolon")], MALFORMED),
        ([basic(b"kimu:kimp"), basic(b"kimu:kimp")], MALFORMED),
        ([basic(b"kimu:kimp"), b"authorization: Bearer x"], MALFORMED),
        ([basic(b"kimu:x")], REFUSED),
        ([basic(b"kimu:kimp ")], REFUSED),
        ([basic(b"kimu:kim")], REFUSED),
        ([basic(b"kimu:kimp\0")], REFUSED),
        ([basic(b"kimu:kimp:")], REFUSED),
        ([basic(b"kimu:")], REFUSED),
        ([basic(b":kimp")], REFUSED),
        ([basic(b":")], REFUSED),
        ([basic(b"zz:x")], REFUSED),
        ([basic(b"Kimu:kimp")], REFUSED),
        ([basic(b" kimu:kimp")], REFUSED),
        ([basic(b"withspace:a:b:c")], REFUSED),
        ([basic(b"zz:" + b"\0" * 32)], REFUSED),
    ],
)
def test_no_good_password_no_entry(fields: list[bytes], message: bytes) -> None:
    sent, got = talk(_core.BasicAuthStep(), *fields)
    assert (sent, got[:25]) == (b"", b"HTTP/1.1 401 Unauthorized")
    assert b'\r\nWWW-Authenticate: Basic realm="basic"\r\n' in got
    assert got.endswith(b'\r\n\r\n{"message":"' + message + b'"}\n')


@pytest.mark.parametrize("length", range(1, 40))
def test_every_length_decodes(length: int) -> None:
    user, text = b"u", bytes(range(200, 200 + length))
    users = {"basic": [shown(b"kim", "basic", text, user)]}
    request = b"GET / HTTP/1.1\r\nHost: h\r\n%b\r\n\r\n" % basic(user + b":" + text)
    assert b"X-Consumer-Username: kim\r\n" in ask(snapshot(_core.BasicAuthStep(), others=users), request)[0]


def test_the_other_alphabet_of_base64_is_refused() -> None:
    users = {"basic": [shown(b"kim", "basic", b"\xfb\xef\xbe\xff\xff", b"u>")]}
    good = basic(b"u>:\xfb\xef\xbe\xff\xff")
    assert b"+" in good
    assert b"/" in good
    for field, status in ((good, b"200"), (good.replace(b"+", b"-"), b"401"), (good.replace(b"/", b"_"), b"401")):
        request = b"GET / HTTP/1.1\r\nHost: h\r\n%b\r\n\r\n" % field
        assert ask(snapshot(_core.BasicAuthStep(), others=users), request)[1][9:12] == status


@pytest.mark.parametrize("field", [b"X: y", basic(b"kimu:x"), b"Authorization: Basic !!"])
def test_anybody_else_is_the_anonymous_consumer(field: bytes) -> None:
    guest = _core.Credential(_core.Consumer(b"guest", _core.Steps([])), b"")
    sent, got = talk(_core.BasicAuthStep(anonymous=guest, fallback=True, hide_credentials=True), field)
    assert b"X-Consumer-Username: guest\r\n" in sent
    assert b"uthorization" not in sent
    assert b"WWW-Authenticate" not in got


def test_an_anonymous_consumer_that_is_not_there_admits_nobody() -> None:
    sent, got = talk(_core.BasicAuthStep(fallback=True, realm="a b"), b"X: y")
    assert (sent, got[9:12]) == (b"", b"401")
    assert b'WWW-Authenticate: Basic realm="a b"\r\n' in got
    assert got.endswith(b'{"message":"Invalid user authorization"}\n')


def test_time_does_not_tell_which_users_there_are() -> None:
    """A wrong password is judged for whoever shows it, also where it was, or is being, for the same name or another."""
    judged: list[bytes] = []

    def judge(password: bytes) -> bool:
        judged.append(password)
        return False

    kim = _core.Credential(_core.Consumer(b"kim", chain()), b"kim", b"b", password=_core.PasswordHash(judge))

    async def scene() -> None:
        wire = _core.Wire(snapshot(_core.BasicAuthStep(), others={"basic": [kim]}), loop=asyncio.get_running_loop())
        for users in ([b"a"], [b"b"], [b"b"], [b"kim"], [b"kim"], [b"a", b"b", b"kim"]):
            judged.clear()
            lines = [wire.open() for _ in users]
            for user, line in zip(users, lines, strict=True):
                wire.push(line, b"GET / HTTP/1.1\r\nHost: h\r\n" + basic(user + b":wrong") + b"\r\n\r\n")
            while wire.active:
                await asyncio.sleep(0.001)
            assert all(wire.pull(line).startswith(b"HTTP/1.1 401 ") for line in lines)
            assert judged == [b"wrong"] * len(users)

    asyncio.run(asyncio.wait_for(scene(), 30))
