"""Two upstream connections whose answers' heads come in turns, piece by piece: neither sees anything of the other."""

import pytest

from fastgw import _core

HEADS = [b"HTTP/1.1 200 OK\r\nA: %d\r\nContent-Length: 1\r\n\r\n%d" % (i, i) for i in range(2)]


@pytest.mark.parametrize("step", [1, 2, 5, 1000])
@pytest.mark.parametrize("early", [b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_heads_in_turns(step: int, early: bytes) -> None:
    pool = _core.Pool("192.0.2.10:80")
    pool.resolve("192.0.2.10", 80)
    upstream = _core.Upstream([(pool, 1, 0, b"192.0.2.10:80")])
    wire = _core.Wire(_core.Snapshot([(_core.Plan(b"r", _core.Steps([]), upstream), b"", b"/*")], {}, _core.Steps([])))
    for _ in range(3):  # the second time on pooled connections
        clients = [wire.open(), wire.open()]
        for client in clients:
            wire.push(client, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        ups = {}
        for i, side, is_open in wire.lines():
            if side == "up" and is_open and wire.pull(i):
                ups[len(ups)] = i
        answers = [early + head for head in HEADS]
        for at in range(0, max(map(len, answers)), step):
            for i, answer in enumerate(answers):
                if answer[at : at + step]:
                    wire.push(ups[i], answer[at : at + step])
        seen = sorted(wire.pull(client)[-1:] for client in clients)
        assert (seen, wire.active) == ([b"0", b"1"], 0)
