#!/usr/bin/env python3
"""Bare asyncio: what comes is sent back, and nothing else is done.

The floor under any server on asyncio. `protocol` is asyncio's datagram endpoint, one
datagram a turn of the event loop; `reader` takes bursts straight from the socket, as
the integration does. Prints `ready` when it listens on 127.0.0.1.
"""

import argparse
import asyncio
import socket
from typing import cast, override

# Datagrams taken in one go, and the largest there is, in octets.
BURST = 32
MAX_DATAGRAM = 65_535


class Echo(asyncio.DatagramProtocol):
    """Sends each datagram back."""

    _transport: asyncio.DatagramTransport

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    @override
    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(data, addr)


def read_burst(sock: socket.socket) -> None:
    """Send back what is there, up to a burst."""
    try:
        for _ in range(BURST):
            sock.sendto(*sock.recvfrom(MAX_DATAGRAM))
    except BlockingIOError:
        return


async def serve(port: int, way: str) -> None:
    """Serve until the process is ended."""
    loop = asyncio.get_running_loop()
    if way == "protocol":
        await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", port))
    else:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", port))
        sock.setblocking(False)
        loop.add_reader(sock.fileno(), read_burst, sock)
    print("ready", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--way", choices=("protocol", "reader"), default="protocol")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.port, arguments.way))


if __name__ == "__main__":
    main()
