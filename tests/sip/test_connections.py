"""Places for connections: who gets one, and who makes room when all are taken."""

import asyncio
from collections.abc import Iterator
import contextlib
from dataclasses import dataclass
import errno
import logging
import os
import resource
import socket

import pytest

from custom_components.dfks.sip.server import SipServer
from custom_components.dfks.sip.transport import connections as places
from custom_components.dfks.sip.transport.acceptor import PAUSE
from tests.clock import ManualClock

from .caller import Caller, disconnected
from .conftest import Connect, Restart
from .echo import Line
from .listening import ListeningPeer

requirement = pytest.mark.requirement

# Addresses that the server knows nothing of.
ELSEWHERE = [f"127.0.0.{number}" for number in range(4, 40)]


@pytest.fixture
def few_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the server six places: three for unknown addresses, three a source."""
    monkeypatch.setattr(places, "MAX_CONNECTIONS", 6)
    monkeypatch.setattr(places, "MAX_CONNECTIONS_PER_SOURCE", 3)
    monkeypatch.setattr(places, "MAX_UNKNOWN", 3)


async def open_settled(connect: Connect, host: str) -> Caller:
    """Open a connection from an address and wait until the server has taken it."""
    caller = await connect("tcp", local=(host, 0))
    await caller.settle()
    return caller


async def log_in_from(connect: Connect, host: str) -> Caller:
    """Open a connection from an address by which a phone has logged in."""
    caller = await connect("tcp", local=(host, 0))
    assert (await caller.call("REGISTER")).status == 200
    return caller


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings of the integration."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING
        and record.name.startswith("custom_components.dfks")
    ]


@requirement("C8")
@pytest.mark.usefixtures("few_places")
async def test_c8_the_oldest_connection_without_a_login_makes_room(
    connect: Connect,
) -> None:
    """Those of unknown addresses hold a part of all places."""
    strangers = [await open_settled(connect, host) for host in ELSEWHERE[:4]]

    await strangers[0].wait_closed()

    for stranger in strangers[1:]:
        await stranger.settle()


@dataclass(eq=False)
class Place:
    """A connection that only takes a place."""

    remote: tuple[str, int]
    aborted: bool = False

    def abort(self) -> None:
        """Take note that it was closed."""
        self.aborted = True


def take(connections: places.Connections[Place], host: str) -> bool:
    """Take one more connection if there is room; return whether there was."""
    if not connections.make_room(host):
        return False
    connections.add(Place((host, 5060)))
    return True


@requirement("C7")
@pytest.mark.usefixtures("few_places")
def test_c7_connections_over_ipv6_are_counted_by_network() -> None:
    """A subscriber has any number of addresses in its /64."""
    connections = places.Connections[Place](lambda text, *details: None)
    connections.remember("2001:db8:0:1::ffff")
    hosts = [f"2001:db8::{number}" for number in range(1, 5)]

    taken = [take(connections, host) for host in hosts]
    elsewhere = take(connections, "2001:db8:0:1::1")
    for connection in list(connections):
        connections.discard(connection)

    assert taken == [True, True, True, False]
    assert elsewhere
    assert take(connections, hosts[-1])


@requirement("C7", "C8")
@pytest.mark.usefixtures("few_places")
def test_c7_the_oldest_of_a_known_ipv6_network_makes_room_for_its_next() -> None:
    """Whichever of its addresses it comes from."""
    connections = places.Connections[Place](lambda text, *details: None)
    connections.remember("2001:db8::ffff")
    first, *others = [Place((f"2001:db8::{number}", 5060)) for number in range(1, 4)]
    for connection in (first, *others):
        connections.add(connection)

    assert take(connections, "2001:db8::9")
    assert first.aborted
    assert not any(connection.aborted for connection in others)


@requirement("C8")
@pytest.mark.usefixtures("few_places")
def test_c8_a_login_makes_the_whole_ipv6_network_known() -> None:
    """A phone writes from another address of it each day (RFC 8981)."""
    connections = places.Connections[Place](lambda text, *details: None)
    connections.remember("2001:db8::1")
    strangers = [f"2001:db8:0:{number}::1" for number in range(1, 4)]
    taken = [take(connections, host) for host in strangers]

    assert all(taken)
    assert take(connections, "2001:db8::2%eth0")
    assert not any(connection.aborted for connection in connections)
    assert len(connections) == 4


@requirement("C8")
async def test_c8_idle_connections_of_many_addresses_keep_no_phone_out(
    connect: Connect, server: SipServer
) -> None:
    """However many there are, the next phone logs in."""
    with contextlib.ExitStack() as stack:
        for host in ELSEWHERE[:16] * 20:
            here = ("127.0.0.1", server.port)
            idle = socket.create_connection(here, source_address=(host, 0))
            stack.enter_context(idle)

        await log_in_from(connect, "127.0.0.1")

    assert server.counters()["connections"] == places.MAX_UNKNOWN


@requirement("C8")
@pytest.mark.usefixtures("few_places")
async def test_c8_a_phone_that_has_logged_in_never_makes_room(
    connect: Connect,
) -> None:
    """It is the oldest, and stays."""
    phone = await log_in_from(connect, "127.0.0.2")
    for host in ELSEWHERE:
        await open_settled(connect, host)

    await phone.settle()


@requirement("C8")
@pytest.mark.usefixtures("few_places")
async def test_c8_where_all_have_logged_in_the_next_one_is_refused(
    connect: Connect,
) -> None:
    """There is nobody to make room."""
    phones = [await log_in_from(connect, host) for host in ELSEWHERE[:6]]

    for host in (ELSEWHERE[0], ELSEWHERE[7]):
        extra = await connect("tcp", local=(host, 0))
        await extra.wait_closed()

    for phone in phones:
        await phone.settle()


@requirement("C8")
@pytest.mark.usefixtures("few_places")
async def test_c8_an_unknown_address_takes_no_place_of_a_known_one(
    connect: Connect,
) -> None:
    """A known one gets its place from unknown ones first, then from its like."""
    for host in ELSEWHERE[:4]:
        await log_in_from(connect, host)
    known = await open_settled(connect, ELSEWHERE[0])
    unknown = await open_settled(connect, ELSEWHERE[7])

    newer = await open_settled(connect, ELSEWHERE[1])
    await unknown.wait_closed()
    refused = await connect("tcp", local=(ELSEWHERE[8], 0))
    await refused.wait_closed()
    await known.settle()
    await open_settled(connect, ELSEWHERE[2])

    await known.wait_closed()
    await newer.settle()


@requirement("C7", "C8")
@pytest.mark.usefixtures("few_places")
async def test_c8_at_a_known_address_the_oldest_without_a_login_makes_room(
    connect: Connect,
) -> None:
    """Others at the address of a phone do not shut it out."""
    phone = await log_in_from(connect, "127.0.0.2")
    idle = [await open_settled(connect, "127.0.0.2") for _ in range(2)]

    again = await log_in_from(connect, "127.0.0.2")

    await idle[0].wait_closed()
    for caller in (phone, idle[1], again):
        await caller.settle()


@requirement("C8")
@pytest.mark.usefixtures("few_places")
async def test_c8_connections_that_are_opened_here_take_places_too(
    connect: Connect, caller: Caller, reception: Line
) -> None:
    """None is opened where all places are those of phones that have logged in."""
    for host in ELSEWHERE[:6]:
        await log_in_from(connect, host)

    async with await ListeningPeer.open() as proxy:
        route = f"<sip:127.0.0.1:{proxy.port};transport=tcp;lr>"
        await caller.call("SUBSCRIBE", {"Record-Route": route})
        await disconnected(reception)


@requirement("C8", "F28")
@pytest.mark.usefixtures("few_places")
async def test_c8_addresses_are_known_after_a_restart(
    connect: Connect, restart: Restart
) -> None:
    """Whoever was bound or subscribed has logged in before."""
    await log_in_from(connect, "127.0.0.2")
    await restart()
    phone = await open_settled(connect, "127.0.0.2")

    for host in ELSEWHERE:
        await open_settled(connect, host)

    await phone.settle()


@requirement("C8")
def test_c8_known_addresses_are_remembered_up_to_a_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The one that logged in longest ago is forgotten first."""
    monkeypatch.setattr(places, "MAX_SOURCES", 2)
    connections = places.Connections[places.Connection](lambda *_: None)

    for source in ("10.0.0.1", "10.0.0.2", "10.0.0.1", "10.0.0.3"):
        connections.remember(source)

    assert list(connections._known) == ["10.0.0.1", "10.0.0.3"]


