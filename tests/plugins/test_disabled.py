"""`_meta.disable` from outside: on a credential it ends it, on a layer of the merge order it switches the plugin off there."""

import base64
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from fastgw.tokens import make
from tests.plugins.mirror import Answer, ask, consumer, mirror
from tests.support.gateway import Gateway
from tests.support.wire import Address

SECRET = "a-secret-for-tests-only-0123456789"
OFF = {"_meta": {"disable": True}}
Conf = dict[str, Any]

# ---- on credentials ------------------------------------------------------------------------------

BASIC = base64.b64encode(b"kimu:kimp").decode()
PROOFS: dict[str, tuple[Conf, str]] = {
    "key-auth": ({"key": "kim-key"}, "apikey: kim-key"),
    "basic-auth": ({"username": "kimu", "password": "kimp"}, f"Authorization: Basic {BASIC}"),
    "jwt-auth": ({"key": "kim", "secret": SECRET}, f"Authorization: {make({'key': 'kim'}, SECRET.encode(), 'HS256')}"),
}


def guarded(upstream: Address, *consumers: Conf, **confs: Conf) -> Conf:
    """A route per auth plugin, `/<plugin>`; confs of theirs by name with `_` for `-`."""
    node = {"type": "roundrobin", "nodes": {str(upstream): 1}}
    routes = [
        {"id": name, "uri": f"/{name}", "upstream": node, "plugins": {name: confs.get(name.replace("-", "_"), {})}}
        for name in PROOFS
    ]
    return {"consumers": list(consumers), "routes": routes, "workers": 2}


@pytest.mark.parametrize("plugin", PROOFS)
def test_a_disabled_credential_lets_nobody_in(directory: Path, plugin: str) -> None:
    conf, field = PROOFS[plugin]
    with mirror() as upstream, Gateway(directory, guarded(upstream.address, {"username": "kim"})) as gateway:
        for id_ in ("consumers/kim/credentials/c", "consumers/kim"):
            fixed = {"username": "kim"} if id_ == "consumers/kim" else {}
            for state, status in (({}, 200), (OFF, 401), ({"_meta": {"disable": False}}, 200), (OFF, 401)):
                gateway.put(id_, {**fixed, "plugins": {plugin: {**conf, **state}}})
                for _ in range(4):  # a token that was found good is remembered, in each worker
                    answer = ask(gateway, f"/{plugin}", field)
                    assert (answer.status, "X-Consumer-Username: kim\r\n" in answer.sent) == (status, status == 200)
            if id_ != "consumers/kim":  # its key stays its own while it is off
                assert gateway.api("PUT", "consumers/kim", {**fixed, "username": "kim", "plugins": {plugin: conf}}).status == 400
                assert gateway.api("DELETE", id_).status == 200


def test_a_disabled_credential_may_even_be_wrong_and_does_not_go_on_with_its_old_conf(directory: Path) -> None:
    kim = consumer("kim", ("k", {"key-auth": {"key": "kim-key"}}))
    with mirror() as upstream, Gateway(directory, guarded(upstream.address, kim)) as gateway:
        assert ask(gateway, "/key-auth", "apikey: kim-key").status == 200
        for wrong in (OFF, {**OFF, "key": 5}, {**OFF, "key": "kim-key", "x": []}):
            gateway.put("consumers/kim/credentials/k", {"plugins": {"key-auth": wrong}})
            assert ask(gateway, "/key-auth", "apikey: kim-key").status == 401
        assert "did not compile" not in gateway.log()


def test_a_credential_disabled_in_the_file_is_none_from_the_start(directory: Path) -> None:
    kim = consumer("kim", ("k", {"key-auth": {"key": "kim-key", **OFF}}))
    lee = consumer("lee", plugins={"key-auth": {"key": "lee-key", **OFF}, "basic-auth": PROOFS["basic-auth"][0]})
    with mirror() as upstream, Gateway(directory, guarded(upstream.address, kim, lee)) as gateway:
        for key in ("kim-key", "lee-key"):
            assert ask(gateway, "/key-auth", f"apikey: {key}").body == b'{"message":"Invalid API key in request"}\n'
        assert ask(gateway, "/basic-auth", PROOFS["basic-auth"][1]).status == 200


