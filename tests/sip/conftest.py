"""Fixtures of the SIP floor's tests: a real server on loopback, and callers."""

from collections.abc import AsyncIterator, Awaitable, Callable
import contextlib
import dataclasses
import json
import ssl
from typing import Protocol, cast

import pytest
import pytest_socket

from custom_components.dfks.sip import ServerConfig, SipServer, Snapshot
from tests.clock import ManualClock
from tests.loopback import LOOPBACK, PASSWORDS
from tests.phone.link import Address

from .caller import Caller
from .echo import Echo, Line

HOSTS = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "::1"]


# Stops the server and starts another one on its port, with what the first remembers.
type Restart = Callable[..., Awaitable[Echo]]

# A server on which a line has no more than two subscriptions.
ROOM_FOR_TWO = pytest.mark.parametrize(
    "config",
    [ServerConfig(host="127.0.0.1", port=0, max_subscriptions_per_line=2)],
    ids=["two"],
)


class Connect(Protocol):
    """Opens callers that are closed at the end of the test."""

    async def __call__(
        self,
        transport: str = "udp",
        *,
        user: str = "201",
        host: str = "127.0.0.1",
        local: Address | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> Caller:
        """Open a caller to the server at one of its addresses."""


@pytest.fixture(autouse=True)
def loopback(socket_enabled: None) -> None:
    """Let the tests use sockets on all of loopback."""
    pytest_socket.socket_allow_hosts(HOSTS)


@pytest.fixture
def clock() -> ManualClock:
    """Return the server's time."""
    return ManualClock()


@pytest.fixture
def config() -> ServerConfig:
    """Return the server's configuration; tests parametrise it to have another."""
    return LOOPBACK


@pytest.fixture
def built_server(config: ServerConfig, clock: ManualClock) -> SipServer:
    """Return a server that has not been started."""
    return SipServer(config, clock)


@pytest.fixture
def echo(built_server: SipServer) -> Echo:
    """Return the event package with the lines 201 and 202."""
    echo = Echo(built_server)
    for user in PASSWORDS:
        echo.add_line(user)
    return echo


@pytest.fixture
def server_tls() -> ssl.SSLContext | None:
    """Return what the server serves TLS with; tests of TLS override it."""
    return None


@pytest.fixture
async def server(
    built_server: SipServer, echo: Echo, server_tls: ssl.SSLContext | None
) -> AsyncIterator[SipServer]:
    """Run the server with the lines of `echo`."""
    await built_server.start(server_tls)
    yield built_server
    await built_server.stop()


@pytest.fixture
def reception(echo: Echo) -> Line:
    """Return the line 201."""
    return echo.lines["line-201"]


@pytest.fixture
def caller_type() -> type[Caller]:
    """Return the kind of the callers."""
    return Caller


@pytest.fixture
async def connect(
    server: SipServer, caller_type: type[Caller]
) -> AsyncIterator[Connect]:
    """Return what opens callers to the server."""
    async with contextlib.AsyncExitStack() as stack:

        async def connect(
            transport: str = "udp",
            *,
            user: str = "201",
            host: str = "127.0.0.1",
            local: Address | None = None,
            tls: ssl.SSLContext | None = None,
        ) -> Caller:
            port = server.tls_port if transport == "tls" else server.port
            caller = await caller_type.open(
                (host, port), transport, user=user, local=local, tls=tls
            )
            return await stack.enter_async_context(caller)

        yield connect


@pytest.fixture
async def caller(connect: Connect) -> Caller:
    """Return a phone of line 201 on UDP."""
    return await connect()


@pytest.fixture
async def colleague(connect: Connect) -> Caller:
    """Return another phone of line 201 on UDP."""
    return await connect()


@pytest.fixture
async def stranger(connect: Connect) -> Caller:
    """Return a phone of line 202 on UDP."""
    return await connect(user="202")


@pytest.fixture
async def stream(connect: Connect) -> Caller:
    """Return a phone of line 201 on TCP."""
    return await connect("tcp")


@pytest.fixture
async def restart(server: SipServer, clock: ManualClock) -> AsyncIterator[Restart]:
    """Return what stops the server and starts another one on its port."""
    running = server
    async with contextlib.AsyncExitStack() as stack:

        async def restart(
            *,
            away: float = 30.0,
            grace: float = 0.0,
            forget: bool = False,
            lines: tuple[str, ...] = ("201", "202"),
            change: Callable[[Snapshot], None] = lambda _: None,
        ) -> Echo:
            nonlocal running
            memory = cast("Snapshot", json.loads(json.dumps(await running.records())))
            change(memory)
            await running.stop()
            clock.advance(away)
            config = dataclasses.replace(server.config, port=server.port)
            running = other = SipServer(config, clock)
            echo = Echo(other)
            for user in lines:
                echo.add_line(user)
            stack.push_async_callback(other.stop)
            await other.start(memory=None if forget else memory, grace=grace)
            return echo

        yield restart
