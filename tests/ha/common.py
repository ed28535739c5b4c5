"""What the tests of the Home Assistant floor say again and again."""

from collections.abc import Iterable, Mapping
import logging
from typing import Any

from homeassistant.config_entries import ConfigEntryState, ConfigSubentryDataWithId
from homeassistant.const import (
    CONF_HOST,
    CONF_NAME,
    CONF_PASSWORD,
    CONF_PORT,
    EVENT_HOMEASSISTANT_FINAL_WRITE,
    EVENT_HOMEASSISTANT_STOP,
)
from homeassistant.core import CoreState, HomeAssistant
from homeassistant.helpers import device_registry as dr
import pytest
from pytest_homeassistant_custom_component.common import (  # type: ignore[import-untyped]
    MockConfigEntry,
    async_fire_time_changed,
    async_fire_time_changed_exact,
    async_test_home_assistant,
    get_system_health_info,
    get_test_config_dir,
    snapshot_platform,
)
from pytest_homeassistant_custom_component.components.diagnostics import (  # type: ignore[import-untyped]
    get_diagnostics_for_config_entry,
    get_diagnostics_for_device,
)
from pytest_homeassistant_custom_component.syrupy import HomeAssistantSnapshotExtension  # type: ignore[import-untyped]

from custom_components.dfks.const import DOMAIN
from custom_components.dfks.features.model import ChangeRequest, Feature, Line, Origin
from custom_components.dfks.listener import DfksListener

# Home Assistant's test helpers have no types: imported here, once for all.
__all__ = [
    "HomeAssistantSnapshotExtension",
    "MockConfigEntry",
    "async_fire_time_changed",
    "async_fire_time_changed_exact",
    "async_test_home_assistant",
    "get_diagnostics_for_config_entry",
    "get_diagnostics_for_device",
    "get_system_health_info",
    "get_test_config_dir",
    "snapshot_platform",
]

LOCALHOST = "127.0.0.1"
RECEPTION = "reception"
WORKSHOP = "workshop"

ALL_FEATURES = [
    "do_not_disturb",
    "call_forwarding_always",
    "call_forwarding_busy",
    "call_forwarding_no_answer",
]

RECEPTION_DATA: Mapping[str, Any] = {
    "user": "201",
    CONF_PASSWORD: "reception-201",
    "features": ALL_FEATURES,
    "notify_style": "multipart",
}
WORKSHOP_DATA: Mapping[str, Any] = {
    "user": "202",
    CONF_PASSWORD: "workshop-202",
    "features": ALL_FEATURES,
    "notify_style": "multipart",
}

DND = "switch.reception_do_not_disturb"
DND_UNTIL = "datetime.reception_do_not_disturb_until"
ALWAYS = "switch.reception_call_forwarding_always"
ALWAYS_UNTIL = "datetime.reception_call_forwarding_always_until"
ALWAYS_TARGET = "text.reception_call_forwarding_always_target"
NO_ANSWER = "switch.reception_call_forwarding_no_answer"
NO_ANSWER_TARGET = "text.reception_call_forwarding_no_answer_target"
RINGS = "number.reception_call_forwarding_no_answer_rings"
CONNECTED = "binary_sensor.reception_phone_connected"
FEATURE_CHANGE = "event.reception_feature_change"
SYNC_STATUS = "sensor.reception_sync_status"
CALL = "sensor.reception_call"
CALL_EVENT = "event.reception_call"
INCOMING_CALLS = "sensor.reception_incoming_calls"
USER_AGENT = "sensor.reception_user_agent"
LAST_CONTACT = "sensor.reception_last_contact"
WATCHERS = "sensor.reception_watchers"
WORKSHOP_DND = "switch.workshop_do_not_disturb"

# What a phone says of itself.
YEALINK = "Yealink SIP-T46U 108.86.0.20"

# Seconds from one thing that a person does to the next. What goes back within one second
# is told to phones later than at once.
A_WHILE = 1.1


def line_data(
    line_id: str, title: str, data: Mapping[str, Any]
) -> ConfigSubentryDataWithId:
    """Return a line as a config entry stores it."""
    return ConfigSubentryDataWithId(
        subentry_id=line_id,
        subentry_type="line",
        title=title,
        unique_id=data["user"],
        data=data,
    )


BOTH_LINES = (
    line_data(RECEPTION, "Reception", RECEPTION_DATA),
    line_data(WORKSHOP, "Workshop", WORKSHOP_DATA),
)


