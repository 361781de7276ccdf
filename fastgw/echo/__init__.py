"""The echo upstream: a small HTTP/1.1 server that answers with what it was asked, in httpbin's shapes.

Owns: `fastgw echo`, and the built-in upstream of the config key `echo` (a child of the master).
Must not know: the gateway, its configuration, its processes.
"""

from fastgw.echo.replies import BLOCK_BYTES, block
from fastgw.echo.server import run, run_on, serve

__all__ = ["BLOCK_BYTES", "block", "run", "run_on", "serve"]