@requirement("C8")
@pytest.mark.usefixtures("few_places")
async def test_c8_the_log_has_one_warning_a_minute(
    connect: Connect, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever is tried."""
    for host in ELSEWHERE[:10]:
        await open_settled(connect, host)
    before = len(warnings(caplog))
    clock.advance(30)
    await open_settled(connect, ELSEWHERE[11])
    meanwhile = len(warnings(caplog))
    clock.advance(30)
    for host in ELSEWHERE[12:16]:
        await open_settled(connect, host)

    assert (before, meanwhile, len(warnings(caplog))) == (1, 1, 2)


# File descriptors


@contextlib.contextmanager
def descriptors(limit: int) -> Iterator[None]:
    """Let the process have so many file descriptors for a while."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def lowest_free() -> int:
    """Return the number of the next file descriptor."""
    descriptor = os.dup(0)
    os.close(descriptor)
    return descriptor


@requirement("E20")
@pytest.mark.parametrize(
    ("limit", "first"),
    [(1024, 768), (2048, 1792), (100_000, 99_744), (256, 192), (64, 48)],
)
def test_e20_how_many_descriptors_are_left_to_others(
    monkeypatch: pytest.MonkeyPatch, limit: int, first: int
) -> None:
    """256 of them, or a quarter of fewer than 1024."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))

    assert places.is_reserved(first)
    assert not places.is_reserved(first - 1)


@requirement("E20")
def test_e20_without_a_limit_none_is_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process may have as many as it likes."""
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "getrlimit", lambda _: unlimited)

    assert not places.is_reserved(1_000_000)


