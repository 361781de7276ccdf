"""The client of other servers where no gateway can show it: who gives up at the moment of the answer."""

import asyncio

import pytest

from fastgw import http_client


def test_a_connection_is_not_lost_with_whoever_gives_up_as_the_answer_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither put back nor closed it would stand open for as long as the other server likes."""

    async def main() -> None:
        gone = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            try:
                assert await reader.read() == b""
            except ConnectionError:
                pass
            gone.set()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        client = http_client.Client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", timeout=9)
        whole = http_client._Connection._finish

        def finish(connection: http_client._Connection) -> None:
            whole(connection)
            task.cancel()

        monkeypatch.setattr(http_client._Connection, "_finish", finish)
        task = asyncio.create_task(client._exchange(client._head("GET", [], None), http_client._Seen()))
        with pytest.raises(asyncio.CancelledError):
            await task
        assert client._free == []
        await asyncio.wait_for(gone.wait(), 9)
        server.close()

    asyncio.run(main())
