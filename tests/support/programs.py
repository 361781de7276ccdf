"""Programs from the system's packages that some tests drive for real."""

import os
import shutil

import pytest


def program(name: str) -> str:
    """The path of an installed program.

    Without it the test is skipped; where FASTGW_REQUIRE_PROGRAMS is set, it fails.
    """
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if path is None:
        missing = f"needs the program {name}"
        if os.environ.get("FASTGW_REQUIRE_PROGRAMS"):
            pytest.fail(missing)
        pytest.skip(missing)
    return path
