"""A bad network: datagrams are lost, doubled and overtaken, both ways."""

import asyncio
from collections.abc import AsyncIterator
import contextlib
from dataclasses import dataclass
import random
import socket

from tests.loopback import HOST
from tests.phone.link import MAX_DATAGRAM, Address

# The side that the server sees. It is not the address in the phones' Contacts, so that
# the server answers where a datagram came from, as it must with NAT.
SERVER_SIDE = "127.0.0.2"

# Seconds that a datagram takes: most of them, and those that others overtake.
USUAL = 0.003
LATE = 0.3


@dataclass(frozen=True, kw_only=True)
class Weather:
    """How bad it is: shares of all datagrams, each way."""

    lost: float = 0.20
    doubled: float = 0.10
    late: float = 0.20


class Relay:
    """Carries datagrams between phones and a server; `address` is for the phones."""

    def __init__(self, server: Address, weather: Weather, seed: int) -> None:
        """Carry to `server`."""
        self.weather = weather
        self.carried = self.lost = self.doubled = self.late = 0
        self._server = server
        self._random = random.Random(seed)
        self._loop = asyncio.get_running_loop()
        self._inside = self._open(HOST)
        self._outside: dict[Address, socket.socket] = {}
        self._loop.add_reader(self._inside, self._from_phones)

    @staticmethod
    def _open(host: str) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.bind((host, 0))
        return sock

    @property
    def address(self) -> Address:
        """Where phones send to."""
        host, port = self._inside.getsockname()
        return host, port

    def close(self) -> None:
        """Carry nothing any more."""
        for sock in (self._inside, *self._outside.values()):
            self._loop.remove_reader(sock)
            sock.close()

    def _from_phones(self) -> None:
        with contextlib.suppress(OSError):
            data, phone = self._inside.recvfrom(MAX_DATAGRAM)
            if phone not in self._outside:
                sock = self._outside[phone] = self._open(SERVER_SIDE)
                self._loop.add_reader(sock, self._from_server, sock, phone)
            self._carry(data, self._outside[phone], self._server)

    def _from_server(self, sock: socket.socket, phone: Address) -> None:
        with contextlib.suppress(OSError):
            self._carry(sock.recv(MAX_DATAGRAM), self._inside, phone)

    def _carry(self, data: bytes, sock: socket.socket, to: Address) -> None:
        self.carried += 1
        if self._happens(self.weather.lost):
            self.lost += 1
            return
        copies = 1
        if self._happens(self.weather.doubled):
            self.doubled += 1
            copies = 2
        for _ in range(copies):
            longest = USUAL
            if self._happens(self.weather.late):
                self.late += 1
                longest = LATE
            delay = self._random.uniform(0, longest)
            self._loop.call_later(delay, self._arrive, data, sock, to)

    def _happens(self, share: float) -> bool:
        return self._random.random() < share

    @staticmethod
    def _arrive(data: bytes, sock: socket.socket, to: Address) -> None:
        with contextlib.suppress(OSError):
            sock.sendto(data, to)


@contextlib.asynccontextmanager
async def relay(server: Address, weather: Weather, seed: int) -> AsyncIterator[Relay]:
    """Carry between phones and a server for a while."""
    running = Relay(server, weather, seed)
    try:
        yield running
    finally:
        running.close()
