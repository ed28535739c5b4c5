"""Section E: SIP over TLS (RFC 3261 26.3.1, RFC 8996)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
import contextlib
from pathlib import Path
import ssl
import warnings

import pytest

from custom_components.dfks.sip import ServerConfig, SipServer
from custom_components.dfks.sip.access.guard import parse_networks
from custom_components.dfks.sip.transport import connections as places
from dev.ports import free_port
from tests.clock import ManualClock
from tests.phone import PATIENCE, PhoneError, Response, settle
from tests.phone.wire import address

from .caller import Caller, disconnected
from .certificates import client_context, server_context, write_certificate
from .conftest import Connect
from .echo import LIGHT, Echo, Line, echoed, light
from .listening import ListeningPeer

requirement = pytest.mark.requirement


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the certificates `server` and `phone`."""
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("server", "phone"):
        write_certificate(folder, name)
    return folder


@pytest.fixture
def config() -> ServerConfig:
    """Return a configuration with any free ports."""
    return ServerConfig(host="127.0.0.1", port=0, tls_port=0)


@pytest.fixture
def mutual() -> bool:
    """Return whether phones must show a certificate."""
    return False


@pytest.fixture
def server_tls(folder: Path, mutual: bool) -> ssl.SSLContext:
    """Serve TLS."""
    return server_context(
        folder / "server.pem", clients=folder / "phone.pem" if mutual else None
    )


@pytest.fixture
def trust(folder: Path) -> ssl.SSLContext:
    """Return a phone's context: it trusts the server."""
    return client_context(folder / "server.pem")


@pytest.fixture
async def secure(connect: Connect, trust: ssl.SSLContext) -> Caller:
    """Return a phone of line 201 on TLS."""
    return await connect("tls", tls=trust)


def port_of(response: Response) -> int:
    """Return the port in the Contact of a 200."""
    return int(address(response.get("Contact")).rpartition(":")[2].partition(";")[0])


@requirement("E13")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_e13_a_phones_life_over_tls(
    connect: Connect, server: SipServer, trust: ssl.SSLContext, version: ssl.TLSVersion
) -> None:
    """REGISTER, SUBSCRIBE, a change and its NOTIFY, all on the one connection."""
    trust.minimum_version = trust.maximum_version = version
    secure = await connect("tls", tls=trust)

    registered = await secure.call("REGISTER")
    subscribed = await secure.subscribe()
    await subscribed.send(body=light(True))
    notify = await subscribed.told()

    assert registered.status == 200
    assert echoed(notify) == {LIGHT: "on"}
    contact = f"<sip:201@127.0.0.1:{server.tls_port};transport=tls>"
    assert subscribed.response.get("Contact") == notify.get("Contact") == contact
    assert notify.get("Via").startswith(f"SIP/2.0/TLS 127.0.0.1:{server.tls_port};")


@requirement("E13", "B16")
async def test_b16_the_contact_has_the_port_of_its_transport(
    secure: Caller, caller: Caller, server: SipServer
) -> None:
    """Also where a phone of the other kind was answered before."""
    ports = [
        port_of(await peer.call("SUBSCRIBE"))
        for peer in (secure, caller, secure, caller)
    ]

    assert ports == [server.tls_port, server.port] * 2


@requirement("E13")
async def test_e13_tls_1_1_is_refused(connect: Connect, trust: ssl.SSLContext) -> None:
    """RFC 8996 has put it away."""
    with warnings.catch_warnings():
        # Python warns of these versions as well.
        warnings.simplefilter("ignore", DeprecationWarning)
        trust.minimum_version = ssl.TLSVersion.TLSv1
        trust.maximum_version = ssl.TLSVersion.TLSv1_1
    trust.set_ciphers("DEFAULT:@SECLEVEL=0")

    with pytest.raises(OSError):
        await connect("tls", tls=trust)


@requirement("E13")
@pytest.mark.parametrize("mutual", [True])
async def test_e13_mutual_tls(connect: Connect, folder: Path) -> None:
    """Where the server asks for certificates, a phone with one is let in."""
    own = client_context(folder / "server.pem", own=folder / "phone.pem")
    secure = await connect("tls", tls=own)

    assert (await secure.call("REGISTER")).status == 200


@requirement("E13")
@pytest.mark.parametrize("mutual", [True])
async def test_e13_mutual_tls_without_a_certificate(
    connect: Connect, trust: ssl.SSLContext
) -> None:
    """The handshake fails, or the connection ends before an answer."""

    async def ask() -> None:
        secure = await connect("tls", tls=trust)
        await secure.ask(secure.request("OPTIONS"), timeout=0.5)

    with pytest.raises((OSError, PhoneError)):
        await ask()


@requirement("E13", "B3")
@pytest.mark.parametrize("method", ["OPTIONS", "REGISTER", "SUBSCRIBE"])
async def test_e13_sips_over_tls(secure: Caller, method: str) -> None:
    """There it is right; over TCP it is 416."""
    response = await secure.call(method, uri="sips:201@127.0.0.1")

    assert response.status == 200


