"""A connection of our own to a peer that is configured: kept, and opened anew.

What is sent while it is not open waits for a moment, because the first message must not
be lost to the connection that it takes; it is never sent by another way. It comes from
the port that we listen on where the system lets us: peers that remember where a message
came from, as Asterisk does with `rewrite_contact`, call there when the connection is
gone.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
import errno
import logging
import socket
import ssl
import struct
from typing import Protocol, override

from ..clock import Clock, Timer, Timers
from .bind import bind_beside
from .flow import Flow, FlowError
from .framing import FramingError
from .peer_certificate import CertificateCheck, fetch_certificate, fingerprint_of
from .stream import StreamFlow, StreamOwner

_LOGGER = logging.getLogger(__name__)

# Messages that wait for a connection, and the seconds that they do.
MAX_WAITING = 64
MAX_WAIT = 4.0

# Seconds between keepalives (RFC 5626 3.5.1 and 4.4.1 have 24 to 120).
KEEP_ALIVE = 25.0
PING = b"\r\n\r\n"

# Seconds until a connection that failed is tried again, doubled each time.
MIN_RETRY = 1.0
MAX_RETRY = 30.0

# Seconds to connect, with a TLS handshake.
CONNECT_TIMEOUT = 10.0


# struct linger: on, no time.
_NO_LINGER = struct.pack("ii", 1, 0)


class UplinkOwner(StreamOwner, Protocol):
    """What an uplink asks of the layer that it belongs to."""

    def listener(self, transport: str, family: int) -> socket.socket | None:
        """Return a socket that listens for connections of a transport."""


class UplinkEvents(Protocol):
    """Who is told what becomes of an uplink."""

    def connected(self) -> None:
        """Take note that the connection is open."""

    def failed(self) -> None:
        """Take note that it could not be opened."""

    def certificate_refused(self, reason: str | None, fingerprint: str) -> None:
        """Take note that it was not opened because of the peer's certificate.

        `reason` is None for a certificate other than the one that is pinned.
        """

    def undelivered(self, data: bytes) -> None:
        """Take a message that waited in vain."""


class Uplink(Flow):
    """The way to a peer over TCP or TLS, whatever becomes of its connections."""

    __slots__ = (
        "_connecting",
        "_delay",
        "_events",
        "_owner",
        "_retry",
        "_run",
        "_stopped",
        "_tls",
        "_waiting",
        "clock",
        "local",
        "remote",
        "stream",
        "timers",
        "transport",
    )

    reliable = True

    def __init__(
        self,
        owner: UplinkOwner,
        run: Callable[[Coroutine[None, None, None]], None],
        remote: tuple[str, int],
        local: tuple[str, int],
        events: UplinkEvents,
        tls: CertificateCheck | None = None,
    ) -> None:
        """Lead to `remote`, a numeric address, by TCP or, with `tls`, by TLS.

        `run` runs a coroutine. `local` is what stands for us in messages before there
        is a connection.
        """
        self.transport = "TCP" if tls is None else "TLS"
        self.remote = remote
        self.local = local
        self.clock: Clock = owner.clock
        self.timers: Timers = owner.timers
        self._owner = owner
        self._run = run
        self._events = events
        self._tls = tls
        # The connection that is open.
        self.stream: StreamFlow | None = None
        self._connecting = False
        self._stopped = False
        self._delay = MIN_RETRY
        self._retry: Timer | None = None
        self._waiting: deque[tuple[float, bytes]] = deque()

    @property
    @override
    def closed(self) -> bool:
        return self._stopped

    @override
    def send(self, data: bytes) -> None:
        if self.stream is not None:
            self.stream.send(data)
            return
        if self._stopped:
            raise FlowError(errno.ENOTCONN, "The way is given up")
        if not self._connecting:
            # It has just failed, or is tried again later.
            raise FlowError(errno.ECONNREFUSED, "The peer takes no connection")
        if len(self._waiting) >= MAX_WAITING:
            raise FlowError(errno.ENOBUFS, "Too many messages wait for a connection")
        self._waiting.append((self.clock.monotonic() + MAX_WAIT, data))
        self.timers.after(MAX_WAIT, self._give_up)

    def start(self) -> None:
        """Open the connection, and keep it from now on."""
        self._retry = None
        if not self._connecting and self.stream is None and not self._stopped:
            self._connecting = True
            self._run(self._connect())

    def stop(self) -> None:
        """Close the connection for good."""
        self._stopped = True
        if self._retry is not None:
            self.timers.cancel(self._retry)
        if self.stream is not None:
            self.stream.close()
        self._waiting.clear()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        stream = StreamFlow(self, self.transport, self.remote, outgoing=True)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                sock = await self._open_socket(loop)
                await loop.create_connection(
                    lambda: stream,
                    sock=sock,
                    ssl=None if self._tls is None else self._tls.handshake(),
                    server_hostname=None if self._tls is None else self._tls.name,
                )
        except ssl.SSLCertVerificationError as err:
            _LOGGER.debug("The certificate of %s: %s", self.remote[0], err)
            await self._show_certificate(err.verify_message)
            self._failed()
        except OSError as err:
            _LOGGER.debug("No connection to %s: %s", self.remote[0], err)
            self._failed()

    async def _show_certificate(self, reason: str) -> None:
        """Tell of a certificate that is not good, so that a person can trust it."""
        assert self._tls is not None
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                certificate = await fetch_certificate(self.remote, self._tls.name)
        except OSError as err:
            _LOGGER.debug("No certificate of %s: %s", self.remote[0], err)
            return
        if certificate is not None:
            self._events.certificate_refused(reason, fingerprint_of(certificate))

    async def _open_socket(self, loop: asyncio.AbstractEventLoop) -> socket.socket:
        """Return a connected socket, from the listening port if it can be had."""
        family = socket.AF_INET6 if ":" in self.remote[0] else socket.AF_INET
        listener = self._owner.listener(self.transport, family)
        if listener is not None:
            try:
                sock = bind_beside(listener, self.local[0])
                # It ends without a trace, so that the port can be used again at once.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
                return await _connected(loop, sock, self.remote)
            except OSError as err:
                if err.errno not in (errno.EADDRINUSE, errno.EADDRNOTAVAIL):
                    raise
                _LOGGER.warning(
                    "The connection to %s does not come from the listening port (%s):"
                    " a PBX that remembers where REGISTERs came from may not find the "
                    "way back after a restart",
                    self.remote[0],
                    err.strerror,
                )
        sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        return await _connected(loop, sock, self.remote)

    def _failed(self) -> None:
        self._connecting = False
        waiting, self._waiting = self._waiting, deque()
        self._try_later()
        self._events.failed()
        for _, data in waiting:
            self._events.undelivered(data)

    def _try_later(self) -> None:
        if self._stopped or self._retry is not None:
            return
        self._retry = self.timers.after(self._delay, self.start)
        self._delay = min(2 * self._delay, MAX_RETRY)

    def _give_up(self) -> None:
        """Hand back what has waited too long."""
        now = self.clock.monotonic()
        while self._waiting and self._waiting[0][0] <= now:
            self._events.undelivered(self._waiting.popleft()[1])

    def _ping(self, stream: StreamFlow) -> None:
        if stream is self.stream and not stream.closed:
            stream.send(PING)
            self.timers.after(KEEP_ALIVE, lambda: self._ping(stream))

    # What a connection asks of its owner

    def receive(self, data: bytes, flow: Flow) -> float:
        """Take a message from the peer."""
        self._delay = MIN_RETRY
        return self._owner.receive(data, flow)

    def receive_broken(self, err: FramingError, flow: Flow) -> None:
        """Take what the stream broke off with."""
        self._owner.receive_broken(err, flow)

    def opened(self, stream: StreamFlow) -> bool:
        """Take a connection that is open, and send what has waited for it."""
        if self._stopped:
            return False
        if self._tls is not None:
            certificate = stream.peer_certificate() or b""
            if not self._tls.accepts(certificate):
                self._events.certificate_refused(None, fingerprint_of(certificate))
                return False
        if not self._owner.opened(stream):
            return False
        self.stream = stream
        self._connecting = False
        self.timers.after(KEEP_ALIVE, lambda: self._ping(stream))
        self._events.connected()
        waiting, self._waiting = self._waiting, deque()
        for _, data in waiting:
            stream.send(data)
        return True

    def authenticated(self, stream: StreamFlow) -> None:
        """Count the connection as one of somebody who is known."""
        self._owner.authenticated(stream)

    def lost(self, stream: StreamFlow) -> None:
        """Forget the connection, and open another one."""
        self._owner.lost(stream)
        if stream is self.stream:
            self.stream = None
            self._try_later()
        elif self._connecting:
            self._failed()


async def _connected(
    loop: asyncio.AbstractEventLoop, sock: socket.socket, remote: tuple[str, int]
) -> socket.socket:
    """Connect a socket; it is closed where that fails. Raises OSError."""
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, remote)
    except BaseException:
        sock.close()
        raise
    return sock
