"""Plugins of users taken in anew at a reload: all or nothing, without a request lost, in every process."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.mirror import ask, mirror
from tests.plugins.own import package, routes, source, write
from tests.support.control import ask as control_ask
from tests.support.gateway import Gateway
from tests.support.processes import ROOT
from tests.support.waiting import until
from tests.support.wire import Address


def version(number: int, *, name: str = "versioned", conf: str = "    pass") -> str:
    body = f'    def header_filter(self, conf, request):\n        request.set_response_header("X-Version", "{number}")\n'
    return source(name, body, phases='("header_filter",)', conf=conf)


def said_version(gateway: Gateway, path: str = "/a") -> list[str]:
    answer = ask(gateway, path)
    assert answer.status == 200
    return answer.header("X-Version")


def test_a_changed_file_is_in_force_without_a_request_lost(directory: Path) -> None:
    files = write(directory, versioned=version(1), other=version(7, name="other"))
    with mirror() as upstream:
        config = {
            "plugins_dir": str(files),
            "workers": 2,
            "routes": routes(upstream.address, a={"versioned": {}}, b={"other": {}}),
        }
        with Gateway(directory, config) as gateway:
            seen: list[str] = []
            lost: list[BaseException] = []
            stop = threading.Event()

            def keep_asking() -> None:
                try:
                    while not stop.is_set():
                        seen.extend(said_version(gateway))
                except BaseException as error:
                    lost.append(error)

            asking = [threading.Thread(target=keep_asking) for _ in range(2)]
            for each in asking:
                each.start()
            try:
                for number in (2, 3):
                    before = gateway.workers()
                    write(directory, versioned=version(number))
                    said = gateway.reload()
                    assert "plugin versioned: taken in anew" in said
                    assert "plugin other" not in said
                    until(lambda was=before: not set(was) & set(gateway.workers()), "the old workers are gone")  # type: ignore[misc]
                    assert {*said_version(gateway), *said_version(gateway)} == {str(number)}
            finally:
                stop.set()
                for each in asking:
                    each.join()
            assert lost == []
            assert [number for at, number in enumerate(seen) if number not in seen[:at]] == ["1", "2", "3"]
            assert said_version(gateway, "/b") == ["7"]
            until(lambda: len(gateway.workers()) == 2, "no more workers than before")
            before = gateway.workers()
            assert "reloaded" in gateway.reload()  # nothing has changed
            assert gateway.workers() == before


def route(upstream: Address, **conf: Any) -> dict[str, Any]:
    """`/a`, as the Admin API takes it."""
    (made,) = routes(upstream, a={"versioned": conf})
    return {**made, "id": "api"}


BROKEN = {
    "syntax": ("x =\n", "line 1: SyntaxError: invalid syntax"),
    "raises": ("raise RuntimeError('no')\n", "line 1: RuntimeError: no"),
    "contract": (version(2).replace("header_filter(self", "header_filters(self"), "header_filter: missing, and in phases"),
    "leaves": ("import os\nos._exit(0)\n", "importing it ends the process with code 0"),
    "dies": ("import os\nos.kill(os.getpid(), 9)\n", "importing it ends the process by signal 9"),
    "hangs": ("import time\ntime.sleep(600)\n", "it takes longer than 5 s to import"),
    "another's name": (version(2, name="key-auth"), 'name: "key-auth" is that of a plugin of the gateway; expected another'),
    "needs more": (version(2, conf="    new: int"), "plugins.versioned.new: missing"),
}


def test_a_broken_one_is_refused_and_the_old_one_stays(directory: Path) -> None:
    files = write(directory, versioned=version(1))
    with mirror() as upstream:
        config = {"plugins_dir": str(files), "routes": routes(upstream.address, a={"versioned": {}})}
        with Gateway(directory, config) as gateway:
            workers = gateway.workers()
            for text, why in BROKEN.values():
                write(directory, versioned=text, second=version(5, name="second"))
                said = gateway.reload()
                assert why in said
                assert "reload refused: nothing was changed" in said
                assert (gateway.workers(), said_version(gateway)) == (workers, ["1"])
                assert b'"second"' not in gateway.api("GET", "plugins/list").body
            gateway.kill_worker(workers[0])  # its successor has what is in force, and not what lies there
            assert said_version(gateway) == ["1"]
            write(directory, versioned=version(2))
            assert "reloaded" in gateway.reload()
            assert said_version(gateway) == ["2"]
            assert b'"second"' in gateway.api("GET", "plugins/list").body


SOME_BROKEN = ("syntax", "contract", "dies", "needs more")


def asked(gateway: Gateway) -> tuple[int, str]:
    """PUT plugins/reload."""
    answer = gateway.api("PUT", "plugins/reload")
    return answer.status, answer.body.decode()


def refused(gateway: Gateway) -> str:
    status, body = asked(gateway)
    assert status == 400
    return str(json.loads(body)["error_msg"])


def test_the_admin_api_takes_in_what_the_files_say(directory: Path) -> None:
    files = write(directory, versioned=version(1))
    with mirror() as upstream:
        control = directory / "control.sock"
        config = {
            "plugins_dir": str(files),
            "workers": 2,
            "control": f"unix:{control}",
            "routes": routes(upstream.address, a={"versioned": {}}),
        }
        with Gateway(directory, config) as gateway:
            before = gateway.workers()
            assert asked(gateway) == (200, "done")  # nothing has changed
            assert gateway.workers() == before
            write(directory, versioned=version(2), second=version(5, name="second"))
            gateway.write_config({**config, "routes": []})  # only files of plugins are read
            assert asked(gateway) == (200, "done")
            # Every worker that takes requests has it, and whoever judges what is written.
            assert {*(said_version(gateway)[0] for _ in range(16))} == {"2"}
            gateway.put("routes/b", routes(upstream.address, b={"second": {}})[0] | {"id": "b"})
            assert said_version(gateway, "/b") == ["5"]
            until(lambda: not set(before) & set(gateway.workers()), "the old workers are gone")
            (entry,) = [each for each in json.loads(gateway.api("GET", "audit").body)["list"] if each["kind"] == "plugins"]
            assert [each["object"] for each in entry["changes"]] == ["plugins/second", "plugins/versioned"]
            write(directory, versioned=version(3))
            assert control_ask(control, "PUT", "/v1/plugins/reload")[:2] == (200, "done")
            assert {*(said_version(gateway)[0] for _ in range(16))} == {"3"}


def test_the_admin_api_names_what_is_broken_and_the_old_one_stays(directory: Path) -> None:
    files = write(directory, versioned=version(1), fixed=version(9, name="fixed"))
    with mirror() as upstream:
        config = {"plugins_dir": str(files), "routes": routes(upstream.address, a={"versioned": {}})}
        with Gateway(directory, config) as gateway:
            gateway.put("routes/c", routes(upstream.address, c={"fixed": {}})[0] | {"id": "c"})
            workers = gateway.workers()
            for what in SOME_BROKEN:
                text, why = BROKEN[what]
                write(directory, versioned=text, second=version(5, name="second"))
                said = refused(gateway)
                assert why in said
                assert "versioned.py: " in said or "config.json: routes.a.plugins.versioned" in said
                assert (gateway.workers(), said_version(gateway)) == (workers, ["1"])
                assert b'"second"' not in gateway.api("GET", "plugins/list").body
            write(directory, versioned=version(2), fixed=version(9, name="fixed", conf="    new: int"))
            assert "routes.c.plugins.fixed.new: missing" in refused(gateway)  # what the Admin API wrote
            # One that the Admin API hides may come back.
            gateway.put("routes/a", routes(upstream.address, a={"fixed": {}})[0])
            write(directory, versioned=version(2, conf="    new: int"), fixed=version(9, name="fixed"))
            assert "config.json: routes.a.plugins.versioned.new: missing" in refused(gateway)
            assert gateway.workers() == workers
            assert gateway.log().count("reload refused: nothing was changed") == len(SOME_BROKEN) + 2
            gateway.api("DELETE", "routes/a")
            gateway.kill_worker(workers[0])  # its successor has what is in force
            assert said_version(gateway) == ["1"]


def test_what_the_admin_api_wrote_must_fit_as_well(directory: Path) -> None:
    files = write(directory, versioned=version(1), fixed=version(9, name="fixed"))
    with mirror() as upstream, Gateway(directory, {"plugins_dir": str(files)}) as gateway:
        gateway.put("routes/api", route(upstream.address))
        (files / "versioned.py").unlink()
        assert "routes.api.plugins.versioned: unknown plugin" in gateway.reload()
        assert said_version(gateway) == ["1"]
        write(directory, versioned=version(2, conf="    at: int = 0"))
        assert "reloaded" in gateway.reload()
        assert said_version(gateway) == ["2"]
        # The Admin API judges by it from then on.
        wrong = gateway.api("PUT", "routes/api", route(upstream.address, at="x"))
        assert wrong.status == 400
        assert gateway.api("DELETE", "routes/api").status == 200
        (files / "versioned.py").unlink()
        assert "plugin versioned: taken in anew" in gateway.reload()
        assert json.loads(gateway.api("GET", "plugins/list").body).count("versioned") == 0


def test_one_that_comes_and_another_directory(directory: Path) -> None:
    files = write(directory, versioned=version(1))
    with mirror() as upstream:
        config = {"plugins_dir": str(files), "routes": routes(upstream.address, a={"versioned": {}})}
        with Gateway(directory, config) as gateway:
            write(directory, second=version(5, name="second"))
            both = {**config, "routes": routes(upstream.address, a={"versioned": {}}, b={"second": {}})}
            assert "reloaded" in gateway.reload(both)
            assert said_version(gateway, "/b") == ["5"]
            (directory / "elsewhere").mkdir()
            elsewhere = write(directory / "elsewhere", versioned=version(8))
            said = gateway.reload({**config, "plugins_dir": str(elsewhere)})
            assert "reloaded" in said
            assert said_version(gateway) == ["8"]
            said = gateway.reload({**config, "plugins_dir": str(directory / "nowhere")})
            assert "nowhere: cannot be read: No such file or directory" in said
            assert said_version(gateway) == ["8"]


def test_that_of_a_package_waits_for_the_next_start(directory: Path) -> None:
    site = package(directory, "versioning", version(1), "versioned = versioning:Own")
    with mirror() as upstream:
        config = {"routes": routes(upstream.address, a={"versioned": {}})}
        with Gateway(directory, config, env={"PYTHONPATH": f"{ROOT}:{site}"}) as gateway:
            (site / "versioning.py").write_text(version(2))
            workers = gateway.workers()
            assert "reloaded" in gateway.reload()
            assert (gateway.workers(), said_version(gateway)) == (workers, ["1"])


@pytest.mark.parametrize("work", ["pass", "raise SystemExit", "1 / 0"])
def test_work_that_ends_is_left_to_tell_what_it_raises(work: str) -> None:
    from fastgw.plugins.trial import ends

    assert ends(lambda: exec(work)) is None
