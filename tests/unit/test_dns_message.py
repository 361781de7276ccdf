"""DNS messages against dnspython, which writes and reads them too; and bytes that nobody should send."""

import contextlib
import struct

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastgw.dns_message import AAAA, CNAME, SRV, A, NoSuchName, Reply, ServerFailure, Srv, found, question, reply

label = st.text("abcXYZ019_-", min_size=1, max_size=12)
names = st.lists(label, min_size=1, max_size=5).map(".".join)
KINDS = {A: "A", AAAA: "AAAA", SRV: "SRV"}


def message(name: str, kind: str, *rrsets: tuple[str, int, str, list[str]], number: int = 7) -> bytes:
    query = dns.message.make_query(f"{name}.", kind, id=number)
    response = dns.message.make_response(query)
    for owner, ttl, of, data in rrsets:
        response.answer.append(dns.rrset.from_text(f"{owner}.", ttl, "IN", of, *data))
    return response.to_wire()


@given(names, st.sampled_from(sorted(KINDS)), st.integers(0, 65535))
def test_questions_are_those_that_dnspython_reads(name: str, kind: int, number: int) -> None:
    read = dns.message.from_wire(question(number, name, kind))
    (asked,) = read.question
    assert (read.id, asked.name.to_text(omit_final_dot=True), int(asked.rdtype)) == (number, name, kind)
    assert read.payload == 1232


@given(names, st.lists(st.ip_addresses(v=4).map(str), min_size=1, unique=True, max_size=5), st.integers(0, 2**31 - 1))
def test_addresses_are_read(name: str, addresses: list[str], ttl: int) -> None:
    got = reply(message(name, "A", (name, ttl, "A", addresses)), 7, name, A)
    data, holds = found(got, name, A)
    assert (sorted(map(str, data)), holds) == (sorted(addresses), ttl)
    with pytest.raises(NoSuchName):
        found(got, name, AAAA)


def test_services_and_six_byte_addresses_are_read() -> None:
    six = message("a.test", "AAAA", ("a.test", 5, "AAAA", ["2001:db8::1"]))
    assert found(reply(six, 7, "A.test", AAAA), "a.TEST.", AAAA) == (["2001:db8::1"], 5)
    srv = message("_http._tcp.a.test", "SRV", ("_http._tcp.a.test", 9, "SRV", ["1 2 8080 B.test.", "3 0 0 ."]))
    data, ttl = found(reply(srv, 7, "_http._tcp.a.test", SRV), "_http._tcp.a.test", SRV)
    assert (set(data), ttl) == ({Srv(1, 2, 8080, "b.test"), Srv(3, 0, 0, "")}, 9)


def test_aliases_are_followed_and_the_shortest_ttl_counts() -> None:
    chain = message(
        "a.test",
        "A",
        ("a.test", 60, "CNAME", ["b.test."]),
        ("b.test", 5, "CNAME", ["c.test."]),
        ("c.test", 300, "A", ["192.0.2.1"]),
    )
    assert found(reply(chain, 7, "a.test", A), "a.test", A) == (["192.0.2.1"], 5)
    circle = message("a.test", "A", ("a.test", 60, "CNAME", ["b.test."]), ("b.test", 60, "CNAME", ["a.test."]))
    with pytest.raises(NoSuchName):
        found(reply(circle, 7, "a.test", A), "a.test", A)
    stranger = message("a.test", "A", ("z.test", 300, "A", ["192.0.2.66"]))
    with pytest.raises(NoSuchName):
        found(reply(stranger, 7, "a.test", A), "a.test", A)


def test_codes() -> None:
    assert CNAME == dns.rdatatype.CNAME
    for code, error in ((2, ServerFailure), (5, ServerFailure), (3, NoSuchName), (0, NoSuchName)):
        with pytest.raises(error):
            found(Reply(code, False, ()), "a.test", A)


