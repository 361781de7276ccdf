"""The flame graph's pure parts: perf's samples to stacks, stacks to a picture."""

from collections import Counter
from xml.etree import ElementTree

import pytest

from bench import flame

CORE = "/x/_core.cpython-311-x86_64-linux-gnu.so"
SCRIPT = f"""\
fastgw: worker
\tffffffff81a tcp_sendmsg ([kernel.kallsyms])
\t    7f10001 __send (/usr/lib/libc.so.6)
\t    7f10002 __pyx_f_6fastgw_5_core_answer_body.isra.0 ({CORE})
\t    7f10003 __pyx_pw_6fastgw_5_core_7Reactor_5drain ({CORE})
\t    7f10004 uv__io_poll (/x/uvloop/loop.so)
\t    7f10005 [unknown] ([unknown])

fastgw: worker
\tffffffff81b ep_poll ([kernel.kallsyms])
\t    7f10006 uv__io_poll (/x/uvloop/loop.so)
\t    7f10007 main (/x/python3.11)
"""
BUSY = (
    ("event loop", "Python, uvloop"),
    ("drain", "the core"),
    ("answer_body", "the core"),
    ("__send", "libc"),
    ("tcp_sendmsg", "kernel"),
)
IDLE = (("event loop", "Python, uvloop"), ("uv__io_poll", "Python, uvloop"), ("ep_poll", "kernel"))


def test_samples_become_stacks_from_the_core_on() -> None:
    assert list(flame.stacks(SCRIPT.splitlines())) == [BUSY, IDLE]


def test_shares_are_those_of_the_innermost_functions() -> None:
    assert flame.shares(Counter({BUSY: 3, BUSY[:3]: 1})) == pytest.approx(
        {"kernel": 0.75, "the core": 0.25, "Python, uvloop": 0, "libc": 0}
    )


def test_the_picture_holds_every_frame_once() -> None:
    drawn = ElementTree.fromstring(flame.picture(Counter({BUSY: 3, IDLE: 1}), "a & b"))
    titles = [one.text for one in drawn.iter("{http://www.w3.org/2000/svg}title")]
    assert titles == [
        "event loop (Python, uvloop), 100.00%",
        "drain (the core), 75.00%",
        "answer_body (the core), 75.00%",
        "__send (libc), 75.00%",
        "tcp_sendmsg (kernel), 75.00%",
        "uv__io_poll (Python, uvloop), 25.00%",
        "ep_poll (kernel), 25.00%",
    ]
