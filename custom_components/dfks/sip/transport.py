"""UDP and streams: octets in and out, and where they came from.

A *flow* is the way back to a peer: for UDP the socket, the peer's address and the
local address that the peer wrote to; for a stream its connection. Whoever answers,
or notifies later, sends on the flow.

UDP sockets are read in bursts straight from the event loop, because asyncio's datagram
endpoints tell neither the local address of a datagram nor ICMP errors, and cost half
as much again. A burst is first taken from the kernel, then worked on, and then what
comes of it is sent, in the order of the work: where the code of the kernel and ours
take turns with each datagram, they drive each other out of the processor's caches.
"""

from abc import ABC, abstractmethod
import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
import contextlib
import errno
from functools import lru_cache, partial
import ipaddress
import logging
import socket
import ssl
import struct
from typing import override

from .acceptor import Acceptor
from .clock import Clock, Timers
from .connections import (
    MAX_CONNECTIONS,
    MAX_CONNECTIONS_PER_SOURCE,
    Connections,
    is_reserved,
)
from .wire.headers import unbracketed

_LOGGER = logging.getLogger(__name__)

# Datagrams taken in one go before other callbacks of the loop get their turn.
BURST = 32

# The largest datagram there is, in octets.
MAX_DATAGRAM = 65_535

# Peers whose flow is kept for their next datagram.
MAX_FLOWS = 4096

# Asked of the kernel, in octets, so that a burst of phones does not overflow it.
RECEIVE_BUFFER = 4 * 1024 * 1024

# Datagrams that wait for a full socket; more are dropped, as the network would.
MAX_WAITING = 4096

# A message on a stream, in octets: head and body.
MAX_STREAM_MESSAGE = 65_535

# Digits of a Content-Length; one of so many is over the limit.
MAX_DIGITS = 9

# A peer that does not read what it is sent, in octets.
MAX_UNREAD = 256 * 1024

# Seconds for the rest of a message that has begun, for the first message of a
# connection, and for a connection that says nothing at all.
MESSAGE_TIMEOUT = 30.0
GREETING_TIMEOUT = 60.0
IDLE_TIMEOUT = 2 * 3600.0

# Seconds for which a stream is not read at least where its source sends too much: many
# connections of one would look for their turn at each message.
MIN_PAUSE = 0.1

# Seconds between looks at the deadlines of all connections.
SWEEP = 5.0

# Seconds for a TLS handshake.
HANDSHAKE_TIMEOUT = 10.0

# Seconds between two equal warnings.
WARNING_INTERVAL = 60.0

# Seconds to connect to a peer.
CONNECT_TIMEOUT = 10.0

# Seconds between keepalives of the kernel, so that a connection through NAT stays and
# one to a phone that was unplugged is found out.
KEEPALIVE_SECONDS = 60

# Linux's numbers where the socket module does not name them.
_IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)
_IPV6_RECVPKTINFO = getattr(socket, "IPV6_RECVPKTINFO", 49)
_IPV6_PKTINFO = getattr(socket, "IPV6_PKTINFO", 50)
_PKTINFO = frozenset(
    {(socket.IPPROTO_IP, _IP_PKTINFO), (socket.IPPROTO_IPV6, _IPV6_PKTINFO)}
)
_IP_RECVERR = 11
_IPV6_RECVERR = 25

type SocketAddress = tuple[str, int] | tuple[str, int, int, int]
# A datagram to send: to where, and from which local address.
type _Unsent = tuple[bytes, SocketAddress, str]
# Takes a message; where it does not, the seconds after which it may be offered again.
type Receiver = Callable[[bytes, Flow], float]


class FlowError(OSError):
    """Nothing can be sent on this flow (any more)."""


class Flow(ABC):
    """A way back to a peer.

    `remote` and `local` are (host, port), hosts without brackets.
    """

    __slots__ = ()

    transport: str
    reliable: bool
    remote: tuple[str, int]
    local: tuple[str, int]

    @property
    @abstractmethod
    def closed(self) -> bool:
        """Whether the flow is gone for good."""

    @abstractmethod
    def send(self, data: bytes) -> None:
        """Send one message. Raises FlowError."""

    def greet(self) -> None:  # noqa: B027
        """Take note that the peer has been let in."""


