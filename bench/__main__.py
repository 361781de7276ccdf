"""`python -m bench`: hands the command line to bench.cli, or to a tool that looks at fastgw alone and has its own."""

import sys
from importlib import import_module

from bench.cli import main
from bench.process import BenchError

ALONE = {"flame": "bench.flame", "instructions": "bench.instructions", "micro": "bench.micro.table"}


def run(arguments: list[str]) -> int:
    """The exit status."""
    if not arguments or arguments[0] not in ALONE:
        return main(arguments)
    try:
        status: int = import_module(ALONE[arguments[0]]).main(arguments[1:])
        return status
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
