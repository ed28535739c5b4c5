"""How much a source may send: dropped or held back, and never answered, beyond that."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from heapq import heappop, heappush
from itertools import count
from typing import override

import pytest

from custom_components.dfks.sip import (
    Experiment,
    ServerConfig,
    SipServer,
    SubscriberConfig,
)
from custom_components.dfks.sip.access import allowance
from custom_components.dfks.sip.access.allowance import (
    ALL_UNAUTHENTICATED_BURST,
    AUTHENTICATED_BURST,
    AUTHENTICATED_RATE,
    UNAUTHENTICATED_BURST,
    UNAUTHENTICATED_RATE,
    Allowances,
)
from custom_components.dfks.sip.access.guard import Guard, parse_networks
from custom_components.dfks.sip.proxy.pbx import PbxConfig
from custom_components.dfks.sip.transport.flow import Flow
from tests.clock import ManualClock
from tests.loopback import loopback_config
from tests.phone import Challenge, Digest, Request, Response, parse

from .caller import Caller
from .echo import Echo, light, running_server
from .ua.peers import Heard, Package

requirement = pytest.mark.requirement

LIMITED = loopback_config(experiment=Experiment())


@pytest.fixture
def config() -> ServerConfig:
    """Return a configuration with the limit that tests otherwise do without."""
    return LIMITED


class Peer(Flow):
    """An address that keeps what it is sent, or hands it on."""

    transport = "UDP"
    reliable = False
    closed = False
    local = ("127.0.0.1", 5060)

    def __init__(
        self, host: str, port: int = 5060, take: Callable[[bytes], None] | None = None
    ) -> None:
        """Be at an address."""
        self.remote = host, port
        self.sent: list[bytes] = []
        self._take = take or self.sent.append

    @override
    def send(self, data: bytes) -> None:
        self._take(data)

    def answered(self, server: SipServer, datagrams: int, data: bytes = b"") -> int:
        """Send OPTIONS, or something else; return how many answers came."""
        before = len(self.sent)
        for number in range(datagrams):
            server.receive(data or self.options(number), self)
        return len(self.sent) - before

    def options(self, number: int, padding: int = 0) -> bytes:
        """Return one of many different requests."""
        return (
            f"OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h;rport;branch=z9hG4bK{number}"
            f"\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:a@h>\r\nCall-ID: {number}\r\n"
            f"CSeq: 1 OPTIONS\r\nX-Padding: {'x' * padding}\r\nContent-Length: 0\r\n\r\n"
        ).encode()


class Offered:
    """Keeps what streams offer to a server from now on."""

    def __init__(self, server: SipServer) -> None:
        """Stand in between."""
        self.messages: list[bytes] = []
        self._server = server
        server._transports.receive = self._receive

    def _receive(self, data: bytes, flow: Flow) -> float:
        self.messages.append(data)
        return self._server.receive(data, flow)


@requirement("E21")
def test_e21_what_is_over_the_allowance_is_dropped_without_an_answer(
    built_server: SipServer, clock: ManualClock
) -> None:
    """Above all without a 503; a second later there is some again."""
    peer, other = Peer("127.0.0.1"), Peer("127.0.0.2")

    at_once = peer.answered(built_server, 1_000)
    clock.advance(1)
    a_second_later = peer.answered(built_server, 1_000)

    assert at_once == UNAUTHENTICATED_BURST
    assert a_second_later == UNAUTHENTICATED_RATE
    assert other.answered(built_server, 1) == 1


@requirement("E21")
async def test_e21_a_source_that_somebody_has_logged_in_from_may_send_more(
    caller: Caller, server: SipServer, clock: ManualClock
) -> None:
    """There may be a whole office behind it."""
    assert (await caller.call("REGISTER")).status == 200
    neighbour = Peer("127.0.0.1", 9)

    at_once = neighbour.answered(server, 1_000)
    clock.advance(1)
    a_second_later = neighbour.answered(server, 1_000)

    assert at_once == AUTHENTICATED_BURST
    assert a_second_later == AUTHENTICATED_RATE


@requirement("E21")
async def test_e21_a_phone_with_a_password_has_an_allowance_too(
    caller: Caller, server: SipServer, clock: ManualClock
) -> None:
    """A broken key does not keep Home Assistant busy, and gets no 503 for it."""
    subscribed = await caller.subscribe()
    peer = Peer(*caller.local)
    clock.advance(60)
    for number in range(1_000):
        data = caller.sign(subscribed.request(body=light(number % 2 == 0)))
        server.receive(data, peer)

    answers = [parse(data) for data in peer.sent if data[:4] == b"SIP/"]
    assert len(answers) == AUTHENTICATED_BURST
    assert {answer.status for answer in answers if isinstance(answer, Response)} == {
        200
    }


@requirement("E21", "A23")
def test_e21_a_large_message_counts_as_several(built_server: SipServer) -> None:
    """Reading takes as long as it is."""
    peer = Peer("127.0.0.1")

    answered = peer.answered(built_server, 100, peer.options(1, 15 * 1024))

    assert answered == 2


@requirement("E21", "E8")
def test_e21_keepalives_are_free(built_server: SipServer) -> None:
    """They are not read, and phones behind a NAT send many."""
    peer = Peer("127.0.0.1")
    for keepalive in (b"\r\n\r\n", b"\0"):
        assert peer.answered(built_server, 1_000, keepalive) == 0

    assert peer.answered(built_server, 1) == 1


@requirement("E21")
async def test_e21_answers_to_our_notifies_are_free(
    caller: Caller, server: SipServer, clock: ManualClock
) -> None:
    """As many come as were asked for: none of them is lost."""
    subscribed = await caller.subscribe(status=0)
    Peer(*caller.local).answered(server, 1_000)

    caller.answer(subscribed.first)
    clock.advance(0.01)
    # Over TCP, because nothing is answered over UDP now, and from another address.
    async with await Caller.open(
        ("127.0.0.1", server.port), "tcp", local=("127.0.0.2", 0)
    ) as other:
        await other.settle()

    assert len(server.notifier.requests) == 0


@requirement("E21")
def test_e21_addresses_of_an_ipv6_64_share_an_allowance(
    echo: Echo, clock: ManualClock
) -> None:
    """One subscriber has all of them."""
    server = SipServer(replace(LIMITED, allowed_networks=()), clock)

    answered = sum(
        Peer(f"2001:db8::{number:x}").answered(server, 1) for number in range(1_000)
    )

    assert answered == UNAUTHENTICATED_BURST
    assert Peer("2001:db8:0:1::1").answered(server, 1) == 1


@requirement("E21")
async def test_e21_forged_sources_do_not_reach_beyond_what_strangers_have(
    caller: Caller, server: SipServer
) -> None:
    """Somebody who has logged in is answered in the middle of it."""
    await caller.call("REGISTER")

    answered = sum(
        Peer(f"10.{number >> 8}.{number & 255}.1").answered(server, 1)
        for number in range(ALL_UNAUTHENTICATED_BURST + 1_000)
    )

    assert ALL_UNAUTHENTICATED_BURST - 10 < answered <= ALL_UNAUTHENTICATED_BURST
    assert (await caller.call("REGISTER")).status == 200


@requirement("E21")
@pytest.mark.parametrize(
    "config",
    [
        replace(LIMITED, trusted_proxies=parse_networks("127.0.0.1")),
        loopback_config(),
    ],
    ids=["trusted proxy", "switched off to measure"],
)
def test_e21_some_have_no_limit(built_server: SipServer) -> None:
    """A proxy speaks for all its phones."""
    assert Peer("127.0.0.1").answered(built_server, 1_000) == 1_000


@requirement("E21")
async def test_e21_a_pbx_has_no_limit(server: SipServer) -> None:
    """What it sends is for all its phones; another port of its address is a phone."""
    server.add_pbx(PbxConfig(id="pbx", host="127.0.0.3", port=5070))

    assert Peer("127.0.0.3", 5070).answered(server, 1_000) == 1_000
    assert Peer("127.0.0.3", 5071).answered(server, 1_000) == 0


@requirement("E21", "S4")
async def test_e21_a_server_whose_lines_are_followed_has_no_limit(
    server: SipServer,
) -> None:
    """It notifies all of them at once; others may share its address."""
    config = SubscriberConfig(
        id="followed",
        user="501",
        username="501",
        password="x",
        host="127.0.0.3",
        port=5070,
    )
    server.following.add(config, Package(), Heard())

    assert Peer("127.0.0.3", 5070).answered(server, 1_000) == 1_000
    assert Peer("127.0.0.3", 5071).answered(server, 1_000) == 0


@requirement("E21")
async def test_e21_a_stream_is_read_no_further_for_a_while(
    stream: Caller, server: SipServer, clock: ManualClock
) -> None:
    """Nothing of it is lost, and nothing is refused."""
    requests = [stream.request("OPTIONS") for _ in range(UNAUTHENTICATED_BURST + 4)]
    stream.send(b"".join(requests))
    at_once = [await stream.next_response() for _ in range(UNAUTHENTICATED_BURST)]
    await stream.silence(0.02)

    clock.advance(0.1)
    soon = [await stream.next_response() for _ in range(2)]
    await stream.silence(0.02)
    clock.advance(0.1)
    later = [await stream.next_response() for _ in range(2)]
    clock.advance(1)
    more = await stream.ask(stream.request("OPTIONS"))

    answers = [*at_once, *soon, *later, more]
    assert {answer.status for answer in answers} == {200}
    assert [answer.branch for answer in answers[:-1]] == [
        parse(request).branch for request in requests
    ]


@requirement("E21")
@pytest.mark.parametrize("waited", [0.0, 0.1, 1.0])
async def test_e21_a_stream_over_its_allowance_fills_the_peers_buffers(
    stream: Caller, server: SipServer, clock: ManualClock, waited: float
) -> None:
    """What is not read stays where it came from, until all before it is taken."""
    stream.send(b"".join(stream.request("OPTIONS") for _ in range(100)))
    for _ in range(UNAUTHENTICATED_BURST):
        await stream.next_response()

    clock.advance(waited)

    (flow,) = server._transports._streams
    assert flow._writer is not None
    assert not flow._writer.is_reading()


@requirement("E21")
async def test_e21_a_connection_may_end_while_it_waits(
    stream: Caller, server: SipServer, clock: ManualClock
) -> None:
    """What it had sent is forgotten with it."""
    stream.send(b"".join(stream.request("OPTIONS") for _ in range(100)))
    for _ in range(UNAUTHENTICATED_BURST):
        await stream.next_response()
    offered = Offered(server)
    for flow in server._transports._streams:
        flow.abort()
    await stream.wait_closed()

    clock.advance(60)

    assert offered.messages == []


@requirement("E21")
async def test_e21_a_stream_that_waits_looks_for_its_turn_once(
    stream: Caller, server: SipServer, clock: ManualClock
) -> None:
    """TLS hands on what it has read before, although nothing more is wanted."""
    stream.send(
        b"".join(stream.request("OPTIONS") for _ in range(UNAUTHENTICATED_BURST + 1))
    )
    for _ in range(UNAUTHENTICATED_BURST):
        await stream.next_response()
    offered = Offered(server)
    (flow,) = server._transports._streams
    for _ in range(3):
        flow.data_received(stream.request("OPTIONS"))

    clock.advance(0.1)

    # Two are taken, the third has to wait again.
    assert len(offered.messages) == 3


@requirement("E21", "F28")
async def test_e21_phones_of_an_earlier_run_are_known(
    caller: Caller, server: SipServer, clock: ManualClock
) -> None:
    """After a restart all of them come back at once."""
    await caller.call("REGISTER")
    memory = await server.records()
    async with running_server(clock, LIMITED) as later:
        await later._remembering.restore(memory, 0)

        assert Peer("127.0.0.1", 9).answered(later, 1_000) == AUTHENTICATED_BURST


@requirement("E21", "C6")
def test_e21_memory_is_bounded(clock: ManualClock) -> None:
    """A flood of sources does not push out those that somebody has logged in from."""
    allowances = Allowances()
    office = allowances.of("office")
    allowances.mark_authenticated("office", office)
    for number in range(10_000):
        allowances.of(str(number))

    assert allowances.of("office") is office
    assert len(allowances._unknown) == allowance.MAX_SOURCES
    for number in range(10_000):
        source = str(number)
        allowances.mark_authenticated(source, allowances.of(source))
    assert len(allowances._known) == allowance.MAX_SOURCES


@requirement("E21", "C6")
def test_e21_a_flood_of_addresses_does_not_make_a_known_one_unknown(
    clock: ManualClock,
) -> None:
    """Its standing is forgotten, but not that somebody has logged in there."""
    guard = Guard(clock, allowed=())
    guard.succeeded("192.0.2.1", "201")
    for number in range(5_000):
        guard.standing(f"10.0.{number >> 8}.{number & 255}")

    standing = guard.standing("192.0.2.1")
    assert standing.allowance is not None
    assert standing.allowance.known


# A power cut


class House:
    """Phones behind one address, a server, and what is under way between them."""

    LATENCY = 0.02

    def __init__(self, server: SipServer, clock: ManualClock) -> None:
        """Start with nothing under way."""
        self.server = server
        self.clock = clock
        self.sent = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def after(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call back later."""
        due = self.clock.monotonic() + seconds
        heappush(self._events, (due, next(self._numbers), callback))

    def send(self, data: bytes, flow: Flow) -> None:
        """Send a datagram to the server."""
        self.sent += 1
        self.after(self.LATENCY, partial(self._deliver, data, flow))

    def _deliver(self, data: bytes, flow: Flow) -> None:
        self.server.receive(data, flow)

    def run(self, seconds: float) -> None:
        """Let the time pass."""
        end = self.clock.monotonic() + seconds
        while self._events and self._events[0][0] <= end:
            due, _, callback = heappop(self._events)
            self.clock.advance(max(0.0, due - self.clock.monotonic()))
            callback()


