"""TCP and TLS connections."""

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from typing import Protocol, override

from ..clock import Clock, Timers
from .flow import Flow, FlowError
from .framing import Framer, FramingError

_LOGGER = logging.getLogger(__name__)

# A peer that does not read what it is sent, in octets.
MAX_UNREAD = 256 * 1024

# Seconds for the rest of a message that has begun, for the first message of a
# connection, and for a connection that says nothing at all.
MESSAGE_TIMEOUT = 30.0

UNAUTHENTICATED_TIMEOUT = 60.0

IDLE_TIMEOUT = 2 * 3600.0

# Seconds for which a stream is not read at least where its source sends too much: many
# connections of one would look for their turn at each message.
MIN_PAUSE = 0.1

# A peer that closes what we have opened within this many seconds does not want it.
REFUSED_WITHIN = 1.0

# Seconds for a TLS handshake.
HANDSHAKE_TIMEOUT = 10.0

# Seconds between keepalives of the kernel, so that a connection through NAT stays and
# one to a phone that was unplugged is found out.
KEEPALIVE_SECONDS = 60


class StreamOwner(Protocol):
    """What a connection asks of the layer that it belongs to."""

    clock: Clock
    timers: Timers

    def receive(self, data: bytes, flow: Flow) -> float:
        """Take a message; return the seconds to wait before it may be offered again."""

    def receive_broken(self, err: FramingError, flow: Flow) -> None:
        """Take what a stream broke off with."""

    def opened(self, stream: StreamFlow) -> bool:
        """Count a connection that is open; False where it has to go."""

    def authenticated(self, stream: StreamFlow) -> None:
        """Count a connection whose peer has logged in."""

    def lost(self, stream: StreamFlow) -> None:
        """Forget a connection that is gone."""


