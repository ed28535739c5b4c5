"""UDP sockets, read in bursts straight from the event loop.

asyncio's datagram endpoints tell neither the local address of a datagram nor ICMP
errors, and cost half as much again. A burst is first taken from the kernel, then worked
on, and then what comes of it is sent, in the order of the work: where the code of the
kernel and ours take turns with each datagram, they drive each other out of the
processor's caches.
"""

import asyncio
from collections import deque
from collections.abc import Callable
import contextlib
import errno
from functools import lru_cache
import ipaddress
import logging
import socket
import struct
from typing import override

from .flow import MAX_DATAGRAM, Flow, FlowError, SocketAddress

_LOGGER = logging.getLogger(__name__)

# Datagrams taken in one go before other callbacks of the loop get their turn.
BURST = 32

# Where datagrams come one at a time it is looked for another behind each so many of
# them: a look in vain costs half as much as taking one.
LOOKS = 4

# Peers whose flow is kept for their next datagram.
MAX_FLOWS = 4096

# Asked of the kernel, in octets, so that a burst of phones does not overflow it.
RECEIVE_BUFFER = 4 * 1024 * 1024

# Datagrams that wait for a full socket; more are dropped, as the network would.
MAX_WAITING = 4096

# Linux's numbers where the socket module does not name them.
_IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)

_IPV6_RECVPKTINFO = getattr(socket, "IPV6_RECVPKTINFO", 49)

_IPV6_PKTINFO = getattr(socket, "IPV6_PKTINFO", 50)

_PKTINFO = frozenset(
    {(socket.IPPROTO_IP, _IP_PKTINFO), (socket.IPPROTO_IPV6, _IPV6_PKTINFO)}
)

_IP_RECVERR = 11

_IPV6_RECVERR = 25

# A datagram to send: to where, and from which local address.
type _Unsent = tuple[bytes, SocketAddress, str]


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
        # Datagrams that have come one at a time.
        self._lone = 0
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

        After more than one look again: answers to what was sent may have come meanwhile.
        """
        left = 1 if self._lone % LOOKS else BURST
        while left and (taken := self._take_some(left)):
            left -= len(taken)
            self._lone = 0 if len(taken) > 1 else self._lone + 1
            # One alone gains nothing by waiting for the end of its work.
            self._unsent = [] if len(taken) > 1 else None
            try:
                for data, flow in taken:
                    self._receive(data, flow)
                    if self.closed:
                        return
            finally:
                self._send_gathered()
            if len(taken) == 1:
                # The event loop knows sooner than one more look that there is another.
                return

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
