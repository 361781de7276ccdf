"""referer-restriction's step: which hosts are in a list, by a model."""

from hypothesis import given
from hypothesis import strategies as st

from fastgw import _core
from tests.support.core import ask, snapshot

BODY = b'{"message":"no"}\n'


def passes(step: _core.Step, *referers: str) -> bool:
    fields = b"".join(b"Referer: " + each.encode() + b"\r\n" for each in referers)
    sent, got = ask(snapshot(step), b"GET / HTTP/1.1\r\nHost: h\r\n" + fields + b"\r\n")
    if not sent:
        assert got.startswith(b"HTTP/1.1 403 ")
        assert got.endswith(b"\r\n\r\n" + BODY)
    return bool(sent)


def step(*hosts: str, admits: bool = True, bypass: bool = False) -> _core.Step:
    return _core.RefererRestrictionStep(hosts, admits=admits, bypass_missing=bypass, body=BODY)


def model(host: str, hosts: list[str]) -> bool:
    return any(host.endswith(each[1:]) if each.startswith("*") else host == each for each in hosts)


NAMES = st.lists(st.sampled_from(["a", "b", "ab", "ba", "c"]), min_size=1, max_size=4).map(".".join)
LISTS = st.lists(st.tuples(st.sampled_from(["", "*", "*."]), NAMES).map("".join), max_size=6)


@given(NAMES, LISTS)
def test_lists_as_the_model_has_them(host: str, hosts: list[str]) -> None:
    inside = model(host, hosts)
    assert passes(step(*hosts), f"http://{host.upper()}:8080/x") is inside
    assert passes(step(*hosts, admits=False), f"https://{host}") is not inside


def test_a_long_list_is_searched() -> None:
    hosts = [f"h{i}.test" for i in range(10_000)] + [f"*.s{i}.test" for i in range(10_000)]
    assert passes(step(*hosts), "http://h9999.test/")
    assert passes(step(*hosts), "http://x.s9999.test/")
    assert not passes(step(*hosts), "http://s9999.test/")


def test_what_is_no_url_is_none() -> None:
    for text in ("", "a", "http:/a", "http://", "http://a b/", "http://a@b", "http://[::1", "http://" + "a" * 500):
        assert not passes(step("*"), text)
        assert not passes(step("x", admits=False), text)
        assert passes(step("x", bypass=True), text)
    assert passes(step("a"), "nothing", "http://a/")
    assert not passes(step("a"), "http://a/", "http://b/")
