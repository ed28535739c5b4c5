"""All sockets of a server: what is bound, accepted, opened and resolved."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
import errno
from functools import partial
import logging
import socket
import ssl

from ..clock import Clock, Timers
from ..wire.headers import unbracketed
from .acceptor import Acceptor
from .bind import bind, bind_one, resolve_local
from .connections import (
    MAX_CONNECTIONS,
    MAX_CONNECTIONS_PER_SOURCE,
    Connections,
    is_reserved,
)
from .flow import Flow, FlowError, GoneFlow, Receiver, is_numeric
from .framing import FramingError
from .peer_certificate import CertificateCheck
from .stream import StreamFlow
from .udp import ResolvingFlow, UdpFlow, UdpSocket
from .uplink import Uplink, UplinkEvents

_LOGGER = logging.getLogger(__name__)

# Seconds between looks at the deadlines of all connections.
SWEEP = 5.0

# Seconds between two equal warnings.
WARNING_INTERVAL = 60.0

# Seconds to connect to a peer.
CONNECT_TIMEOUT = 10.0


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
        # Sockets that listen, by transport and family.
        self._listeners: dict[tuple[str, int], socket.socket] = {}
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
                family, address = await resolve_local(host, self.tls_port or port)
                sock = bind_one(family, socket.SOCK_STREAM, address)
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
            self._listeners.setdefault((transport, sock.family), sock)
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
        self._listeners.clear()
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

    def authenticated(self, stream: StreamFlow) -> None:
        """Take note that the peer of a connection has authenticated."""
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
        self._socket_for(host)

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
        self.run(self._connect(stream, allows))
        return stream

    def flow_from_here(self, host: str, port: int) -> UdpFlow:
        """Return a UDP flow to an address that has not written to us. Raises FlowError."""
        return self._socket_for(host).flow_to(host, port)

    def uplink(
        self,
        host: str,
        port: int,
        events: UplinkEvents,
        tls: CertificateCheck | None = None,
    ) -> Uplink:
        """Return a way to an address over a connection of ours. Raises FlowError.

        With `tls` over TLS.
        """
        local = self.flow_from_here(host, port).local
        return Uplink(self, self.run, (host, port), local, events, tls)

    def listener(self, transport: str, family: int) -> socket.socket | None:
        """Return a socket that listens for connections of a transport.

        Without TLS it is that of TCP: a peer finds its connection to us by the port.
        """
        found = self._listeners.get((transport, family))
        return found or self._listeners.get(("TCP", family))

    def remembered_flow(
        self, transport: str, remote: tuple[str, int], local: tuple[str, int]
    ) -> Flow:
        """Return the flow of an earlier run. Raises FlowError where there is none."""
        self._streams.remember(remote[0])
        if transport != "UDP":
            return GoneFlow(transport, remote, local)
        return self._socket_for(remote[0]).remembered_flow(remote, local[0])

    def _udp_flow_to(
        self, host: str, port: int, near: Flow, allows: Callable[[str], bool]
    ) -> Flow:
        if not is_numeric(host):
            flow = ResolvingFlow(host, port, near.local)
            self.run(self._resolve(flow, near, allows))
            return flow
        if isinstance(near, UdpFlow) and (len(near.address) == 4) == (":" in host):
            return near.towards(host, port)
        return self.flow_from_here(host, port)

    def _socket_for(self, host: str) -> UdpSocket:
        """Return a socket of the kind of a numeric address. Raises FlowError."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        for udp in self._udp:
            if udp.family == family:
                return udp
        raise FlowError(errno.EAFNOSUPPORT, "No socket for this kind of address")

    def run(self, work: Coroutine[None, None, None]) -> None:
        """Run a coroutine until it ends or the sockets are closed."""
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
