"""Sockets and flows where packets are too coarse: full buffers, errors, odd moments."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
import errno
import socket
from typing import cast, override

import pytest

from custom_components.dfks.sip.clock import LoopClock
from custom_components.dfks.sip.server import SipServer
from custom_components.dfks.sip.transport import bind as sip_bind, stream, udp
from custom_components.dfks.sip.transport.bind import bind, split_hosts
from custom_components.dfks.sip.transport.flow import (
    Flow,
    FlowError,
    GoneFlow,
    SocketAddress,
)
from custom_components.dfks.sip.transport.stream import StreamFlow
from custom_components.dfks.sip.transport.udp import ResolvingFlow, UdpFlow, UdpSocket
from tests.clock import ManualClock
from tests.phone import PATIENCE, settle

from .caller import Caller, disconnected
from .echo import LIGHT, TOPICS, Line, echoed, light

requirement = pytest.mark.requirement


class Pair:
    """A UDP socket of the server's and a plain one that writes to it and reads."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        """Open both, the server's on `host`."""
        self.received: list[bytes] = []
        self.returned: list[bytes] = []
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((host, 0))
        self.address = "127.0.0.1", sock.getsockname()[1]
        self.udp = UdpSocket(sock, self.receive, self.returned.append)
        self.udp.listen()
        self.peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.peer.bind(("127.0.0.1", 0))
        self.peer.setblocking(False)
        self.answering = False
        self.close_on_receive = False

    def receive(self, data: bytes, flow: Flow) -> None:
        """Keep what came, and send it back where that is asked for."""
        self.received.append(data)
        if self.answering:
            flow.send(data)
        if self.close_on_receive:
            self.udp.close()

    def send(self, data: bytes) -> None:
        """Send from the server's socket to the plain one."""
        self.udp.send(data, self.peer.getsockname(), "127.0.0.1")

    async def read(self, count: int) -> list[bytes]:
        """Return datagrams that came to the plain socket."""
        loop = asyncio.get_running_loop()
        return [
            await asyncio.wait_for(loop.sock_recv(self.peer, 100), PATIENCE)
            for _ in range(count)
        ]

    def hinder(
        self, monkeypatch: pytest.MonkeyPatch, *outcomes: OSError | None
    ) -> None:
        """Let the next sends raise; None lets one through, as does the end."""
        left = list(outcomes)
        send = self.udp._send

        def hindered(data: bytes, address: SocketAddress, local: str) -> None:
            if left and (outcome := left.pop(0)) is not None:
                raise outcome
            send(data, address, local)

        monkeypatch.setattr(self.udp, "_send", hindered)


@pytest.fixture(params=["127.0.0.1"])
async def pair(request: pytest.FixtureRequest, loopback: None) -> AsyncIterator[Pair]:
    """Return two sockets."""
    pair = Pair(request.param)
    yield pair
    pair.udp.close()
    pair.peer.close()


def full() -> BlockingIOError:
    """Return what a socket raises whose buffer is full."""
    return BlockingIOError(errno.EAGAIN, "full")


