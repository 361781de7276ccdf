"""The core does not get dearer unnoticed: instructions per request, which no noise of the machine moves."""

import pytest

from bench import instructions
from fastgw import _core
from tests.support.programs import program

COMPARE = "python -m bench instructions --functions SCENARIO shows where they are; --save files what is meant to be"


@pytest.mark.timeout(300)  # about 10 s of processor time, under valgrind
def test_no_request_costs_more_than_what_is_filed() -> None:
    program("valgrind")
    if _core.BUILD != "release":
        pytest.skip(f"a {_core.BUILD} build says nothing about a release's instructions")
    before = instructions.filed()
    if before is None:
        pytest.skip(f"no figures are filed for {instructions.key()} (python -m bench instructions --save)")
    found = instructions.count()
    assert not instructions.grown(found, before), "\n".join([*instructions.grown(found, before), COMPARE])
    assert all(sum(one.rooms.values()) == pytest.approx(one.instructions) for one in found.values())
