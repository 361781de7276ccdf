"""`python -m bench`: hands the command line to bench.cli."""

import sys

from bench.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