class UdpFlow(Flow):
    """A peer's address at one of our UDP sockets."""

    __slots__ = ("_socket", "address", "local", "remote")

    transport = "UDP"
    reliable = False

    def __init__(
        self, udp_socket: UdpSocket, address: SocketAddress, local: tuple[str, int]
    ) -> None:
        """Remember who wrote and to which local address."""
        self._socket = udp_socket
        self.address = address
        self.remote = address[:2]
        self.local = local

    @property
    @override
    def closed(self) -> bool:
        return self._socket.closed

    def towards(self, host: str, port: int) -> UdpFlow:
        """Return a flow from the same local address to another peer."""
        return UdpFlow(
            self._socket, _address_like(self.address, host, port), self.local
        )

    @override
    def send(self, data: bytes) -> None:
        self._socket.send(data, self.address, self.local[0])


def _address_like(address: SocketAddress, host: str, port: int) -> SocketAddress:
    if len(address) == 2:
        return (host, port)
    # The scope belongs to the interface, so a neighbour's link-local address keeps it.
    return (host, port, 0, address[3] if host.startswith("fe80") else 0)


class UdpSocket:
    """One bound UDP socket."""

    def __init__(
        self,
        sock: socket.socket,
        receive: Callable[[bytes, Flow], object],
        unreachable: Callable[[bytes], None],
    ) -> None:
        """Read from `sock`; `unreachable` gets datagrams that ICMP sent back."""
        self._sock = sock
        self._receive = receive
        self._unreachable = unreachable
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Unsent] = deque()
        # What is to be sent when all of a burst has been worked on; None between two.
        self._unsent: list[_Unsent] | None = None
        # By the peer's address and what the kernel tells of ours.
        self._flows: dict[tuple[SocketAddress, bytes], UdpFlow] = {}
        host, port = sock.getsockname()[:2]
        self.family = sock.family
        self.port: int = port
        self.wildcard = ipaddress.ip_address(host.partition("%")[0]).is_unspecified
        self._local = (host, port)
        self.closed = False
        self._prepare()

    def listen(self) -> None:
        """Take in what comes."""
        self._loop.add_reader(self._sock.fileno(), self._read)

    def _prepare(self) -> None:
        sock = self._sock
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        if self.family == socket.AF_INET6:
            level, errors, wanted = (
                socket.IPPROTO_IPV6,
                _IPV6_RECVERR,
                _IPV6_RECVPKTINFO,
            )
        else:
            level, errors, wanted = socket.IPPROTO_IP, _IP_RECVERR, _IP_PKTINFO
        with contextlib.suppress(OSError):
            sock.setsockopt(level, errors, 1)
        if self.wildcard:
            sock.setsockopt(level, wanted, 1)

    def _read(self) -> None:
        """Take what is there, work on it and send what comes of it, up to a burst.

        Then look again: answers to what was sent may have come meanwhile.
        """
        left = BURST
        while left and (taken := self._take_some(left)):
            left -= len(taken)
            # One alone gains nothing by waiting for the end of its work.
            self._unsent = [] if len(taken) > 1 else None
            try:
                for data, flow in taken:
                    self._receive(data, flow)
                    if self.closed:
                        return
            finally:
                self._send_gathered()

    def _take_some(self, most: int) -> list[tuple[bytes, UdpFlow]]:
        """Return what is there, up to a number; what ICMP sent back is handed on."""
        take = self._take_with_local if self.wildcard else self._take
        taken: list[tuple[bytes, UdpFlow]] = []
        for _ in range(most):
            try:
                taken.append(take())
            except BlockingIOError:
                break
            except OSError as err:
                self._read_errors(err)
        return taken

    def _take(self) -> tuple[bytes, UdpFlow]:
        data, address = self._sock.recvfrom(MAX_DATAGRAM)
        return data, self._flow_of(address)

    def _take_with_local(self) -> tuple[bytes, UdpFlow]:
        data, ancillary, _, address = self._sock.recvmsg(MAX_DATAGRAM, 64)
        for level, kind, content in ancillary:
            if (level, kind) in _PKTINFO:
                return data, self._flow_of(address, content)
        return data, self._flow_of(address)

    def _flow_of(self, address: SocketAddress, pktinfo: bytes = b"") -> UdpFlow:
        """Return the flow of a datagram: one object for all that a peer sends.

        What its dialog keeps is then what the next datagram comes with.
        """
        flow = self._flows.get((address, pktinfo))
        if flow is None:
            if len(self._flows) >= MAX_FLOWS:
                self._flows.clear()
            flow = UdpFlow(self, address, self._local_of(pktinfo))
            self._flows[address, pktinfo] = flow
        return flow

    def _local_of(self, pktinfo: bytes) -> tuple[str, int]:
        """Return the local address that a datagram was sent to."""
        if not pktinfo:
            return self._local
        if self.family == socket.AF_INET6:
            return socket.inet_ntop(socket.AF_INET6, pktinfo[:16]), self.port
        # struct in_pktinfo: interface, local address, header destination.
        return socket.inet_ntoa(pktinfo[4:8]), self.port

    def _read_errors(self, err: OSError) -> None:
        """Hand back what ICMP reported as undeliverable."""
        flag = getattr(socket, "MSG_ERRQUEUE", None)
        if flag is None:
            return
        for _ in range(BURST):
            try:
                data = self._sock.recvmsg(MAX_DATAGRAM, 512, flag)[0]
            except OSError:
                return
            _LOGGER.debug("A datagram came back: %s", err.strerror)
            self._unreachable(data)

    def send(self, data: bytes, address: SocketAddress, local: str) -> None:
        """Send one datagram from a local address. Raises FlowError.

        While a burst is worked on it is kept; what cannot be sent then counts as come
        back.
        """
        if self.closed:
            raise FlowError(errno.EBADF, "The socket is closed")
        if self._unsent is not None:
            self._unsent.append((data, address, local))
        else:
            self._send_now(data, address, local)

    def _send_gathered(self) -> None:
        """Send what has come of a burst."""
        unsent, self._unsent = self._unsent or (), None
        for data, address, local in unsent:
            try:
                self._send_now(data, address, local)
            except FlowError as err:
                _LOGGER.debug("A datagram could not be sent: %s", err.strerror)
                self._unreachable(data)

    def _send_now(self, data: bytes, address: SocketAddress, local: str) -> None:
        if self._waiting:
            self._wait(data, address, local)
            return
        try:
            self._send(data, address, local)
        except BlockingIOError:
            self._loop.add_writer(self._sock.fileno(), self._write)
            self._wait(data, address, local)
        except OSError as err:
            # An error that ICMP reported for an earlier datagram comes up here too.
            self._read_errors(err)
            try:
                self._send(data, address, local)
            except OSError as again:
                raise FlowError(again.errno, again.strerror) from again

    def _send(self, data: bytes, address: SocketAddress, local: str) -> None:
        if self.wildcard:
            self._sock.sendmsg((data,), _from_local(self.family, local), 0, address)
        else:
            self._sock.sendto(data, address)

    def _wait(self, data: bytes, address: SocketAddress, local: str) -> None:
        if len(self._waiting) < MAX_WAITING:
            self._waiting.append((data, address, local))

    def _write(self) -> None:
        """Go on sending; what cannot be sent at all is dropped."""
        while self._waiting:
            try:
                self._send(*self._waiting[0])
            except BlockingIOError:
                return
            except OSError as err:
                _LOGGER.debug("A datagram could not be sent: %s", err.strerror)
            self._waiting.popleft()
        self._loop.remove_writer(self._sock.fileno())

    def flow_to(self, host: str, port: int) -> UdpFlow:
        """Return a flow to a numeric address that has not written to us."""
        address: SocketAddress = (host, port)
        if self.family == socket.AF_INET6:
            address = (host, port, 0, 0)
        local = self._local
        if self.wildcard:
            local = (_source_address(self.family, address) or local[0], self.port)
        return UdpFlow(self, address, local)

    def remembered_flow(self, remote: tuple[str, int], local: str) -> UdpFlow:
        """Return a flow of an earlier run, from the same local address if it is left."""
        flow = self.flow_to(*remote)
        if self.wildcard and local != flow.local[0] and _is_local(self.family, local):
            flow.local = (local, self.port)
        return flow

    def close(self) -> None:
        """Close the socket."""
        if self.closed:
            return
        self._send_gathered()
        self.closed = True
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._waiting.clear()
        self._flows.clear()
        self._sock.close()


