"""Fixtures of the Home Assistant floor."""

from homeassistant.core import HomeAssistant
import pytest
from syrupy.assertion import SnapshotAssertion

from custom_components.dfks.listener import DfksListener

from .common import (
    RECEPTION,
    RECEPTION_DATA,
    WORKSHOP,
    WORKSHOP_DATA,
    HomeAssistantSnapshotExtension,
    MockConfigEntry,
    free_port,
    line_data,
    listener_entry,
    set_up,
)


@pytest.fixture(autouse=True)
def custom_integration(enable_custom_integrations: None, socket_enabled: None) -> None:
    """Let Home Assistant find the integration, and the listener open its sockets."""


@pytest.fixture
def port() -> int:
    """Return a port that is free."""
    return free_port()


@pytest.fixture
def entry(port: int) -> MockConfigEntry:
    """Return a listener with the lines Reception and Workshop, not set up yet."""
    return listener_entry(
        port,
        [
            line_data(RECEPTION, "Reception", RECEPTION_DATA),
            line_data(WORKSHOP, "Workshop", WORKSHOP_DATA),
        ],
    )


@pytest.fixture
async def listener(hass: HomeAssistant, entry: MockConfigEntry) -> DfksListener:
    """Set `entry` up and return its listener."""
    return await set_up(hass, entry)


@pytest.fixture
def snapshot(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    """Write snapshots of Home Assistant's objects without what changes every run."""
    return snapshot.use_extension(HomeAssistantSnapshotExtension)
