"""The devices of lines and PBXs; each subentry has one."""

from homeassistant.config_entries import ConfigEntry, ConfigSubentry
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers.device_registry import DeviceInfo

from .const import DOMAIN
from .settings import line_unique_id


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
def rename_device(
    hass: HomeAssistant, entry: ConfigEntry, subentry: ConfigSubentry
) -> None:
    """Call the device of a subentry what the subentry is called now."""
    device = find_device(hass, entry, subentry.subentry_id)
    if device is not None and device.name != subentry.title:
        dr.async_get(hass).async_update_device(device.id, name=subentry.title)
