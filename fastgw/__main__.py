"""`python -m fastgw`: the same as the command `fastgw`."""

import sys

from fastgw.cli import main

if __name__ == "__main__":
    sys.exit(main())