@pytest.mark.parametrize("plugin", PROOFS)
def test_who_has_no_credential_in_use_is_the_anonymous_consumer_or_nobody(directory: Path, plugin: str) -> None:
    conf, field = PROOFS[plugin]
    kim = consumer("kim", ("c", {plugin: {**conf, **OFF}}))
    for name, status in (("guest", 200), ("gone", 401)):
        place = directory / name
        place.mkdir()
        route = {plugin.replace("-", "_"): {"anonymous_consumer": name}}
        with mirror() as upstream, Gateway(place, guarded(upstream.address, kim, {"username": "guest"}, **route)) as gateway:
            answer = ask(gateway, f"/{plugin}", field)
            assert (answer.status, "X-Consumer-Username: guest\r\n" in answer.sent) == (status, status == 200)
            if status == 200:  # and once that consumer is no more, nobody gets in
                gateway.put("consumers/late", {"username": "late"})
                late = {
                    **gateway.config["routes"][list(PROOFS).index(plugin)],
                    "plugins": {plugin: {"anonymous_consumer": "late"}},
                }
                gateway.put(f"routes/{plugin}", late)
                assert "X-Consumer-Username: late\r\n" in ask(gateway, f"/{plugin}").sent
                assert gateway.api("DELETE", "consumers/late").status == 200
                assert (ask(gateway, f"/{plugin}").status, ask(gateway, f"/{plugin}", field).status) == (401, 401)


# ---- in the merge order --------------------------------------------------------------------------

LAYERS = ("consumer", "consumer_group", "route", "plugin_config", "service")  # the higher first
PAIRS = tuple(combinations(LAYERS, 2))


def limit(layer: str) -> Conf:
    """A limit that tells whose it is."""
    return {"count": 100 + LAYERS.index(layer), "time_window": 60}


def merged(upstream: Address, name: str, confs: dict[str, dict[str, Conf]]) -> dict[str, list[Conf]]:
    """A route `/<name>` with a key and all layers around it, and what plugins each of them has."""
    have = {layer: confs.get(layer, {}) for layer in LAYERS}
    node = {"type": "roundrobin", "nodes": {str(upstream): 1}}
    route = {"id": name, "uri": f"/{name}", "service_id": name, "plugin_config_id": name}
    return {
        "services": [{"id": name, "upstream": node, "plugins": have["service"]}],
        "plugin_configs": [{"id": name, "plugins": have["plugin_config"]}],
        "routes": [{**route, "plugins": {"key-auth": {}, **have["route"]}}],
        "consumer_groups": [{"id": name, "plugins": have["consumer_group"]}],
        "consumers": [consumer(name, ("c", {"key-auth": {"key": name}}), group_id=name, plugins=have["consumer"])],
    }


def joined(*parts: dict[str, list[Conf]], **more: Any) -> Conf:
    lists: Conf = {}
    for part in parts:
        for kind, objects in part.items():
            lists.setdefault(kind, []).extend(objects)
    return {**lists, **more}


def of(gateway: Gateway, name: str) -> Answer:
    answer = ask(gateway, f"/{name}", f"apikey: {name}")
    assert answer.status == 200
    return answer


def test_of_each_two_layers_the_higher_one_says_whether_the_plugin_runs(directory: Path) -> None:
    parts, expected = [], {}
    with mirror() as upstream:
        for number, (high, low) in enumerate(PAIRS):
            confs = {layer: {"limit-count": limit(layer)} for layer in (high, low)}
            for which, runs in ((high, None), (low, limit(high)["count"]), (None, limit(high)["count"])):
                name = f"p{number}-{which or 'none'}".replace("_", "-")
                state = {**confs, which: {"limit-count": {**limit(which), **OFF}}} if which else confs
                parts.append(merged(upstream.address, name, state))
                expected[name] = runs
        with Gateway(directory, joined(*parts)) as gateway:
            found = {name: of(gateway, name).header("X-RateLimit-Limit") for name in expected}
    assert found == {name: [] if count is None else [str(count)] for name, count in expected.items()}


