"""The devices of lines and PBXs; each subentry has one."""

from typing import Final

from homeassistant.config_entries import ConfigEntry, ConfigSubentry
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import area_registry as ar, device_registry as dr
from homeassistant.helpers.device_registry import DeviceInfo

from .const import CONF_AREA, DOMAIN
from .settings import line_unique_id

LINE_MODEL: Final = "SIP phone line"


def device_info(entry: ConfigEntry, subentry_id: str, model: str) -> DeviceInfo:
    """Return what the entities of a subentry say of its device."""
    return DeviceInfo(
        identifiers={(DOMAIN, line_unique_id(entry, subentry_id))},
        manufacturer="DFKS",
        model=model,
        name=entry.subentries[subentry_id].title,
    )


@callback
def find_device(
    hass: HomeAssistant, entry: ConfigEntry, subentry_id: str
) -> dr.DeviceEntry | None:
    """Return the device of a subentry, None before it has one."""
    return dr.async_get(hass).async_get_device_by_identifier(
        (DOMAIN, line_unique_id(entry, subentry_id)), entry.entry_id
    )


@callback
def make_device_in_area(
    hass: HomeAssistant, entry: ConfigEntry, subentry: ConfigSubentry
) -> None:
    """Make the device of a new line in the area that was chosen for it.

    A device that is there stays where it is: it is the user's to move.
    """
    area = subentry.data.get(CONF_AREA)
    if area is None or ar.async_get(hass).async_get_area(area) is None:
        return
    if find_device(hass, entry, subentry.subentry_id) is not None:
        return
    registry = dr.async_get(hass)
    device = registry.async_get_or_create(
        config_entry_id=entry.entry_id,
        config_subentry_id=subentry.subentry_id,
        **device_info(entry, subentry.subentry_id, LINE_MODEL),
    )
    registry.async_update_device(device.id, area_id=area)


@callback
def rename_device(
    hass: HomeAssistant, entry: ConfigEntry, subentry: ConfigSubentry
) -> None:
    """Call the device of a subentry what the subentry is called now."""
    device = find_device(hass, entry, subentry.subentry_id)
    if device is not None and device.name != subentry.title:
        dr.async_get(hass).async_update_device(device.id, name=subentry.title)