def listener_entry(
    port: int,
    lines: Iterable[ConfigSubentryDataWithId],
    *,
    settings: Mapping[str, object] | None = None,
    **changes: object,
) -> MockConfigEntry:
    """Return the config entry of a listener on the loopback address.

    `settings` are data beside address, port and realm.
    """
    data = {CONF_HOST: LOCALHOST, CONF_PORT: port, "realm": "homeassistant"}
    return MockConfigEntry(
        domain=DOMAIN,
        entry_id="dfks_entry",
        title="SIP listener",
        data=data | dict(settings or {}),
        subentries_data=list(lines),
        **changes,
    )


async def set_up(hass: HomeAssistant, entry: MockConfigEntry) -> DfksListener:
    """Set the entry up and return its listener."""
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    assert entry.state is ConfigEntryState.LOADED
    return runtime(entry)


async def stop(hass: HomeAssistant) -> None:
    """Stop as Home Assistant does, as far as entries and entities notice."""
    hass.set_state(CoreState.stopping)
    hass.bus.async_fire(EVENT_HOMEASSISTANT_STOP)
    await hass.async_block_till_done()
    hass.bus.async_fire(EVENT_HOMEASSISTANT_FINAL_WRITE)
    await hass.async_block_till_done()


def runtime(entry: MockConfigEntry) -> DfksListener:
    """Return the listener that runs for the entry."""
    listener: DfksListener = entry.runtime_data
    return listener


def entry_state(entry: MockConfigEntry) -> ConfigEntryState:
    """Return what has become of the entry."""
    state: ConfigEntryState = entry.state
    return state


def find_device(hass: HomeAssistant, line_id: str) -> dr.DeviceEntry | None:
    """Return the device of a line, None where there is no such line."""
    return dr.async_get(hass).async_get_device_by_identifier(
        (DOMAIN, f"dfks_entry_{line_id}"), "dfks_entry"
    )


def device_of(hass: HomeAssistant, line_id: str = RECEPTION) -> dr.DeviceEntry:
    """Return the device of a line."""
    device = find_device(hass, line_id)
    assert device is not None
    return device


def line(entry: MockConfigEntry, line_id: str = RECEPTION) -> Line:
    """Return a running line of the entry."""
    return runtime(entry).sync.lines[line_id]


async def change_line(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    line_id: str = RECEPTION,
    *,
    title: str | None = None,
    **data: object,
) -> None:
    """Store other data of a line, or another name."""
    subentry = entry.subentries[line_id]
    hass.config_entries.async_update_subentry(
        entry,
        subentry,
        title=title or subentry.title,
        data={**subentry.data, **data},
    )
    await hass.async_block_till_done()


async def press(
    entry: MockConfigEntry,
    feature: Feature,
    *,
    line_id: str = RECEPTION,
    status: bool | None = None,
    forward_to: str | None = None,
    ring_count: int | None = None,
) -> None:
    """Change a feature as a phone's key does."""
    await runtime(entry).sync.change(
        line_id,
        ChangeRequest(
            feature=feature,
            status=status,
            forward_to=forward_to,
            ring_count=ring_count,
            origin=Origin.PHONE,
            source="127.0.0.1:5062",
        ),
    )


async def turn(hass: HomeAssistant, entity_id: str, to: str) -> None:
    """Turn a switch "on" or "off"."""
    await hass.services.async_call(
        "switch", f"turn_{to}", {"entity_id": entity_id}, blocking=True
    )


async def write_text(hass: HomeAssistant, entity_id: str, value: str) -> None:
    """Set a text."""
    await hass.services.async_call(
        "text", "set_value", {"entity_id": entity_id, "value": value}, blocking=True
    )


async def write_number(hass: HomeAssistant, entity_id: str, value: float) -> None:
    """Set a number."""
    await hass.services.async_call(
        "number", "set_value", {"entity_id": entity_id, "value": value}, blocking=True
    )


def said(caplog: pytest.LogCaptureFixture, level: int = logging.NOTSET) -> list[str]:
    """Return what the integration has logged, from a level on."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith(f"custom_components.{DOMAIN}")
        and record.levelno >= level
    ]


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the integration has complained about."""
    return said(caplog, logging.WARNING)


def state_of(hass: HomeAssistant, entity_id: str) -> str:
    """Return an entity's state."""
    state = hass.states.get(entity_id)
    assert state is not None, f"there is no {entity_id}"
    return state.state


def reception_form(**changes: object) -> dict[str, Any]:
    """Return the filled form of the line Reception."""
    return {CONF_NAME: "Reception", **RECEPTION_DATA, **changes}