async def test_what_finds_the_buffer_full_goes_out_later(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In order, behind what waits already."""
    pair.hinder(monkeypatch, full(), full(), full())

    for data in (b"1", b"2", b"3"):
        pair.send(data)

    assert await pair.read(3) == [b"1", b"2", b"3"]
    pair.send(b"4")
    assert await pair.read(1) == [b"4"]


async def test_only_so_much_waits(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """More is dropped, as the network would do."""
    monkeypatch.setattr(udp, "MAX_WAITING", 2)
    pair.hinder(monkeypatch, full())

    for data in (b"1", b"2", b"3"):
        pair.send(data)
    assert await pair.read(2) == [b"1", b"2"]
    pair.send(b"4")

    assert await pair.read(1) == [b"4"]


async def test_what_cannot_be_sent_does_not_stop_what_waits(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is dropped."""
    pair.hinder(monkeypatch, full(), OSError(errno.EHOSTUNREACH, "no way"))

    pair.send(b"1")
    pair.send(b"2")

    assert await pair.read(1) == [b"2"]


async def test_the_error_of_an_earlier_datagram_is_not_this_ones(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel tells it with the next one, which is sent again."""
    pair.hinder(monkeypatch, OSError(errno.ECONNREFUSED, "refused"))

    pair.send(b"1")

    assert await pair.read(1) == [b"1"]


async def test_an_error_that_stays_is_told(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an error of the flow."""
    error = OSError(errno.ENETUNREACH, "Network is unreachable")
    pair.hinder(monkeypatch, error, error)

    with pytest.raises(FlowError, match="unreachable"):
        pair.send(b"1")


async def test_a_closed_socket_sends_nothing(pair: Pair) -> None:
    """It may be closed twice."""
    flow = pair.udp.flow_to("127.0.0.1", 9)
    pair.udp.close()
    pair.udp.close()

    assert flow.closed
    with pytest.raises(FlowError):
        flow.send(b"1")


async def test_a_burst_is_taken_in_pieces(pair: Pair) -> None:
    """More than one go, none lost."""
    sent = [b"%d" % number for number in range(100)]
    for data in sent:
        pair.peer.sendto(data, pair.address)
    async with asyncio.timeout(PATIENCE):
        while len(pair.received) < 100:
            await asyncio.sleep(0)

    assert pair.received == sent


async def test_a_socket_that_is_closed_while_it_is_read_is_left_alone(
    pair: Pair,
) -> None:
    """What else had come is dropped."""
    pair.close_on_receive = True
    for data in (b"1", b"2"):
        pair.peer.sendto(data, pair.address)
    async with asyncio.timeout(PATIENCE):
        while not pair.received:
            await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert pair.received == [b"1"]


@pytest.mark.parametrize("pair", ["127.0.0.1", "0.0.0.0"], indirect=True)
async def test_all_that_came_is_worked_on_before_anything_is_sent(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answers then go out in the order of the work."""
    pair.answering = True
    worked = []
    send = pair.udp._send

    def watched(data: bytes, address: SocketAddress, local: str) -> None:
        worked.append(len(pair.received))
        send(data, address, local)

    monkeypatch.setattr(pair.udp, "_send", watched)
    for data in (b"1", b"2", b"3"):
        pair.peer.sendto(data, pair.address)

    assert await pair.read(3) == [b"1", b"2", b"3"]
    assert worked == [3, 3, 3]


async def test_what_was_answered_before_the_socket_was_closed_is_sent(
    pair: Pair,
) -> None:
    """The answer is part of the work that was done."""
    pair.answering = pair.close_on_receive = True
    for data in (b"1", b"2"):
        pair.peer.sendto(data, pair.address)

    assert await pair.read(1) == [b"1"]
    assert pair.received == [b"1"]


async def test_an_answer_that_cannot_be_sent_counts_as_come_back(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sent it has gone on meanwhile. The others go out."""
    pair.answering = True
    error = OSError(errno.ENETUNREACH, "Network is unreachable")
    pair.hinder(monkeypatch, error, error)
    for data in (b"1", b"2"):
        pair.peer.sendto(data, pair.address)

    assert await pair.read(1) == [b"2"]
    assert pair.returned == [b"1"]


async def test_a_burst_that_ends_in_an_error_keeps_nothing_back(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was answered goes out, and what is sent later goes out at once."""
    pair.answering = True
    unfinished = pair.udp._receive

    def failing(data: bytes, flow: Flow) -> None:
        unfinished(data, flow)
        raise ZeroDivisionError

    monkeypatch.setattr(pair.udp, "_receive", failing)
    pair.peer.sendto(b"1", pair.address)
    pair.peer.sendto(b"2", pair.address)

    with pytest.raises(ZeroDivisionError):
        pair.udp._read()
    pair.send(b"3")

    assert await pair.read(2) == [b"1", b"3"]


async def test_one_datagram_alone_is_answered_while_it_is_worked_on(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sender need not wait for the rest of the work."""
    there: list[bytes] = []

    def answer(data: bytes, flow: Flow) -> None:
        flow.send(data)
        there.append(pair.peer.recv(100))

    monkeypatch.setattr(pair.udp, "_receive", answer)
    pair.peer.sendto(b"1", pair.address)

    pair.udp._read()

    assert there == [b"1"]


async def test_what_comes_while_a_burst_is_worked_on_is_taken_too(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop need not turn for it, up to the size of a burst."""
    left = iter(range(100))

    def go_on(data: bytes, flow: Flow) -> None:
        pair.received.append(data)
        pair.peer.sendto(b"%d" % next(left), pair.address)

    monkeypatch.setattr(pair.udp, "_receive", go_on)
    for data in (b"one", b"another"):
        pair.peer.sendto(data, pair.address)

    pair.udp._read()

    assert len(pair.received) == udp.BURST


async def test_where_one_comes_at_a_time_it_is_seldom_looked_for_another(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop tells of it as well; a burst is taken as one soon after it begins."""
    take, looks = pair.udp._take_some, []

    def counted(most: int) -> list[tuple[bytes, udp.UdpFlow]]:
        looks.append(most)
        return take(most)

    monkeypatch.setattr(pair.udp, "_take_some", counted)
    for _ in range(2 * udp.LOOKS):
        pair.peer.sendto(b"alone", pair.address)
        pair.udp._read()
    assert looks == 2 * [udp.BURST, *(udp.LOOKS - 1) * [1]]

    for _ in range(udp.BURST):
        pair.peer.sendto(b"one of many", pair.address)
    for _ in range(udp.LOOKS):
        pair.udp._read()

    assert len(pair.received) == 2 * udp.LOOKS + udp.BURST


@requirement("D11")
async def test_d11_what_icmp_sends_back_is_handed_on(pair: Pair) -> None:
    """Nobody listens there any more."""
    pair.peer.close()
    gone = UdpFlow(pair.udp, ("127.0.0.1", 9), ("127.0.0.1", 0))

    gone.send(b"NOTIFY")
    async with asyncio.timeout(PATIENCE):
        while not pair.returned:
            await asyncio.sleep(0)

    assert pair.returned == [b"NOTIFY"]


async def test_where_the_system_cannot_tell_timer_f_must_do(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No error queue: the error is read and forgotten."""
    monkeypatch.delattr(socket, "MSG_ERRQUEUE", raising=False)
    pair.peer.close()

    UdpFlow(pair.udp, ("127.0.0.1", 9), ("127.0.0.1", 0)).send(b"NOTIFY")
    await settle()

    assert pair.returned == []


def test_a_link_local_neighbour_keeps_the_interface() -> None:
    """Its address means nothing without; others have none."""
    here: SocketAddress = ("fe80::1", 5060, 0, 3)

    assert udp._address_like(here, "fe80::2", 9) == ("fe80::2", 9, 0, 3)
    assert udp._address_like(here, "2001:db8::2", 9) == ("2001:db8::2", 9, 0, 0)
    assert udp._address_like(("127.0.0.1", 1), "h", 9) == ("h", 9)


def test_no_source_address_where_there_is_no_way() -> None:
    """The wildcard stands in then."""
    assert udp._source_address(socket.AF_INET, ("::1", 9)) is None


async def test_no_port_is_free_for_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """After some tries it is an error, as for any taken port."""
    bind_one = sip_bind.bind_one

    def taken(family: int, kind: int, address: SocketAddress) -> socket.socket:
        if kind == socket.SOCK_STREAM:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        return bind_one(family, kind, address)

    monkeypatch.setattr(sip_bind, "bind_one", taken)

    with pytest.raises(OSError, match="both UDP and TCP"):
        await bind("127.0.0.1", 0)


def test_lists_of_hosts() -> None:
    """By commas; white space and empty ones do not count."""
    assert split_hosts(" 127.0.0.1, ::1 ,,") == ["127.0.0.1", "::1"]


# Streams


class FullWriter:
    """A transport whose peer does not read."""

    def __init__(self) -> None:
        """Start with nothing written."""
        self.size = 0
        self.aborted = False

    def write(self, data: bytes) -> None:
        """Keep it all."""
        self.size += len(data)

    def get_write_buffer_size(self) -> int:
        """Return what was written and not read."""
        return self.size

    def is_closing(self) -> bool:
        """Whether nothing more can be written."""
        return self.aborted

    def abort(self) -> None:
        """End the connection."""
        self.aborted = True


async def test_a_peer_that_does_not_read_is_cut_off(server: SipServer) -> None:
    """Its answers would fill the memory."""
    flow = StreamFlow(server._transports, "TCP")
    writer = FullWriter()
    flow._writer = cast("asyncio.Transport", writer)

    flow.send(b"x" * stream.MAX_UNREAD)
    before = writer.aborted
    flow.send(b"x")

    assert not before
    assert writer.aborted
    assert flow.closed
    with pytest.raises(FlowError):
        flow.send(b"x")


class NewWriter(asyncio.Transport):
    """A transport that is handed over, to a peer at an address or none any more."""

    def __init__(self, peer: tuple[str, int] | None) -> None:
        """Start with nothing done."""
        super().__init__({"peername": peer, "sockname": ("127.0.0.1", 5060)})
        self.aborted = False

    @override
    def abort(self) -> None:
        self.aborted = True


@requirement("C8", "E19")
async def test_c8_a_connection_that_made_room_while_it_was_opened_is_closed(
    server: SipServer,
) -> None:
    """Its place is another's by then."""
    with socket.socket() as sock:
        flow = StreamFlow(server._transports, "TCP", ("127.0.0.2", 9), sock)
        writer = NewWriter(("127.0.0.2", 9))

        flow.connection_made(writer)

    assert writer.aborted


@requirement("D11")
async def test_d11_a_peer_that_closes_as_it_is_connected_to_is_a_lost_flow(
    server: SipServer,
) -> None:
    """The system does not know its address any more."""
    flow = StreamFlow(server._transports, "TCP", ("phone.local", 9), outgoing=True)
    flow.send(b"x")
    writer = NewWriter(None)

    flow.connection_made(writer)
    flow.connection_lost(None)

    assert writer.aborted
    assert flow.closed
    assert server.counters()["connections"] == 0


async def test_a_stream_that_is_closed_sends_nothing(server: SipServer) -> None:
    """Neither one of ours nor one of an earlier run."""
    flow = StreamFlow(server._transports, "TCP")
    gone = GoneFlow("TCP", ("127.0.0.1", 9), ("127.0.0.1", 5060))
    flow.close()
    flow.abort()

    for closed in (flow, gone):
        assert closed.closed
        with pytest.raises(FlowError):
            closed.send(b"x")


async def test_a_name_that_is_not_known_leads_nowhere() -> None:
    """What waits is dropped, and more is refused."""
    flow = ResolvingFlow("nowhere.example", 5060, ("127.0.0.1", 5060))
    flow.send(b"1")
    before = flow.closed
    flow.fail()

    assert not before
    assert flow.closed
    with pytest.raises(FlowError):
        flow.send(b"2")


@requirement("E14", "D6")
async def test_e14_a_route_takes_a_connection_that_is_there(
    caller: Caller, stream: Caller
) -> None:
    """The proxy has opened it already."""
    await stream.settle()
    host, port = stream.local
    route = f"<sip:{host}:{port};transport=tcp;lr>"

    response = await caller.call("SUBSCRIBE", {"Record-Route": route})
    notify = await stream.next_request()
    stream.answer(notify)

    assert response.status == 200
    assert notify.values("Route") == [route]


async def test_a_stop_does_not_wait_for_a_connection_that_is_being_opened(
    caller: Caller, server: SipServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given up."""
    waiting = asyncio.Event()

    async def never(*_: object) -> None:
        waiting.set()
        await asyncio.Event().wait()

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "create_connection", never)
    await caller.call(
        "SUBSCRIBE", {"Record-Route": "<sip:127.0.0.1:9;transport=tcp;lr>"}
    )
    await asyncio.wait_for(waiting.wait(), PATIENCE)

    await asyncio.wait_for(server.stop(), PATIENCE)

    assert not server._transports._tasks


async def test_a_stop_does_not_wait_for_a_peer_that_does_not_read(
    server: SipServer, caller: Caller
) -> None:
    """What it has not taken by then is dropped with its connection."""
    with socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.connect(("127.0.0.1", server.port))
        await caller.settle()
        (flow,) = server._transports._streams
        assert flow._writer is not None
        while not flow._writer.get_write_buffer_size():
            flow.send(b"x" * 10_000)

        await asyncio.wait_for(server.stop(), PATIENCE)
        await asyncio.sleep(0)

        assert server.counters()["connections"] == 0


async def test_a_request_whose_way_back_is_gone_does_no_harm(
    server: SipServer, caller: Caller
) -> None:
    """Whether it would be accepted or refused."""
    await caller.log_in()
    gone = GoneFlow("TCP", caller.local, ("127.0.0.1", server.port))

    for method in ("OPTIONS", "REGISTER", "SUBSCRIBE", "MESSAGE"):
        server.receive(caller.signed_request(method), gone)

    await caller.settle()


@contextmanager
def cable_out(server: SipServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let nothing be sent for a while."""

    def unreachable(*_: object) -> None:
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    with monkeypatch.context() as patched:
        patched.setattr(server._transports._udp[0], "_send", unreachable)
        yield


@requirement("D11", "F16")
async def test_d11_a_retransmission_that_cannot_be_sent_is_a_failure(
    caller: Caller,
    server: SipServer,
    clock: ManualClock,
    reception: Line,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The cable is out: the phone is suspended, not the server stopped."""
    subscribed = await caller.subscribe(status=0)

    with cable_out(server, monkeypatch):
        clock.advance(0.5)
        connected = reception.connected
    clock.advance(300)
    await subscribed.told()

    assert not connected
    assert reception.connected
    assert len(server._requests) == 0


@requirement("D11", "F16")
async def test_d11_a_notify_that_cannot_be_sent_is_owed(
    caller: Caller, server: SipServer, reception: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key of another phone is told when the way is open again."""
    subscribed = await caller.subscribe()
    line = server.notifier.of(reception)[0]

    with cable_out(server, monkeypatch):
        server.notifier.notify(line, frozenset({"DoNotDisturb"}))
    connected = reception.connected
    await subscribed.send(body=light(True))
    notify = await subscribed.told()

    assert not connected
    assert echoed(notify)[LIGHT] == "on"
    assert list(echoed(notify)) == TOPICS


@requirement("D11", "F16")
async def test_d11_a_notify_that_cannot_follow_its_answer_is_owed(
    caller: Caller, server: SipServer, reception: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several requests at once, they are sent when all have been worked on."""
    subscribed = await caller.subscribe()

    with cable_out(server, monkeypatch):
        caller.send(caller.request("OPTIONS"))
        caller.send(caller.sign(subscribed.request(body=light(True))))
        await disconnected(reception)
    await subscribed.send()
    notify = await subscribed.told()

    assert echoed(notify)[LIGHT] == "on"
    assert reception.connected


# Clocks


async def test_the_clock_of_an_event_loop() -> None:
    """It calls back, and its two times go on."""
    clock = LoopClock(asyncio.get_running_loop())
    called = asyncio.Event()
    before = clock.monotonic(), clock.time()

    clock.call_at(clock.monotonic(), called.set)
    await asyncio.wait_for(called.wait(), PATIENCE)

    assert clock.monotonic() >= before[0]
    assert clock.time() >= before[1]
