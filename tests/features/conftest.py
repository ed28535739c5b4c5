"""Fixtures: a real server on loopback, and phones."""

from collections.abc import AsyncIterator
import contextlib
from typing import Protocol

from hypothesis import settings
import pytest

from custom_components.dfks.features.model import Line, LineEvent, NotifyStyle
from custom_components.dfks.features.sync import FeatureSync
from tests.clock import ManualClock
from tests.loopback import HOST, PASSWORDS
from tests.phone import Notification, Phone, PhoneTimeout
from tests.server import Running, line_config, running_server

# How long one example takes depends on the machine, and is not what is tested.
settings.register_profile("dfks", deadline=None)
settings.load_profile("dfks")


class Connect(Protocol):
    """Puts a phone on the network; it is closed at the end of the test."""

    async def __call__(
        self, user: str = "201", *, transport: str = "udp", subscribe: bool = True
    ) -> Phone:
        """Start a phone of a line; with `subscribe` it knows the full state."""


@pytest.fixture(autouse=True)
def sockets(socket_enabled: None) -> None:
    """Let the tests use sockets on loopback."""


@pytest.fixture
def clock() -> ManualClock:
    """Return the server's time."""
    return ManualClock()


@pytest.fixture
async def running(clock: ManualClock) -> AsyncIterator[Running]:
    """Run a server with the lines 201 and 202."""
    async with running_server(clock) as running:
        yield running


@pytest.fixture
def sync(running: Running) -> FeatureSync:
    """Return the way of a change through the server that runs."""
    return running.sync


@pytest.fixture
def line(sync: FeatureSync) -> Line:
    """Return the line 201."""
    return sync.lines["line-201"]


@pytest.fixture
def events(sync: FeatureSync) -> list[LineEvent]:
    """Return what the server publishes, as it comes."""
    events: list[LineEvent] = []
    sync.subscribe(events.append)
    return events


@pytest.fixture
async def connect(running: Running) -> AsyncIterator[Connect]:
    """Return what puts phones on the network."""
    async with contextlib.AsyncExitStack() as stack:

        async def connect(
            user: str = "201", *, transport: str = "udp", subscribe: bool = True
        ) -> Phone:
            phone = Phone(
                user, PASSWORDS[user], (HOST, running.port), transport=transport
            )
            await stack.enter_async_context(phone)
            if subscribe:
                response = await phone.subscribe()
                assert response.status == 200
                await phone.notification()
            return phone

        yield connect


@pytest.fixture
async def phone(connect: Connect) -> Phone:
    """Return a phone of line 201 that watches it."""
    return await connect()


@pytest.fixture
async def colleague(connect: Connect) -> Phone:
    """Return another phone of line 201 that watches it."""
    return await connect()


@pytest.fixture
def separate(sync: FeatureSync) -> None:
    """Let line 201 be told one feature a NOTIFY."""
    sync.update_line(line_config("201", style=NotifyStyle.SEPARATE))


async def told(phone: Phone) -> list[Notification]:
    """Return the NOTIFYs that a phone has got by now and nobody has taken.

    The server answers in order: what it has sent before comes before the answer to
    a question asked now.
    """
    await phone.options()
    came: list[Notification] = []
    with contextlib.suppress(PhoneTimeout):
        while True:
            came.append(await phone.notification(0))
    return came


async def features_told(phone: Phone) -> list[list[str]]:
    """Return the features of each NOTIFY that has come and nobody has taken."""
    return [list(notification.features) for notification in await told(phone)]
