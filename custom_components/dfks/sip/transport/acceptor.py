"""Connections taken from a listening socket.

asyncio's own servers shake hands with a TLS peer before anybody is asked whether it
may come in, take a hundred connections in one go, and log a traceback again and again
while the process has no file descriptor left.
"""

import asyncio
from collections.abc import Callable
import socket

from ..clock import Timer, Timers
from .connections import Warn

# Connections that wait in the kernel until they are taken: all phones of a large site
# that come back at once after a power cut.
BACKLOG = 512

# Connections taken in one go before other callbacks of the loop get their turn. Few, so
# that handshakes are done as fast as new ones begin.
BURST = 8

# Seconds without taking any after an error, which is that descriptors or memory are
# used up.
PAUSE = 1.0

type Take = Callable[[socket.socket, tuple[str, int]], None]


class Acceptor:
    """Takes the connections of one listening socket."""

    def __init__(
        self,
        sock: socket.socket,
        timers: Timers,
        take: Take,
        warn: Warn,
    ) -> None:
        """Hand each connection and its remote address to `take`, which must close it.

        `sock` is bound and does not listen yet.
        """
        self._sock = sock
        self._timers = timers
        self._take = take
        self._warn = warn
        self._loop = asyncio.get_running_loop()
        self._pause: Timer | None = None

    def listen(self) -> None:
        """Begin to take connections."""
        self._sock.setblocking(False)
        self._sock.listen(BACKLOG)
        self._resume()

    def close(self) -> None:
        """Close the listening socket."""
        if self._pause is not None:
            self._timers.cancel(self._pause)
        self._loop.remove_reader(self._sock.fileno())
        self._sock.close()

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_reader(self._sock.fileno(), self._accept)

    def _accept(self) -> None:
        """Take what waits, up to a burst."""
        for _ in range(BURST):
            try:
                sock, address = self._sock.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                # The peer has gone before it was its turn.
                continue
            except OSError as err:
                self._warn("No connection can be taken for now: %s", err.strerror)
                self._loop.remove_reader(self._sock.fileno())
                self._pause = self._timers.after(PAUSE, self._resume)
                return
            self._take(sock, address[:2])
