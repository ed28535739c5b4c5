"""Fixtures of the Home Assistant floor."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
import shutil
from typing import Any, Protocol, override
from unittest.mock import patch

from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.filters import props

from custom_components.dfks import listener as dfks_listener
from custom_components.dfks.listener import DfksListener
from custom_components.dfks.sip import AddressRecord, Resolver, ServiceRecord
from dev.ports import free_port
from tests.clock import ManualClock
from tests.phone import Phone

from .common import (
    BOTH_LINES,
    LOCALHOST,
    RECEPTION,
    RECEPTION_DATA,
    WORKSHOP,
    WORKSHOP_DATA,
    YEALINK,
    HomeAssistantSnapshotExtension,
    MockConfigEntry,
    entry_state,
    get_test_config_dir,
    listener_entry,
    runtime,
    set_up,
)


class OpenPhone(Protocol):
    """Puts phones on the network; they are closed at the end of the test."""

    async def __call__(
        self, line_id: str = RECEPTION, *, transport: str = "udp", told: bool = True
    ) -> Phone:
        """Return a phone of a line that is subscribed; `told`: and has its state."""


class Plug(Protocol):
    """Plugs phones in; they are unplugged at the end of the test."""

    async def __call__(
        self,
        *,
        user: str = "201",
        password: str = "reception-201",
        auth_name: str | None = None,
        transport: str = "udp",
        user_agent: str = "Desk/1.0",
        local: tuple[str, int] | None = None,
        instance: str | None = None,
    ) -> Phone:
        """Return a phone that has not said anything yet."""


@pytest.fixture(autouse=True)
def custom_integration(enable_custom_integrations: None, socket_enabled: None) -> None:
    """Let Home Assistant find the integration, and the listener open its sockets."""


@pytest.fixture(scope="session")
def config_directory(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a configuration directory that no other process writes to."""
    directory = tmp_path_factory.mktemp("config")
    shutil.copytree(get_test_config_dir(), directory, dirs_exist_ok=True)
    return str(directory)


@pytest.fixture
def hass_config_dir(config_directory: str) -> str:
    """Return it for Home Assistant, which copies its blueprints there."""
    return config_directory


class NoNames(Resolver):
    """Knows no name: none is asked for on the network."""

    @override
    async def services(self, name: str) -> Sequence[ServiceRecord]:
        raise OSError(f"{name} is not known")

    @override
    async def addresses(self, name: str) -> Sequence[AddressRecord]:
        raise OSError(f"{name} is not known")

    async def async_close(self) -> None:
        """Ask nothing any more."""


@pytest.fixture(autouse=True)
def no_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask no name server; test_pbx_resolver has one of its own."""
    monkeypatch.setattr(dfks_listener, "DnsResolver", NoNames)


@pytest.fixture
def aiohttp_client(
    aiohttp_client: Callable[..., Awaitable[Any]],
) -> Callable[..., Awaitable[Any]]:
    """Return what starts a web server, which can be given nothing more to serve then."""

    async def start(*args: object, **kwargs: object) -> Any:
        for task in asyncio.all_tasks():
            if task.get_name() == "dfks serve dashboard strategy":
                await task
        return await aiohttp_client(*args, **kwargs)

    return start


@pytest.fixture
def port() -> int:
    """Return a port that is free."""
    return free_port()


@pytest.fixture
def entry(port: int) -> MockConfigEntry:
    """Return a listener with the lines Reception and Workshop, not set up yet."""
    return listener_entry(port, BOTH_LINES)


@pytest.fixture
async def listener(hass: HomeAssistant, entry: MockConfigEntry) -> DfksListener:
    """Set `entry` up and return its listener."""
    return await set_up(hass, entry)


@pytest.fixture
async def web(
    hass: HomeAssistant,
    listener: DfksListener,
    hass_client_no_auth: Callable[[], Awaitable[Any]],
) -> str:
    """Return where the web server is on which Home Assistant can be reached."""
    client = await hass_client_no_auth()
    base = str(client.make_url("")).rstrip("/")
    hass.config.internal_url = base
    return base


@pytest.fixture
def listener_stays(entry: MockConfigEntry, listener: DfksListener) -> Iterator[None]:
    """Make sure that listener and server are the same afterwards."""
    server = listener.server
    yield
    assert entry_state(entry) is ConfigEntryState.LOADED
    assert runtime(entry) is listener
    assert listener.server is server


@pytest.fixture
async def open_phone(port: int) -> AsyncIterator[OpenPhone]:
    """Return what opens phones; the listener has to run by then."""
    async with AsyncExitStack() as stack:

        async def open_phone(
            line_id: str = RECEPTION, *, transport: str = "udp", told: bool = True
        ) -> Phone:
            data = {RECEPTION: RECEPTION_DATA, WORKSHOP: WORKSHOP_DATA}[line_id]
            phone = Phone(
                data["user"], data["password"], (LOCALHOST, port), transport=transport
            )
            await stack.enter_async_context(phone)
            assert (await phone.subscribe()).status == 200
            if told:
                await phone.notification()
            return phone

        yield open_phone


@pytest.fixture
async def plug(port: int) -> AsyncIterator[Plug]:
    """Return what plugs phones in; the listener has to run by the time they speak."""
    async with AsyncExitStack() as stack:

        async def plug(
            *,
            user: str = "201",
            password: str = "reception-201",
            auth_name: str | None = None,
            transport: str = "udp",
            user_agent: str = "Desk/1.0",
            local: tuple[str, int] | None = None,
            instance: str | None = None,
        ) -> Phone:
            phone = Phone(
                user,
                password,
                (LOCALHOST, port),
                auth_name=auth_name,
                transport=transport,
                user_agent=user_agent,
                local=local,
                instance=instance,
            )
            return await stack.enter_async_context(phone)

        yield plug


async def try_to_register(
    plug: Plug, user: str, user_agent: str = YEALINK, *, address: str = LOCALHOST
) -> None:
    """Have a phone try to register whose line is not there."""
    phone = await plug(
        user=user, password="mine", user_agent=user_agent, local=(address, 0)
    )
    assert (await phone.register()).status == 401


@pytest.fixture
def clock() -> Iterator[ManualClock]:
    """Give the listener a clock that the test moves; to be used before it is set up."""
    clock = ManualClock()
    with patch("custom_components.dfks.listener.LoopClock", return_value=clock):
        yield clock


@pytest.fixture
def all_entities_enabled() -> Iterator[None]:
    """Add the entities too that a user would have to enable first."""
    enabled = "homeassistant.helpers.entity.Entity.entity_registry_enabled_default"
    with patch(enabled, new=True):
        yield


@pytest.fixture
def snapshot(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    """Write snapshots of Home Assistant's objects without what changes every run."""
    return snapshot.with_defaults(
        extension_class=HomeAssistantSnapshotExtension,
        # Home Assistant's own, from 2026.11 on.
        exclude=props("compat_name"),
    )
