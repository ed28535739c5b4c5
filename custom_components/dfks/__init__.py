"""A phone's feature keys and Home Assistant's entities move together."""

import asyncio
from contextlib import suppress
from functools import partial

from homeassistant.const import EVENT_HOMEASSISTANT_STOP, Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers import config_validation as cv
from homeassistant.helpers.typing import ConfigType
from homeassistant.loader import Integration, async_get_integration

from .capacity import async_lines_without_room
from .const import DOMAIN
from .frontend import async_add_strategy, async_remove_strategy, async_setup_strategy
from .left_issues import async_drop_left_issues
from .listener import DfksConfigEntry, DfksListener
from .services import async_setup_services
from .storage.bindings import BindingStore
from .storage.dialogs import PhoneStore
from .storage.states import StateStore
from .termination import async_say_goodbye

PLATFORMS = [
    Platform.BINARY_SENSOR,
    Platform.DATETIME,
    Platform.EVENT,
    Platform.NUMBER,
    Platform.SENSOR,
    Platform.SWITCH,
    Platform.TEXT,
]

# What a scene sets of a forwarding, the switch last: should a scene come before all of
# it is loaded, then a forwarding goes on after its target is set.
SCENE_PLATFORMS = [Platform.TEXT, Platform.NUMBER, Platform.SWITCH]

CONFIG_SCHEMA = cv.config_entry_only_config_schema(DOMAIN)


async def async_setup(hass: HomeAssistant, config: ConfigType) -> bool:
    """Register what is there also while the listener is not loaded."""
    async_drop_left_issues(hass)
    async_setup_services(hass)
    async_setup_strategy(hass)
    return True


async def async_setup_entry(hass: HomeAssistant, entry: DfksConfigEntry) -> bool:
    """Open the listener, then add the entities of its lines."""
    async_add_strategy(hass)
    listener = DfksListener(hass, entry, partial(async_lines_without_room, hass, entry))
    await listener.async_start()
    entry.runtime_data = listener
    # Home Assistant imports one module after the other, for seconds while it starts.
    # Phones do not wait for that.
    entry.async_create_background_task(
        hass, _async_prepare_scenes(hass), "dfks prepare scenes"
    )
    entry.async_on_unload(entry.add_update_listener(_async_entry_updated))
    # A line may have been added while the sockets were being opened.
    listener.async_update_lines()
    # Home Assistant does not unload entries when it stops.
    entry.async_on_unload(
        hass.bus.async_listen_once(EVENT_HOMEASSISTANT_STOP, listener.async_stop)
    )
    await hass.config_entries.async_forward_entry_setups(entry, PLATFORMS)
    listener.async_announce()
    return True


async def _async_prepare_scenes(hass: HomeAssistant) -> None:
    """Load what applies scenes.

    Else Home Assistant loads it with the first scene, one platform after the other, and
    a forwarding goes on long before its target is set.
    """
    integrations = [await async_get_integration(hass, name) for name in SCENE_PLATFORMS]
    await asyncio.gather(*map(_async_load_scenes_of, integrations))


async def _async_load_scenes_of(integration: Integration) -> None:
    # Where there is none, scenes do without.
    with suppress(ImportError):
        await integration.async_get_platform("reproduce_state")


async def async_unload_entry(hass: HomeAssistant, entry: DfksConfigEntry) -> bool:
    """Remove the entities, then close the listener and write what is to be kept."""
    if not await hass.config_entries.async_unload_platforms(entry, PLATFORMS):
        return False
    await entry.runtime_data.async_stop()
    return True


async def async_remove_entry(hass: HomeAssistant, entry: DfksConfigEntry) -> None:
    """Tell the phones, then delete what is stored."""
    async_remove_strategy(hass)
    try:
        await async_say_goodbye(hass, entry)
    finally:
        await StateStore(hass, entry.entry_id).async_remove()
        await PhoneStore(hass, entry.entry_id).async_remove()
        await BindingStore(hass, entry.entry_id).async_remove()


async def _async_entry_updated(hass: HomeAssistant, entry: DfksConfigEntry) -> None:
    """Follow changed lines and PBXs; other settings of the listener need a new one."""
    listener = entry.runtime_data
    if listener.is_outdated:
        hass.config_entries.async_schedule_reload(entry.entry_id)
        return
    listener.hooks.async_look_again()
    listener.async_update_lines()
