"""The strip step: no client's copy of a header crosses, in no spelling; all else does."""

from hypothesis import given
from hypothesis import strategies as st

from fastgw import _core
from tests.support.core import TOKEN, ask, chain, john, snapshot, upstream


def test_every_spelling_is_dropped() -> None:
    snap = snapshot(_core.StripStep(["X-User", "X-Roles"]))
    fields = [
        "X-User: 1",
        "x-user: 2",
        "X_USER: 3",
        "x.user: 4",
        "X~Roles: 5",
        "X-User:",
        "X-Users: kept",
        "X-Use: kept",
        "XX-User: kept",
    ]
    sent, _ = ask(snap, "\r\n".join(["GET / HTTP/1.1", "Host: h", *fields, "", ""]).encode())
    for field in fields:
        assert (f"\r\n{field}".encode() in sent) == field.endswith("kept"), field


def test_no_names_and_no_fields() -> None:
    assert b"X-User: 1\r\n" in ask(snapshot(_core.StripStep([])), b"GET / HTTP/1.1\r\nHost: h\r\nX-User: 1\r\n\r\n")[0]
    assert ask(snapshot(_core.StripStep(["X-User"])), b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")[0]


@given(st.lists(st.sampled_from(["X-User", "x_user", "X-Userx", "x-USER", "Accept"]), max_size=8))
def test_what_crosses_is_what_has_another_name(names: list[str]) -> None:
    lines = [f"{name}: value-{i}" for i, name in enumerate(names)]
    sent, _ = ask(snapshot(_core.StripStep(["X-User"])), "\r\n".join(["GET / HTTP/1.1", "Host: h", *lines, "", ""]).encode())
    kept = [line for line in lines if line.partition(":")[0].lower().replace("_", "-") != "x-user"]
    found = [line for line in sent.decode().split("\r\n") if ": value-" in line]
    assert found == kept


def test_a_consumers_plugin_strips_also_where_the_route_has_the_same_plugin() -> None:
    """In `access` the consumer's configuration replaces the route's: then its headers are the ones to be taken."""
    own = john((2**31 - 1, _core.StripStep(["X-Team"])), number=7)
    nothing = _core.PythonStep("other", "access", lambda conf, request: None, None)
    plan = _core.Plan(b"r", _core.Steps([(7, 0, nothing), (8, 1, _core.JwtAuthStep())]), upstream())
    snap = _core.Snapshot([(plan, b"", b"/*")], {"jwt": [own]}, chain())
    sent, _ = ask(snap, b"GET / HTTP/1.1\r\nHost: h\r\nX-Team: admin\r\nAuthorization: " + TOKEN + b"\r\n\r\n")
    assert b"X-Consumer-Username: john\r\n" in sent
    assert b"X-Team" not in sent
