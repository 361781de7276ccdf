"""Names of header fields: every known name in every spelling, every other name in none.

Owns: the field room.
"""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgw import _core

# In the order of FieldId; 0 is any other name.
NAMES = [
    "host", "content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection",
    "proxy-authenticate", "proxy-authorization", "te", "trailer", "upgrade", "http2-settings", "expect",
    "authorization", "cookie", "content-type", "user-agent", "referer", "server", "date", "forwarded",
    "x-real-ip", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port",
    "x-consumer-username", "x-credential-identifier", "x-consumer-custom-id", "x-request-id",
    "max-forwards", "x-apisix-upstream-status", "traceparent", "tracestate",
]  # fmt: skip
IDS = {name: number for number, name in enumerate(NAMES, 1)}
OTHER, X_FORWARDED_OTHER, X_CONSUMER_OTHER = 0, len(NAMES) + 1, len(NAMES) + 2
PREFIXES = {"x-forwarded-": X_FORWARDED_OTHER, "x-consumer-": X_CONSUMER_OTHER}
TCHAR = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def oracle(name: str) -> tuple[int, bool]:
    lower = re.sub(r"[^a-z0-9]", "-", name.lower())
    prefixed = [found for prefix, found in PREFIXES.items() if lower.startswith(prefix) and lower != prefix]
    known = IDS.get(lower, prefixed[0] if prefixed else OTHER)
    return known, lower != name.lower()


@pytest.mark.parametrize("name", NAMES)
def test_known_name_in_every_spelling(name):
    for spelling in (name, name.upper(), name.title()):
        assert _core._test_field_id(spelling.encode()) == (IDS[name], False)
    for separator in "_.~":
        if "-" in name:
            assert _core._test_field_id(name.replace("-", separator).encode()) == (IDS[name], True)


@pytest.mark.parametrize("name", NAMES)
def test_nearly_known_name(name):
    for other in (name + "s", name[:-1], name + "-", "-" + name, name[::-1]):
        assert _core._test_field_id(other.encode()) == oracle(other)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("X-Forwarded-Prefix", (X_FORWARDED_OTHER, False)),
        ("x_forwarded_client_cert", (X_FORWARDED_OTHER, True)),
        ("x-forwarded-" + "y" * 100, (X_FORWARDED_OTHER, False)),
        ("X-Consumer-Groups", (X_CONSUMER_OTHER, False)),
        ("x_consumer_id", (X_CONSUMER_OTHER, True)),
        ("X-Consumer-Username-", (X_CONSUMER_OTHER, False)),
        ("x-consumer-" + "y" * 100, (X_CONSUMER_OTHER, False)),
        ("x-consumer-", (OTHER, False)),
        ("x-consumers", (OTHER, False)),
        ("x-forwarded-", (OTHER, False)),
        ("x-forwarded", (OTHER, False)),
        ("a", (OTHER, False)),
        ("a" * 1000, (OTHER, False)),
        ("x-" * 500 + "_", (OTHER, True)),
    ],
)
def test_other_names(name, expected):
    assert _core._test_field_id(name.encode()) == expected


@pytest.mark.parametrize("name", [b"", b"a b", b"host\x85", b"host:", b"h\xc3\xb6st", b"\x00", b'"host"'])
def test_no_token_has_no_id(name):
    assert _core._test_field_id(name)[0] == OTHER


@settings(deadline=None)
@given(
    st.text(TCHAR, min_size=1, max_size=40)
    | st.sampled_from(NAMES)
    | st.builds(str.__add__, st.sampled_from([*PREFIXES]), st.text(TCHAR))
)
def test_as_the_oracle(name):
    assert _core._test_field_id(name.encode()) == oracle(name)