def test_what_answers_another_question_is_no_answer() -> None:
    good = message("a.test", "A", ("a.test", 60, "A", ["192.0.2.1"]))
    reply(good, 7, "a.test", A)
    for number, name, kind in ((8, "a.test", A), (7, "b.test", A), (7, "a.test", AAAA)):
        with pytest.raises(ValueError, match="another question"):
            reply(good, number, name, kind)
    asked = dns.message.make_query("a.test.", "A", id=7).to_wire()
    with pytest.raises(ValueError, match="another question"):
        reply(asked, 7, "a.test", A)


HEAD = bytes.fromhex("0007818000010001000000000161047465737400000100 01".replace(" ", ""))


@pytest.mark.parametrize(
    "rest",
    [
        b"",
        b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x7f",  # data breaks off
        b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x05\x00\x03\x7f\x00\x00",  # an address of three bytes
        b"\xc0\xff\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x7f\x00\x00\x01",  # a name that points forwards
        b"\xc0\x18\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x7f\x00\x00\x01",  # and one that points at itself
        b"\x80\x00\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x7f\x00\x00\x01",  # a label of a kind that there is not
        b"\x01a\xc0\x18\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x7f\x00\x00\x01",  # a circle
        b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x05\x00\x09\x01b\x00",  # an alias that is shorter than it says
    ],
)
def test_malformed_messages_are_refused(rest: bytes) -> None:
    with pytest.raises(ValueError, match="DNS"):
        reply(HEAD + rest, 7, "a.test", A)


@given(st.binary(max_size=200), st.integers(0, 20), st.integers(0, 255))
@example(b"", 0, 0)
def test_no_bytes_do_harm(rest: bytes, at: int, byte: int) -> None:
    good = bytearray(message("a.test", "SRV", ("a.test", 60, "CNAME", ["b.test."]), ("b.test", 9, "SRV", ["1 2 3 c.test."])))
    good[12 + at * 2 % (len(good) - 12)] = byte
    for data in (bytes(good), HEAD + rest, rest):
        with contextlib.suppress(ValueError, OSError):
            found(reply(data, 7, "a.test", SRV), "a.test", SRV)


def test_names_have_bounds() -> None:
    for name in ("", "a..b", "a" * 64, ".".join(["a" * 63] * 4), "é.test"):
        with pytest.raises(ValueError, match=r".*"):
            question(1, name, A)
    question(1, ".".join(["a" * 63] * 3 + ["a" * 61]), A)


def crafted(records: list[bytes]) -> bytes:
    """An answer to a.test A with these records."""
    head = struct.pack("!6H", 7, 0x8180, 1, len(records), 0, 0)
    return head + b"\1a\4test\0" + struct.pack("!HH", A, 1) + b"".join(records)


def test_a_name_follows_no_more_pointers_than_it_can_have_labels() -> None:
    """Else 64 KiB of pointers to pointers, followed for each record, would take all of a worker's time for seconds."""

    def chain(length: int) -> bytes:
        first = 12 + 8 + 4 + 1 + 10  # where the data of a record with the root as its name begins
        pointers = [0xC000 | 12, *(0xC000 | first + 2 * i for i in range(length - 1))]
        data = struct.pack(f"!{length}H", *pointers)
        text = b"\0" + struct.pack("!HHIH", 16, 1, 9, len(data)) + data
        owner = struct.pack("!H", 0xC000 | first + 2 * (length - 1))
        return crafted([text, owner + struct.pack("!HHIH4B", A, 1, 9, 4, 192, 0, 2, 1)])

    assert found(reply(chain(127), 7, "a.test", A), "a.test", A) == (["192.0.2.1"], 9)
    with pytest.raises(ValueError, match="too often"):
        reply(chain(129), 7, "a.test", A)


def test_aliases_without_end_are_followed_for_a_while() -> None:
    def chain(length: int) -> Reply:
        aliases = [(f"n{i}.test", 60, "CNAME", [f"n{i + 1}.test."]) for i in range(length)]
        return reply(message("n0.test", "A", *aliases, (f"n{length}.test", 5, "A", ["192.0.2.1"])), 7, "n0.test", A)

    assert found(chain(16), "n0.test", A) == (["192.0.2.1"], 5)
    with pytest.raises(NoSuchName):
        found(chain(17), "n0.test", A)