@lru_cache(maxsize=256)
def _from_local(family: int, local: str) -> tuple[tuple[int, int, bytes]]:
    """Return the ancillary data of datagrams that go out from a local address."""
    if family == socket.AF_INET6:
        info = socket.inet_pton(socket.AF_INET6, local) + struct.pack("@I", 0)
        return ((socket.IPPROTO_IPV6, _IPV6_PKTINFO, info),)
    info = struct.pack("@I4s4s", 0, socket.inet_aton(local), bytes(4))
    return ((socket.IPPROTO_IP, _IP_PKTINFO, info),)


def _source_address(family: int, address: SocketAddress) -> str | None:
    """Return the local address from which the kernel would reach another one."""
    with (
        contextlib.suppress(OSError),
        socket.socket(family, socket.SOCK_DGRAM) as probe_socket,
    ):
        probe_socket.connect(address)
        host: str = probe_socket.getsockname()[0]
        return host
    return None


def _is_local(family: int, host: str) -> bool:
    """Whether an address is one of this machine's."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe_socket:
            probe_socket.bind((host, 0))
    except OSError:
        return False
    return True


class FramingError(ValueError):
    """A stream that cannot be split into messages any further.

    `head` is the head of the message that could not be framed, as far as it came;
    `too_large` says that this is all that is wrong with it.
    """

    def __init__(self, reason: str, head: bytes, *, too_large: bool = False) -> None:
        """Say what is wrong."""
        super().__init__(reason)
        self.head = head
        self.too_large = too_large


class Framer:
    """Splits a stream into messages by Content-Length (RFC 3261 18.3).

    Takes time linear in what it is fed, at whatever octet the stream is cut.
    """

    def __init__(self) -> None:
        """Start at the beginning of a message."""
        self._buffer = bytearray()
        self._searched = 0
        self._size: int | None = None
        self._after_break = False

    @property
    def inside(self) -> bool:
        """Whether a message has begun that is not complete."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> tuple[list[bytes], int]:
        """Return the messages that are complete, and the number of pings between them.

        A ping is a double CRLF (RFC 5626 4.4.1). Raises FramingError.
        """
        self._buffer += data
        messages = []
        pings = 0
        while self._buffer:
            if self._size is None:
                pings += self._skip_line_ends()
                if not self._find_size():
                    break
            if self._size is None or len(self._buffer) < self._size:
                break
            messages.append(bytes(self._buffer[: self._size]))
            del self._buffer[: self._size]
            self._size, self._searched = None, 0
        return messages, pings

    def _skip_line_ends(self) -> int:
        """Drop line ends before a start line (RFC 3261 7.5); return the pings in them."""
        buffer = self._buffer
        length = len(buffer)
        end = self._searched
        if end:
            return 0
        while end < length and buffer[end] in b"\r\n":
            end += 1
        if not end:
            # What came before was the line end before this message, no half of a ping.
            self._after_break = False
            return 0
        breaks = buffer.count(b"\n", 0, end) + self._after_break
        # Half a ping may still be on its way.
        self._after_break = end == length and breaks % 2 == 1
        del buffer[:end]
        return breaks // 2

    def _find_size(self) -> bool:
        """Find the end of the head and with it the size of the message."""
        buffer = self._buffer
        end = buffer.find(b"\r\n\r\n", max(0, self._searched - 3))
        if end < 0:
            self._searched = len(buffer)
            if len(buffer) > MAX_STREAM_MESSAGE:
                raise FramingError("Header Too Large", bytes(buffer), too_large=True)
            return False
        head = bytes(buffer[:end])
        self._size = end + 4 + self._content_length(head)
        if self._size > MAX_STREAM_MESSAGE:
            raise FramingError("Message Too Large", head, too_large=True)
        return True

    @staticmethod
    def _content_length(head: bytes) -> int:
        """Return the Content-Length of a head; none counts as 0, as phones mean it."""
        found = None
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.strip().lower() not in (b"content-length", b"l"):
                continue
            value = value.strip()
            # More digits than any size needs are not read, only counted.
            size = int(value[:MAX_DIGITS]) if value.isdigit() else None
            if size is None or found not in (None, size):
                raise FramingError("Content-Length does not fit", head)
            found = size
        return found or 0