@requirement("E20", "C8")
async def test_e20_where_descriptors_are_short_connections_make_room(
    connect: Connect, caller: Caller, server: SipServer
) -> None:
    """The rest of the process keeps its share."""
    idle = await open_settled(connect, "127.0.0.2")

    with descriptors(lowest_free() + 8):
        newer = await open_settled(connect, "127.0.0.3")
        await idle.wait_closed()
        await open_settled(connect, "127.0.0.4")
        await newer.wait_closed()
        await caller.settle()

    assert server.counters()["connections"] == 1


@requirement("E20")
async def test_e20_without_a_descriptor_accepting_pauses(
    caller: Caller,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
    server: SipServer,
) -> None:
    """It is tried again every second, and told once a minute; UDP goes on."""
    loop = asyncio.get_running_loop()
    await caller.settle()
    with socket.socket() as peer:
        peer.setblocking(False)
        with descriptors(lowest_free()):
            await loop.sock_connect(peer, ("127.0.0.1", server.port))
            for _ in range(3):
                await caller.settle()
                clock.advance(PAUSE)
            await caller.settle()
            taken = server.counters()["connections"]
        said = warnings(caplog)
        await caller.settle()
        early = server.counters()["connections"]
        clock.advance(PAUSE)
        await caller.settle()

        assert taken == early == 0
        assert server.counters()["connections"] == 1
        assert said == ["No connection can be taken for now: Too many open files"]


@requirement("E19")
async def test_e19_a_peer_that_is_gone_before_its_turn_holds_up_nobody(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some systems tell so when its connection is taken."""
    gone = [ConnectionAbortedError(errno.ECONNABORTED, "gone")]
    accept = socket.socket.accept

    def accept_next(sock: socket.socket) -> tuple[socket.socket, tuple[str, int]]:
        if gone:
            raise gone.pop()
        return accept(sock)

    monkeypatch.setattr(socket.socket, "accept", accept_next)

    await open_settled(connect, "127.0.0.1")

    assert not gone


@requirement("E20")
async def test_e20_a_stop_while_accepting_pauses(
    caller: Caller, clock: ManualClock, server: SipServer
) -> None:
    """Nothing is taken up again."""
    loop = asyncio.get_running_loop()
    await caller.settle()
    with socket.socket() as peer:
        peer.setblocking(False)
        with descriptors(lowest_free()):
            await loop.sock_connect(peer, ("127.0.0.1", server.port))
            await caller.settle()
            await server._transports.stop()
        clock.advance(PAUSE)

    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", server.port)
