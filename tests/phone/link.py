"""The phone's end of the wire: UDP, TCP and TLS (RFC 3261 section 18)."""

import asyncio
from collections.abc import Callable
import contextlib
import socket
import ssl
import struct
from typing import Protocol

from .wire import content_length

Address = tuple[str, int]
Receive = Callable[[bytes, Address], None]
Lost = Callable[[str], None]

MAX_DATAGRAM = 65_535  # bytes

# Seconds that anything may take that is sure to come: long, as the machine may be busy.
# Shorter than the 10 s after which a server gives up on connections.
PATIENCE = 8.0

# Turns of the event loop in which all has come that is under way within one process:
# what comes may be answered, and the answer too.
TURNS = 20


async def settle(seconds: float = 0.05) -> None:
    """Let what is under way within this process arrive.

    On a busy machine one sleep may be over before the loop has looked at its sockets
    more than once.
    """
    for _ in range(TURNS):
        await asyncio.sleep(seconds / TURNS)


class Link(Protocol):
    """A way to the server, open until `close`."""

    name: str
    """What stands in Via: UDP, TCP or TLS."""
    local: Address
    remote: Address

    def send(self, data: bytes) -> None:
        """Send one message (UDP: one datagram)."""

    async def close(self) -> None:
        """Close it; nothing is received any more."""


async def open_link(
    transport: str,
    server: Address,
    *,
    local: Address | None,
    tls: ssl.SSLContext | None,
    receive: Receive,
    lost: Lost,
) -> Link:
    """Open a link to the server; raises OSError where that fails.

    `receive` gets each message with the address it came from, `lost` the reason when
    the server closes the connection.
    """
    remote = await _resolve(server, transport)
    if transport == "udp":
        return UdpLink(local or (_route_to(remote), 0), remote, receive)
    if transport not in ("tcp", "tls"):
        raise ValueError(f"transport is udp, tcp or tls, not {transport!r}")
    context = (tls or ssl.create_default_context()) if transport == "tls" else None
    reader, writer = await asyncio.open_connection(
        *remote,
        ssl=context,
        server_hostname=server[0] if context else None,
        local_addr=local,
    )
    return StreamLink(transport.upper(), reader, writer, receive, lost)


class UdpLink:
    """An unconnected UDP socket, so that answers from anywhere are seen."""

    name = "UDP"

    def __init__(self, local: Address, remote: Address, receive: Receive) -> None:
        """Bind the socket and begin to listen."""
        self.remote = remote
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in remote[0] else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.bind(local)
        except OSError:
            self._socket.close()
            raise
        self.local: Address = self._socket.getsockname()[:2]
        self._loop.add_reader(self._socket, self._readable)

    def send(self, data: bytes) -> None:
        """Send a datagram to the server."""
        self._socket.sendto(data, self.remote)

    async def close(self) -> None:
        """Close the socket."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()

    def _readable(self) -> None:
        with contextlib.suppress(OSError):
            data, source = self._socket.recvfrom(MAX_DATAGRAM)
            self._receive(data, source[:2])


class StreamLink:
    """A TCP or TLS connection that frames messages by their Content-Length."""

    def __init__(
        self,
        name: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        receive: Receive,
        lost: Lost,
    ) -> None:
        """Take an open connection over."""
        self.name = name
        self.local: Address = writer.get_extra_info("sockname")[:2]
        self.remote: Address = writer.get_extra_info("peername")[:2]
        self.pongs = 0
        """Single CR LFs received: answers to a keep-alive (RFC 5626 section 4.4.1)."""
        self._writer = writer
        self._receive = receive
        self._lost = lost
        self._buffer = b""
        self._task = asyncio.create_task(self._read(reader))

    def send(self, data: bytes) -> None:
        """Write bytes to the stream."""
        self._writer.write(data)

    async def close(self) -> None:
        """Close the connection."""
        self._task.cancel()
        self._writer.close()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await self._task
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    def share_port(self) -> None:
        """Let another socket listen on the port that the connection comes from."""
        self._set_option(socket.SO_REUSEADDR, 1)

    def reset(self) -> None:
        """Break the connection off, as a phone does that starts anew (TCP RST)."""
        self._set_option(socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._task.cancel()
        self._writer.transport.abort()

    def _set_option(self, option: int, value: int | bytes) -> None:
        sock: socket.socket = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, option, value)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        reason = "the server closed the connection"
        try:
            while data := await reader.read(MAX_DATAGRAM):
                self._buffer += data
                while message := self._next_message():
                    self._receive(message, self.remote)
        except OSError as error:
            reason = f"the connection broke: {error}"
        self._lost(reason)

    def _next_message(self) -> bytes | None:
        while self._buffer.startswith(b"\r\n"):
            self._buffer = self._buffer[2:]
            self.pongs += 1
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        length = content_length(head + separator) or 0
        if not separator or len(rest) < length:
            return None
        self._buffer = rest[length:]
        return head + separator + rest[:length]


async def _resolve(server: Address, transport: str) -> Address:
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(*server, type=kind)
    host, port = found[0][4][:2]
    return str(host), int(port)


def _route_to(remote: Address) -> str:
    """Return the local address that the system would use to reach the server."""
    family = socket.AF_INET6 if ":" in remote[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(remote)
        return str(probe.getsockname()[0])
