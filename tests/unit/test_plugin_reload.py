"""The line on which plugins are asked to be read anew: who is told what, and that nobody waits for ever."""

import asyncio

from fastgw.plugin_reload import MOST_FAULTS, MOST_TEXT, Asking, Line, Outcome, Waiting


def told(*outcomes: Outcome, settle: str | None = None) -> list[Outcome]:
    """What those are told who ask at once, of whom the master makes this."""

    async def ask() -> list[Outcome]:
        line, left = Line(), list(outcomes)
        waiting, asking = Waiting(line.master, lambda: left.pop(0)), Asking(line.admin)
        line.admin.send(b"of a process that is gone")
        waiting.on_asked(0)
        every = [asyncio.ensure_future(asking.ask()) for _ in outcomes[1:]]
        await asyncio.sleep(0)
        for _ in every:
            waiting.on_asked(0)
        waiting.on_asked(0)  # nothing there
        waiting.settle(settle)
        found = await asyncio.gather(*every)
        asking.stop()
        line.master.close()
        line.admin.close()
        return list(found)

    return asyncio.run(ask())


def test_everyone_is_told_his_own() -> None:
    done, refused = Outcome(changed={"a.py": "a"}), Outcome(faults=("a.py: line 1",))
    assert told(done, done, refused, Outcome(busy="ending")) == [done, refused, Outcome(busy="ending")]
    assert told(done, done, settle="not yet") == [Outcome(changed={"a.py": "a"}, busy="not yet")]


def test_many_long_faults_fit_into_one_message() -> None:
    (found,) = told(Outcome(), Outcome(faults=("\x00" * 10_000,) * 500))
    assert found.faults == (*("\x00" * MOST_TEXT,) * MOST_FAULTS, f"and {500 - MOST_FAULTS} more")


def test_a_master_that_is_gone_is_told_and_read_once() -> None:
    async def ask() -> Outcome:
        line = Line()
        asking = Asking(line.admin)
        line.master.close()
        await asyncio.sleep(0)
        found = await asking.ask()
        line.admin.close()
        return found

    assert asyncio.run(ask()).busy == "the master cannot be asked: Broken pipe"


def test_without_a_master_there_is_nothing_to_read() -> None:
    async def ask() -> Outcome:
        return await Asking(None).ask()

    assert asyncio.run(ask()) == Outcome()