class RebootedPhone:
    """Registers, subscribes and answers NOTIFYs, and repeats as RFC 3261 17.1.2 says."""

    def __init__(self, number: int, house: House) -> None:
        """Have a line of its own and a port at the common address."""
        self.registered_at: float | None = None
        self.told = False
        self._house = house
        self._user = f"u{number}"
        self._digest = Digest(username=self._user, password=f"p{number}")
        self._port = 20_000 + number
        self._flow = Peer("127.0.0.1", self._port, self._take)
        self._count = 0
        self._branch = ""

    def ask(self, method: str, *, signed: bool) -> None:
        """Send a request as a new transaction until there is a final answer."""
        self._count += 1
        self._branch = branch = f"z9hG4bK{self._user}x{self._count}"
        uri = "sip:127.0.0.1" if method == "REGISTER" else f"sip:{self._user}@127.0.0.1"
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP 192.168.0.9:{self._port};rport;branch={branch}",
            "Max-Forwards: 70",
            f"From: <sip:{self._user}@127.0.0.1>;tag={self._user}",
            f"To: <sip:{self._user}@127.0.0.1>",
            f"Call-ID: {method}-{self._user}",
            f"CSeq: {self._count} {method}",
            f"Contact: <sip:{self._user}@192.168.0.9:{self._port}>",
            "Expires: 3600",
        ]
        if method == "SUBSCRIBE":
            lines.append("Event: echo")
        if signed:
            lines.append(f"Authorization: {self._digest.authorization(method, uri)}")
        data = ("\r\n".join(lines) + "\r\nContent-Length: 0\r\n\r\n").encode()
        self._repeat(data, branch, 0.5, self._house.clock.monotonic() + 32)

    def _repeat(self, data: bytes, branch: str, pause: float, end: float) -> None:
        if branch != self._branch or self._house.clock.monotonic() >= end:
            return
        self._house.send(data, self._flow)
        after = min(2 * pause, 4.0)
        self._house.after(pause, lambda: self._repeat(data, branch, after, end))

    def _take(self, data: bytes) -> None:
        self._house.after(House.LATENCY, lambda: self._read(data))

    def _read(self, data: bytes) -> None:
        message = parse(data)
        if isinstance(message, Request):
            self.told = True
            self._house.send(message.response(200).encode(), self._flow)
        elif message.branch == self._branch:
            self._branch = ""
            self._go_on(message)

    def _go_on(self, response: Response) -> None:
        method = response.cseq[1]
        if response.status == 401:
            challenge = Challenge.parse(response.get("WWW-Authenticate"))
            assert challenge is not None
            self._digest.challenge = challenge
            self.ask(method, signed=True)
            return
        assert response.status == 200, response.title
        if method == "REGISTER":
            self.registered_at = self._house.clock.monotonic()
            self.ask("SUBSCRIBE", signed=True)


@requirement("E22")
@pytest.mark.parametrize("known", [True, False], ids=["known", "never seen"])
async def test_e22_500_phones_behind_one_address_come_back_within_a_minute(
    clock: ManualClock, known: bool
) -> None:
    """All at the same moment after a power cut, each with digest and its own line."""
    passwords = {f"u{number}": f"p{number}" for number in range(500)}
    async with running_server(clock, LIMITED, passwords) as server:
        if known:
            server._guard.succeeded("127.0.0.1", "u0")
        house = House(server, clock)
        phones = [RebootedPhone(number, house) for number in range(500)]
        began = clock.monotonic()
        for phone in phones:
            phone.ask("REGISTER", signed=False)

        house.run(60)

        took = max((phone.registered_at or 9e9) - began for phone in phones)
        assert took < 60
        assert all(phone.told for phone in phones)