class StreamFlow(Flow, asyncio.Protocol):
    """A TCP or TLS connection."""

    __slots__ = (
        "_accepted",
        "_framer",
        "_greeted",
        "_held",
        "_inside",
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
        owner: Transports,
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
        # Whether the peer has been let in: strangers get less time.
        self._greeted = outgoing
        self._owner = owner
        self._framer = Framer()
        self._accepted = accepted
        # Messages that were read and are not taken yet.
        self._held: list[bytes] = []
        self._writer: asyncio.Transport | None = None
        self._unsent: list[bytes] | None = [] if outgoing else None
        self._inside = False
        # When the connection has been silent too long, in seconds of the clock.
        self._grant(HANDSHAKE_TIMEOUT)

    @property
    @override
    def closed(self) -> bool:
        if self._writer is None:
            return self._unsent is None
        # It is so as soon as the peer has reset the connection.
        return self._writer.is_closing()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over a new connection."""
        assert isinstance(transport, asyncio.Transport)
        self._writer = transport
        unsent, self._unsent = self._unsent or [], None
        if self._accepted is None:
            remote = transport.get_extra_info("peername")
            # None where the peer has closed it already.
            self.remote = self.remote if remote is None else remote[:2]
            self.local = transport.get_extra_info("sockname")[:2]
        if not self._owner.opened(self):
            transport.abort()
            return
        _keep_alive(transport.get_extra_info("socket"))
        self._grant(IDLE_TIMEOUT if self._greeted else GREETING_TIMEOUT)
        for data in unsent:
            transport.write(data)

    @override
    def data_received(self, data: bytes) -> None:
        """Split the stream, hand on the messages and answer pings."""
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
        began, self._inside = self._inside, self._framer.inside
        if not self._inside:
            self._grant(IDLE_TIMEOUT if self._greeted else GREETING_TIMEOUT)
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
    def greet(self) -> None:
        """Give the connection the time of a friend."""
        if not self._greeted:
            self._greeted = True
            self._owner.greeted(self)

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

    def _grant(self, seconds: float) -> None:
        self.deadline = self._owner.clock.monotonic() + seconds


def _keep_alive(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL"):
            if (option := getattr(socket, name, None)) is not None:
                sock.setsockopt(socket.IPPROTO_TCP, option, KEEPALIVE_SECONDS)


class GoneFlow(Flow):
    """A connection of an earlier run: it tells whose it was, and carries nothing."""

    __slots__ = ("local", "remote", "transport")

    reliable = True
    closed = True

    def __init__(
        self, transport: str, remote: tuple[str, int], local: tuple[str, int]
    ) -> None:
        """Remember the two ends."""
        self.transport = transport
        self.remote = remote
        self.local = local

    @override
    def send(self, data: bytes) -> None:
        raise FlowError(errno.ENOTCONN, "The connection is gone")


class ResolvingFlow(Flow):
    """A UDP flow to a host that is known by name only, until it has been looked up."""

    __slots__ = ("_found", "_unsent", "local", "remote")

    transport = "UDP"
    reliable = False

    def __init__(self, host: str, port: int, local: tuple[str, int]) -> None:
        """Wait for `found` or `fail`."""
        self.remote = (host, port)
        self.local = local
        self._found: UdpFlow | None = None
        self._unsent: list[bytes] | None = []

    @property
    @override
    def closed(self) -> bool:
        return self._found is None and self._unsent is None

    @override
    def send(self, data: bytes) -> None:
        if self._found is not None:
            self._found.send(data)
        elif self._unsent is not None:
            self._unsent.append(data)
        else:
            raise FlowError(errno.EHOSTUNREACH, "The host is not known")

    def found(self, flow: UdpFlow) -> None:
        """Send on `flow` from now on."""
        unsent, self._unsent = self._unsent or [], None
        self._found = flow
        with contextlib.suppress(FlowError):
            for data in unsent:
                flow.send(data)

    def fail(self) -> None:
        """Give up: the host has no address."""
        self._unsent = None


class Transports:
    """All sockets of a server."""

    def __init__(
        self,
        clock: Clock,
        timers: Timers,
        receive: Receiver,
        receive_broken: Callable[[FramingError, Flow], None],
        lost: Callable[[Flow], None],
        unreachable: Callable[[bytes], None],
        lets_in: Callable[[str], bool],
    ) -> None:
        """Hand messages and mishaps to the callables given.

        `lost` gets a flow that is gone, `unreachable` a datagram that came back;
        `lets_in` decides by its source whether a connection stays open.
        """
        self.clock = clock
        self.timers = timers
        self.receive = receive
        self.receive_broken = receive_broken
        self._lost = lost
        self._unreachable = unreachable
        self._lets_in = lets_in
        self._udp: list[UdpSocket] = []
        self._bound: list[tuple[socket.socket, str, ssl.SSLContext | None]] = []
        self._acceptors: list[Acceptor] = []
        # Those that are open, and those that are accepted and shake hands.
        self._streams: Connections[StreamFlow] = Connections(self._warn)
        # Those that we have opened or are opening, by transport, host and port as
        # they were asked for.
        self._outgoing: dict[tuple[str, str, int], StreamFlow] = {}
        # What is being opened or looked up, and what shakes hands.
        self._tasks: set[asyncio.Task[None]] = set()
        self._handshakes: set[asyncio.Task[None]] = set()
        self._sweeping = False
        # When each warning may be logged again.
        self._warned: dict[str, float] = {}
        self.port = 0
        self.tls_port = 0

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._streams)

    async def bind(self, hosts: Sequence[str], port: int) -> None:
        """Bind UDP and TCP to one port of some addresses; port 0 is any free one.

        Raises OSError, and leaves nothing bound then.
        """
        try:
            for host in hosts:
                udp, tcp = await bind(host, self.port or port)
                self.port = udp.getsockname()[1]
                self._udp.append(UdpSocket(udp, self.receive, self._unreachable))
                self._bound.append((tcp, "TCP", None))
        except OSError:
            await self.stop()
            raise

    async def bind_tls(
        self, hosts: Sequence[str], port: int, context: ssl.SSLContext
    ) -> None:
        """Bind TLS to one port of some addresses.

        Raises OSError, and leaves nothing bound then.
        """
        try:
            for host in hosts:
                family, address = await _resolve_local(host, self.tls_port or port)
                sock = _bind_one(family, socket.SOCK_STREAM, address)
                self.tls_port = sock.getsockname()[1]
                self._bound.append((sock, "TLS", context))
        except OSError:
            await self.stop()
            raise

    def listen(self) -> None:
        """Take in what comes to the sockets that are bound."""
        for udp in self._udp:
            udp.listen()
        while self._bound:
            sock, transport, context = self._bound.pop()
            take = partial(self._accept, transport, context)
            acceptor = Acceptor(sock, self.timers, take, self._warn)
            acceptor.listen()
            self._acceptors.append(acceptor)

    async def stop(self) -> None:
        """Close everything."""
        for task in self._tasks:
            task.cancel()
        for acceptor in self._acceptors:
            acceptor.close()
        for sock, _, _ in self._bound:
            sock.close()
        streams = list(self._streams)
        for stream in streams:
            stream.close()
        for udp in self._udp:
            udp.close()
        await asyncio.gather(*self._tasks, *self._handshakes, return_exceptions=True)
        # Whoever does not read, or shake hands on the end of TLS, is not waited for.
        await asyncio.sleep(0)
        for stream in streams:
            stream.abort()
        self._bound.clear()
        self._acceptors.clear()
        self._udp.clear()

    def _accept(
        self,
        transport: str,
        context: ssl.SSLContext | None,
        sock: socket.socket,
        remote: tuple[str, int],
    ) -> None:
        """Take over a connection, or close it before anything is read or said."""
        source = remote[0]
        if not self._lets_in(source) or not self._streams.make_room(
            source, short=is_reserved(sock.fileno())
        ):
            sock.close()
            return
        stream = StreamFlow(self, transport, remote, sock)
        self._add(stream)
        task = asyncio.get_running_loop().create_task(
            self._shake_hands(stream, sock, context)
        )
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    async def _shake_hands(
        self, stream: StreamFlow, sock: socket.socket, context: ssl.SSLContext | None
    ) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(lambda: stream, sock, ssl=context)
        except OSError as err:
            _LOGGER.debug("No connection with %s: %s", stream.remote[0], err)
        if stream.closed:
            stream.fail()

    def opened(self, stream: StreamFlow) -> bool:
        """Take note that a connection is open; False where it has no place (any more)."""
        if stream.outgoing:
            source = stream.remote[0]
            if not self._lets_in(source) or not self._streams.make_room(source):
                return False
            self._add(stream)
        return stream in self._streams

    def greeted(self, stream: StreamFlow) -> None:
        """Take note that the peer of a connection has been let in."""
        self._streams.authenticate(stream)

    def _add(self, stream: StreamFlow) -> None:
        self._streams.add(stream, authenticated=stream.outgoing)
        if not self._sweeping:
            self._sweeping = True
            self.timers.after(SWEEP, self._sweep)

    def _warn(self, text: str, *details: object) -> None:
        """Log a warning, unless the same was logged a moment ago."""
        now = self.clock.monotonic()
        if now >= self._warned.get(text, now):
            self._warned[text] = now + WARNING_INTERVAL
            _LOGGER.warning(text, *details)

    def lost(self, stream: StreamFlow) -> None:
        """Take note of a connection that is gone."""
        self._streams.discard(stream)
        for hop, outgoing in list(self._outgoing.items()):
            if outgoing is stream:
                del self._outgoing[hop]
        self._lost(stream)

    def _sweep(self) -> None:
        """Close connections that were silent too long."""
        now = self.clock.monotonic()
        for stream in [item for item in self._streams if item.deadline <= now]:
            stream.close()
        self._sweeping = len(self._streams) > 0
        if self._sweeping:
            self.timers.after(SWEEP, self._sweep)

    def check_family(self, host: str) -> None:
        """Raise FlowError where no socket is of the kind of a numeric address."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        if all(udp.family != family for udp in self._udp):
            raise FlowError(errno.EAFNOSUPPORT, "No socket for this kind of address")

    def flow_to(
        self,
        transport: str,
        host: str,
        port: int,
        near: Flow,
        allows: Callable[[str], bool] = lambda _: True,
    ) -> Flow:
        """Return a flow to a next hop, from the same side as `near`.

        A name is looked up, and a TCP connection opened, while the flow keeps what is
        sent; where that fails, the flow is lost. Raises FlowError, too, where there are
        as many connections of ours as there may be.

        A name may stand for any address: `allows` decides to which one it may lead.
        """
        host = unbracketed(host)
        if transport == "UDP":
            return self._udp_flow_to(host, port, near, allows)
        hop = transport, host, port
        for stream in self._streams:
            if (stream.transport, *stream.remote) == hop and not stream.closed:
                return stream
        outgoing = self._outgoing.get(hop)
        if outgoing is not None and not outgoing.closed:
            return outgoing
        if transport != "TCP":
            # Phones take no TLS connections, and nothing goes in the clear instead.
            raise FlowError(errno.EPROTONOSUPPORT, "No way over this transport")
        to_host = sum(other == host for _, other, _ in self._outgoing)
        if (
            len(self._outgoing) >= MAX_CONNECTIONS
            or to_host >= MAX_CONNECTIONS_PER_SOURCE
        ):
            raise FlowError(errno.EMFILE, "Too many connections")
        stream = self._outgoing[hop] = StreamFlow(
            self, transport, (host, port), outgoing=True
        )
        stream.local = near.local
        self._run(self._connect(stream, allows))
        return stream

    def flow_from_here(self, transport: str, host: str, port: int) -> Flow:
        """Return a flow to an address that has not written to us. Raises FlowError."""
        if transport == "UDP":
            return self._udp_flow(host, port)
        raise FlowError(errno.EPROTONOSUPPORT, "No way over this transport")

    def remembered_flow(
        self, transport: str, remote: tuple[str, int], local: tuple[str, int]
    ) -> Flow:
        """Return the flow of an earlier run. Raises FlowError where there is none."""
        self._streams.remember(remote[0])
        if transport != "UDP":
            return GoneFlow(transport, remote, local)
        family = socket.AF_INET6 if ":" in remote[0] else socket.AF_INET
        for udp in self._udp:
            if udp.family == family:
                return udp.remembered_flow(remote, local[0])
        raise FlowError(errno.EAFNOSUPPORT, "No socket for this kind of address")

    def _udp_flow_to(
        self, host: str, port: int, near: Flow, allows: Callable[[str], bool]
    ) -> Flow:
        if not is_numeric(host):
            flow = ResolvingFlow(host, port, near.local)
            self._run(self._resolve(flow, near, allows))
            return flow
        if isinstance(near, UdpFlow) and (len(near.address) == 4) == (":" in host):
            return near.towards(host, port)
        return self._udp_flow(host, port)

    def _udp_flow(self, host: str, port: int) -> UdpFlow:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        for udp in self._udp:
            if udp.family == family:
                return udp.flow_to(host, port)
        raise FlowError(errno.EAFNOSUPPORT, "No socket for this kind of address")

    def _run(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, stream: StreamFlow, allows: Callable[[str], bool]) -> None:
        loop = asyncio.get_running_loop()
        host, port = stream.remote
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                if not is_numeric(host):
                    host = await _resolve_allowed(host, port, allows)
                await loop.create_connection(lambda: stream, host, port)
        except OSError as err:
            _LOGGER.debug("No connection to %s: %s", stream.remote[0], err)
            stream.fail()

    async def _resolve(
        self, flow: ResolvingFlow, near: Flow, allows: Callable[[str], bool]
    ) -> None:
        """Look a name up. Where it stands for nothing allowed, `near` has to do."""
        loop = asyncio.get_running_loop()
        for udp in self._udp:
            try:
                found = await loop.getaddrinfo(
                    *flow.remote, family=udp.family, type=socket.SOCK_DGRAM
                )
            except OSError as err:
                _LOGGER.debug("%s is not known: %s", flow.remote[0], err)
                continue
            for *_, (host, port, *_) in found:
                if allows(str(host)):
                    flow.found(udp.flow_to(str(host), int(port)))
                    return
            if isinstance(near, UdpFlow):
                flow.found(near)
                return
        flow.fail()
        self._lost(flow)


async def _resolve_allowed(host: str, port: int, allows: Callable[[str], bool]) -> str:
    """Return an address of a name that may be connected to. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for *_, (address, *_) in found:
        if allows(str(address)):
            return str(address)
    raise FlowError(errno.EACCES, "The name stands for no address that may be used")


def is_numeric(host: str) -> bool:
    """Whether a host is an address, and no name that must be looked up."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


async def bind(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """Bind UDP and TCP to one port of an address; port 0 finds one free for both.

    Raises OSError.
    """
    family, address = await _resolve_local(host, port)
    for _ in range(8):
        udp = _bind_one(family, socket.SOCK_DGRAM, address)
        bound: SocketAddress = udp.getsockname()
        try:
            return udp, _bind_one(family, socket.SOCK_STREAM, bound)
        except OSError as err:
            udp.close()
            if port or err.errno != errno.EADDRINUSE:
                raise
    raise OSError(errno.EADDRINUSE, "No port is free for both UDP and TCP")


async def _resolve_local(host: str, port: int) -> tuple[int, SocketAddress]:
    """Return family and address of a local host. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(unbracketed(host), port, type=socket.SOCK_DGRAM)
    address: SocketAddress = found[0][4]  # type: ignore[assignment]
    return found[0][0], address


def _bind_one(family: int, kind: int, address: SocketAddress) -> socket.socket:
    # With its protocol named, asyncio turns Nagle's delay off on what it accepts.
    protocol = socket.IPPROTO_TCP if kind == socket.SOCK_STREAM else 0
    sock = socket.socket(family, kind, protocol)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            # Connections of an earlier run that linger do not keep the port.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock


def split_hosts(text: str) -> list[str]:
    """Split a list of addresses, separated by commas."""
    return [host.strip() for host in text.split(",") if host.strip()]


async def probe(host: str, port: int) -> None:
    """Bind UDP and TCP once, to find out whether it can be done. Raises OSError."""
    for sock in await bind(host, port):
        sock.close()


async def probe_tls(host: str, port: int) -> None:
    """Bind what TLS needs once, to find out whether it can be done. Raises OSError."""
    family, address = await _resolve_local(host, port)
    _bind_one(family, socket.SOCK_STREAM, address).close()