@requirement("E13")
async def test_e13_whoever_does_not_speak_tls_gets_nothing(server: SipServer) -> None:
    """A plain request to the TLS port ends the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.tls_port)
    writer.write(b"OPTIONS sip:h SIP/2.0\r\n\r\n")

    received = await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()

    assert b"SIP/2.0" not in received


@requirement("E13")
async def test_e13_a_taken_tls_port_leaves_nothing_bound(
    server: SipServer, server_tls: ssl.SSLContext, clock: ManualClock
) -> None:
    """UDP and TCP of the same start are given back."""
    config = ServerConfig(host="127.0.0.1", port=free_port(), tls_port=server.tls_port)
    other = SipServer(config, clock)

    with pytest.raises(OSError, match="in use"):
        await other.start(server_tls)

    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", other.port)


@requirement("E13", "E14")
async def test_e13_nothing_goes_in_the_clear_when_the_connection_is_gone(
    secure: Caller,
    echo: Echo,
    clock: ManualClock,
    reception: Line,
) -> None:
    """The phone is suspended until it is back; nobody listens in at its Contact."""
    async with await ListeningPeer.open() as phone:
        contact = f"<sip:201@127.0.0.1:{phone.port};transport=tls>"
        await secure.subscribe({"Contact": contact})
        await secure.close()
        await disconnected(reception)
        reception.changed.clear()

        echo.change(reception, LIGHT, "on")
        tried = reception.changed.is_set()
        clock.advance(300)
        await settle()

        assert not tried
        assert not phone.links
        assert not reception.connected


def client_hello(context: ssl.SSLContext) -> bytes:
    """Return the first octets of a phone's handshake."""
    outgoing = ssl.MemoryBIO()
    handshake = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="127.0.0.1")
    with pytest.raises(ssl.SSLWantReadError):
        handshake.do_handshake()
    return outgoing.read()


class HalfOpen:
    """A connection to the TLS port that has not finished its handshake."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Use `half_open`."""
        self._reader = reader
        self.writer = writer

    async def read(self) -> bytes:
        """Return what the server sends next, nothing where it closes the connection."""
        with contextlib.suppress(ConnectionError):
            return await asyncio.wait_for(self._reader.read(1_000), PATIENCE)
        return b""


@pytest.fixture
async def half_open(
    server: SipServer, caller: Caller
) -> AsyncIterator[Callable[[str], Awaitable[HalfOpen]]]:
    """Return what connects to the TLS port from an address and says nothing."""
    opened: list[HalfOpen] = []

    async def connect(host: str) -> HalfOpen:
        connection = HalfOpen(
            *await asyncio.open_connection(
                "127.0.0.1", server.tls_port, local_addr=(host, 0)
            )
        )
        opened.append(connection)
        return connection

    yield connect
    for connection in opened:
        connection.writer.close()


type OpenHalf = Callable[[str], Awaitable[HalfOpen]]


@requirement("E19", "C7")
async def test_e19_connections_that_do_not_shake_hands_count(
    half_open: OpenHalf, caller: Caller, server: SipServer
) -> None:
    """64 of one source, and the next one is closed."""
    for _ in range(64):
        await half_open("127.0.0.2")
    extra = await half_open("127.0.0.2")

    received = await extra.read()

    assert received == b""
    assert server.counters()["connections"] == 64


@requirement("E19", "C8")
async def test_e19_the_oldest_handshake_makes_room(
    half_open: OpenHalf,
    connect: Connect,
    trust: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Silent connections of many addresses do not keep a phone out."""
    monkeypatch.setattr(places, "MAX_UNKNOWN", 3)
    first, *_ = [await half_open(f"127.0.0.{number}") for number in range(4, 7)]

    phone = await connect("tls", tls=trust)
    received = await first.read()

    assert received == b""
    assert (await phone.call("REGISTER")).status == 200


@requirement("E19", "H12")
@pytest.mark.parametrize(
    "config",
    [
        ServerConfig(
            host="127.0.0.1",
            port=0,
            tls_port=0,
            allowed_networks=parse_networks("127.0.0.2"),
        )
    ],
    ids=["127.0.0.2"],
)
@pytest.mark.parametrize(
    ("host", "answered"), [("127.0.0.1", False), ("127.0.0.2", True)]
)
async def test_e19_only_allowed_networks_get_a_handshake(
    server: SipServer,
    half_open: OpenHalf,
    trust: ssl.SSLContext,
    host: str,
    answered: bool,
) -> None:
    """The others are disconnected, whatever they send."""
    connection = await half_open(host)
    connection.writer.write(client_hello(trust))

    assert bool(await connection.read()) is answered


@requirement("E19")
async def test_e19_a_handshake_has_ten_seconds(
    half_open: OpenHalf, caller: Caller, clock: ManualClock, server: SipServer
) -> None:
    """Then the connection is closed."""
    connection = await half_open("127.0.0.1")
    await caller.settle()
    clock.advance(9)
    await caller.settle()
    before = server.counters()["connections"]

    clock.advance(6)
    await connection.read()
    await caller.settle()

    assert (before, server.counters()["connections"]) == (1, 0)


@requirement("E13")
async def test_e13_a_handshake_that_does_not_end_does_not_hold_the_stop(
    server: SipServer,
) -> None:
    """Whoever opens a connection and says nothing is not waited for."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.tls_port)
    await settle()

    await asyncio.wait_for(server.stop(), PATIENCE)

    writer.close()
    assert reader is not None


@requirement("E5", "E13")
async def test_e5_over_tls_only_a_connection_that_is_there_is_taken(
    connect: Connect, trust: ssl.SSLContext, caller: Caller
) -> None:
    """Phones take no connections over TLS, and nothing is said in the clear instead."""
    other = await connect("tls", tls=trust)
    async with await ListeningPeer.open() as listening:
        for port in (listening.port, other.local[1]):
            secure = await connect("tls", tls=trust)
            await secure.log_in()
            via = f"SIP/2.0/TLS 127.0.0.1:{port};branch=z9hG4bK{port}"
            secure.send(secure.signed_request("REGISTER", {"Via": via}))
            secure.reset()
            await caller.settle()
        answer = await other.next_response()

        assert (answer.status, answer.branch) == (200, f"z9hG4bK{other.local[1]}")
        assert not listening.links
    await other.nothing()
