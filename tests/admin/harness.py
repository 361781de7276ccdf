"""Runs one real admin process on what the test that started it handed over: descriptors and a setup."""

import json
import logging
import os
import socket
import sys
from pathlib import Path

from fastgw._core import Region
from fastgw.admin.auth import Key
from fastgw.admin.process import Setup, run
from fastgw.schema.settings import Jwks, Limits, WrongKeys

logging.basicConfig(level=logging.INFO)
given = json.loads(sys.argv[1])
run(
    [socket.socket(fileno=fd) for fd in given["sockets"]],
    Region.attach(given["region"]),
    given["wakes"],
    given["ack"],
    Setup(
        database=Path(given["database"]),
        slot=0,
        wake=os.eventfd(0, os.EFD_NONBLOCK),
        asks=os.pipe2(os.O_NONBLOCK)[0],
        jwks=Jwks(),
        keys=[Key(*each) for each in given["keys"]],
        allow=given["allow"],
        source=given["source"],
        audit=Path(given["audit"]),
        audit_entries=given["audit_entries"],
        wrong_keys=WrongKeys(**given["wrong_keys"]),
        limits=Limits(),
        server_tokens=given["server_tokens"],
        body_bytes=given["body_bytes"],
    ),
)