class StreamFlow(Flow, asyncio.Protocol):
    """A TCP or TLS connection."""

    __slots__ = (
        "_accepted",
        "_authenticated",
        "_framer",
        "_held",
        "_opened_at",
        "_owner",
        "_unsent",
        "_writer",
        "deadline",
        "local",
        "outgoing",
        "remote",
        "transport",
    )

    reliable = True

    def __init__(
        self,
        owner: StreamOwner,
        transport: str,
        remote: tuple[str, int] = ("", 0),
        accepted: socket.socket | None = None,
        *,
        outgoing: bool = False,
    ) -> None:
        """Be a connection of `owner`: one that it has accepted or is opening."""
        self.transport = transport
        self.remote = remote
        self.local = ("", 0) if accepted is None else accepted.getsockname()[:2]
        self.outgoing = outgoing
        # Whether the peer has authenticated: others get less time.
        self._authenticated = outgoing
        self._owner = owner
        self._framer = Framer()
        self._accepted = accepted
        # Messages that were read and are not taken yet.
        self._held: list[bytes] = []
        self._writer: asyncio.Transport | None = None
        self._unsent: list[bytes] | None = [] if outgoing else None
        # In seconds of the clock, once it is open.
        self._opened_at: float | None = None
        # When the connection has been silent too long, in seconds of the clock.
        self._grant(HANDSHAKE_TIMEOUT)

    @property
    @override
    def closed(self) -> bool:
        if self._writer is None:
            return self._unsent is None
        # It is so as soon as the peer has reset the connection.
        return self._writer.is_closing()

    @property
    @override
    def lasted(self) -> bool:
        if self._opened_at is None:
            return False
        return self._owner.clock.monotonic() - self._opened_at >= REFUSED_WITHIN

    def peer_certificate(self) -> bytes | None:
        """Return the certificate (DER) that the peer has shown over TLS."""
        assert self._writer is not None
        shown: ssl.SSLObject | None = self._writer.get_extra_info("ssl_object")
        return None if shown is None else shown.getpeercert(binary_form=True)

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over a new connection."""
        assert isinstance(transport, asyncio.Transport)
        self._writer = transport
        unsent, self._unsent = self._unsent or [], None
        if self._accepted is None:
            remote = transport.get_extra_info("peername")
            if remote is None:
                # The peer has closed it already.
                transport.abort()
                return
            self.remote = remote[:2]
            self.local = transport.get_extra_info("sockname")[:2]
        if not self._owner.opened(self):
            transport.abort()
            return
        _keep_alive(transport.get_extra_info("socket"))
        self._opened_at = self._owner.clock.monotonic()
        self._grant_idle()
        for data in unsent:
            transport.write(data)

    @override
    def data_received(self, data: bytes) -> None:
        """Split the stream, hand on the messages and answer pings."""
        began = self._framer.inside
        try:
            messages, pings = self._framer.feed(data)
        except FramingError as err:
            self._owner.receive_broken(err, self)
            self.close()
            return
        if messages:
            waiting = bool(self._held)
            self._held += messages
            if not waiting:
                self._hand_on()
        if pings:
            with contextlib.suppress(FlowError):
                self.send(b"\r\n" * pings)
        if not self._framer.inside:
            self._grant_idle()
        elif messages or pings or not began:
            # Not put off by further octets: a message has this long.
            self._grant(MESSAGE_TIMEOUT)

    def _hand_on(self) -> None:
        """Hand on what was read; where it is too much, read no further for a while."""
        held = self._held
        while held:
            wait = self._owner.receive(held[0], self)
            if wait:
                if self._writer is not None and not self.closed:
                    self._writer.pause_reading()
                self._owner.timers.after(max(wait, MIN_PAUSE), self._read_on)
                return
            del held[0]

    def _read_on(self) -> None:
        """Hand on what was held back, and read again when all of it is gone."""
        self._hand_on()
        if not self._held and self._writer is not None and not self.closed:
            self._writer.resume_reading()

    @override
    def mark_authenticated(self) -> None:
        """Extend the idle timeout: the peer has authenticated."""
        if not self._authenticated:
            self._authenticated = True
            self._owner.authenticated(self)
            if not self._framer.inside:
                # What shows it may come later than the phone's own message: from its PBX.
                self._grant_idle()

    @override
    def send(self, data: bytes) -> None:
        if self._unsent is not None:
            self._unsent.append(data)
            return
        if self._writer is None or self._writer.is_closing():
            raise FlowError(errno.ENOTCONN, "The connection is closed")
        self._writer.write(data)
        if self._writer.is_closing():
            raise FlowError(errno.ECONNRESET, "The connection is gone")
        if self._writer.get_write_buffer_size() > MAX_UNREAD:
            _LOGGER.debug("Closing a connection whose peer does not read")
            self._writer.abort()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Tell that the flow is gone."""
        self._writer = None
        self._held.clear()
        self._owner.lost(self)

    def fail(self) -> None:
        """Give up on a connection that could not be opened."""
        self._unsent = None
        self._owner.lost(self)

    def close(self) -> None:
        """Close the connection after what is still to be sent."""
        if self._writer is not None:
            self._writer.close()
        else:
            self._end_handshake()

    def abort(self) -> None:
        """Close the connection at once."""
        if self._writer is not None:
            self._writer.abort()
        else:
            self._end_handshake()

    def _end_handshake(self) -> None:
        """Have asyncio, which alone holds the connection now, read its end."""
        if self._accepted is not None:
            with contextlib.suppress(OSError):
                self._accepted.shutdown(socket.SHUT_RDWR)

    def _grant_idle(self) -> None:
        self._grant(IDLE_TIMEOUT if self._authenticated else UNAUTHENTICATED_TIMEOUT)

    def _grant(self, seconds: float) -> None:
        self.deadline = self._owner.clock.monotonic() + seconds


def _keep_alive(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL"):
            if (option := getattr(socket, name, None)) is not None:
                sock.setsockopt(socket.IPPROTO_TCP, option, KEEPALIVE_SECONDS)
