"""A phone's end that waits for connections, for what the server opens itself."""

import asyncio
from typing import Self

from tests.phone import PATIENCE, Request, Response, parse
from tests.phone.link import Address, StreamLink


class ListeningPeer:
    """Takes TCP connections and keeps the messages that come over them."""

    def __init__(self, *, silent: bool = False) -> None:
        """Use `ListeningPeer.open`."""
        self._silent = silent
        self.links: list[StreamLink] = []
        self._messages: asyncio.Queue[tuple[bytes, StreamLink]] = asyncio.Queue()
        self._server: asyncio.Server | None = None
        self.port = 0

    @classmethod
    async def open(
        cls, *, silent: bool = False, host: str = "127.0.0.1", port: int = 0
    ) -> Self:
        """Listen on an address, port 0 is any free one; a silent one answers nothing."""
        peer = cls(silent=silent)
        peer._server = await asyncio.start_server(peer._accept, host, port)
        peer.port = peer._server.sockets[0].getsockname()[1]
        return peer

    async def __aenter__(self) -> Self:
        """Use the peer for a while."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close everything."""
        for link in self.links:
            await link.close()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def connected(self) -> None:
        """Wait for the first connection."""
        async with asyncio.timeout(PATIENCE):
            while not self.links:
                await asyncio.sleep(0)

    @property
    def is_silent(self) -> bool:
        """Whether no message waits to be taken."""
        return self._messages.empty()

    async def next_request(self) -> Request:
        """Return the next message, which must be a request, and answer it with 200."""
        data, link = await asyncio.wait_for(self._messages.get(), PATIENCE)
        request = parse(data)
        assert isinstance(request, Request)
        if not self._silent:
            link.send(request.response(200).encode())
        return request

    async def next_response(self) -> Response:
        """Return the next message, which must be a response."""
        data, _ = await asyncio.wait_for(self._messages.get(), PATIENCE)
        response = parse(data)
        assert isinstance(response, Response)
        return response

    async def _accept(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        def received(data: bytes, _: Address) -> None:
            self._messages.put_nowait((data, link))

        link = StreamLink("TCP", reader, writer, received, lambda _: None)
        self.links.append(link)