def test_all_layers_disabled_but_the_lowest_and_a_third_between_two(directory: Path) -> None:
    off = {"limit-count": OFF}
    with mirror() as upstream:
        part = [
            merged(upstream.address, "lowest", {**dict.fromkeys(LAYERS, off), "service": {"limit-count": limit("service")}}),
            merged(upstream.address, "between", {"consumer": {"limit-count": limit("consumer")}, "route": off, "service": off}),
        ]
        with Gateway(directory, joined(*part)) as gateway:
            assert of(gateway, "lowest").header("X-RateLimit-Limit") == []
            assert of(gateway, "between").header("X-RateLimit-Limit") == ["100"]


@pytest.mark.parametrize("layer", ["consumer", "consumer_group"])
def test_the_winner_is_the_winner_in_phases_for_which_it_has_no_step(directory: Path, layer: str) -> None:
    """The route's rewrite ran before anybody knew the consumer; what comes later is as the consumer's configuration has it."""
    route = {"request-id": {}, "ip-restriction": {"blacklist": ["127.0.0.0/8"]}}
    ip_off = {"ip-restriction": OFF}
    with mirror() as upstream:
        parts = [
            merged(upstream.address, "on", {"route": {"request-id": {}}}),
            merged(upstream.address, "off", {"route": route, layer: {"request-id": OFF, **ip_off}}),
            merged(upstream.address, "silent", {"route": route, layer: {"request-id": {"include_in_response": False}, **ip_off}}),
        ]
        with Gateway(directory, joined(*parts)) as gateway:
            for name, told in (("on", 1), ("off", 0), ("silent", 0)):
                answer = of(gateway, name)
                assert ("X-Request-Id: " in answer.sent, len(answer.header("X-Request-Id"))) == (True, told)


def test_a_plugin_of_the_consumer_alone_runs_unless_it_is_disabled(directory: Path) -> None:
    own = {"request-id": {"header_name": "X-Own"}}
    with mirror() as upstream:
        parts = [
            merged(upstream.address, "own", {"consumer": own}),
            merged(upstream.address, "own-off", {"consumer": {"request-id": {"header_name": "X-Own", **OFF}}}),
            merged(upstream.address, "group-off", {"consumer": own, "consumer_group": {"request-id": OFF}}),
            merged(upstream.address, "over-group", {"consumer": {"request-id": OFF}, "consumer_group": own}),
        ]
        with Gateway(directory, joined(*parts)) as gateway:
            found = {name: "X-Own: " in of(gateway, name).sent for name in ("own", "own-off", "group-off", "over-group")}
    assert found == {"own": True, "own-off": False, "group-off": True, "over-group": False}


def test_a_disabled_auth_plugin_asks_nobody_and_nobody_is_set(directory: Path) -> None:
    """The route's word over the service's, as for any plugin; forged identity is dropped there as everywhere."""
    with mirror() as upstream:
        open_ = merged(upstream.address, "open", {"service": {"key-auth": {}}})
        open_["routes"][0]["plugins"] = {"key-auth": OFF}
        shut = merged(upstream.address, "shut", {"service": {"key-auth": OFF}})
        # What a consumer or its group says of an auth plugin comes too late: who it is has been found out by then.
        late = merged(upstream.address, "late", {"consumer_group": {"key-auth": OFF}})
        with Gateway(directory, joined(open_, shut, late)) as gateway:
            anybody = ask(gateway, "/open", "X-Consumer-Username: root", "apikey: shut")
            assert (anybody.status, "X-Consumer-Username" in anybody.sent) == (200, False)
            for name in ("shut", "late"):
                assert ask(gateway, f"/{name}").status == 401
                assert f"X-Consumer-Username: {name}\r\n" in of(gateway, name).sent


def test_global_rules_and_routes_do_not_switch_each_other_off(directory: Path) -> None:
    live, off = {"limit-count": limit("route")}, {"limit-count": OFF}
    with mirror() as upstream:
        route = merged(upstream.address, "r", {"route": live})
        # Both count where both are live; of the lines that tell of it the later ones stand, as in APISIX.
        for rule, of_route, told in ((off, live, 1), (live, off, 1), (off, off, 0), (live, live, 1)):
            place = directory / f"{rule is live}-{of_route is live}"
            place.mkdir()
            route["routes"][0]["plugins"] = {"key-auth": {}, **of_route}
            with Gateway(place, joined(route, global_rules=[{"id": "g", "plugins": rule}])) as gateway:
                assert len(of(gateway, "r").header("X-RateLimit-Limit")) == told
