"""A little server whose judgements are native: one line per request, "<key> <token>", one status per answer.

python setup.py build_ext --inplace && python server.py 127.0.0.1 8001
"""

import asyncio
import sys
import time

from guard import Guard

from fastgw.core import JWTVerifier, Key, Limiter, Table

SECRET = b"a-secret-of-at-least-thirty-two-bytes"


def guard(table: Table) -> Guard:
    return Guard(Limiter(table, "requests", count=2, window=30), JWTVerifier(Key("HS256", SECRET)))


async def main(host: str, port: int) -> None:
    judge = guard(Table.create())

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            key, _, token = line.strip().partition(b" ")
            writer.write(b"%d\n" % judge.ask(key, token, int(time.time())))
        writer.close()

    async with await asyncio.start_server(serve, host, port) as server:
        print("serving", *server.sockets[0].getsockname(), flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
