"""The devices of lines and PBXs; each subentry has one.

That of a line is shown as the phone that it has, by what the phone says of itself, with
a link to the phone's web page.
"""

from collections.abc import Collection
from functools import lru_cache, partial
from ipaddress import IPv6Address, ip_address
from typing import Final, NamedTuple

from homeassistant.config_entries import ConfigEntry, ConfigSubentry
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import area_registry as ar, device_registry as dr
from homeassistant.helpers.device_registry import DeviceInfo

from .const import CONF_AREA, DOMAIN
from .features.model import Line
from .phones.description import describe
from .phones.monitor import PhoneMonitor, SeenPhone
from .settings import line_unique_id
from .sip import Network
from .texts import common_text

MANUFACTURER: Final = "DFKS"


class DevicePage(NamedTuple):
    """What the page of a device says under its name, by the registry's own names."""

    manufacturer: str | None
    model: str | None
    sw_version: str | None = None
    configuration_url: str | None = None


def device_info(entry: ConfigEntry, subentry_id: str, page: DevicePage) -> DeviceInfo:
    """Return what the entities of a subentry say of its device."""
    return DeviceInfo(
        identifiers={(DOMAIN, line_unique_id(entry, subentry_id))},
        name=entry.subentries[subentry_id].title,
        manufacturer=page.manufacturer,
        model=page.model,
        sw_version=page.sw_version,
        configuration_url=page.configuration_url,
    )


class LineDevices:
    """The devices of the lines of a listener, as their phones come and go."""

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ConfigEntry,
        monitor: PhoneMonitor,
        proxies: tuple[Network, ...],
    ) -> None:
        """Follow no line yet; `proxies` are addresses that are no phone's."""
        self._hass = hass
        self._entry = entry
        self._monitor = monitor
        self._proxies = proxies

    def info(self, line: Line) -> DeviceInfo:
        """Return what the entities of a line say of its device."""
        return device_info(self._entry, line.id, self._page(line))

    @callback
    def async_follow(self, line: Line) -> None:
        """Show the phone of a line from now on, whatever it turns out to be."""
        self._monitor.phone(line).subscribe(partial(self._update, line))

    @callback
    def async_make_in_area(self, line: Line) -> None:
        """Make the device of a new line in the area that was chosen for it.

        A device that is there stays where it is: it is the user's to move.
        """
        area = self._entry.subentries[line.id].data.get(CONF_AREA)
        if area is None or ar.async_get(self._hass).async_get_area(area) is None:
            return
        if find_device(self._hass, self._entry, line.id) is not None:
            return
        registry = dr.async_get(self._hass)
        device = registry.async_get_or_create(
            config_entry_id=self._entry.entry_id,
            config_subentry_id=line.id,
            **self.info(line),
        )
        registry.async_update_device(device.id, area_id=area)

    @callback
    def _update(self, line: Line) -> None:
        """Show the phone of a line; called whenever the phone has said something."""
        device = find_device(self._hass, self._entry, line.id)
        if device is None:
            return
        page = self._page(line)
        if page != tuple(getattr(device, field) for field in DevicePage._fields):
            dr.async_get(self._hass).async_update_device(device.id, **page._asdict())

    def _page(self, line: Line) -> DevicePage:
        """Return what the page of a line's device says.

        A phone that is away for a while is still the line's phone, but its address may
        be another's by then.
        """
        if not line.served:
            return self._page_of_no_phone()
        phone = self._monitor.phone(line)
        seen = phone.seen()
        agents = {one.user_agent for one in seen if one.user_agent}
        if len({one.host for one in seen}) > 1 or len(agents) > 1:
            # Several phones share the line.
            return self._page_of_no_phone()
        description = describe(phone.user_agent)
        if description is not None:
            return DevicePage(*description, self._address(seen))
        page = self._page_of_no_phone()
        device = find_device(self._hass, self._entry, line.id)
        if not seen and device is not None and device.manufacturer != MANUFACTURER:
            # It was there before Home Assistant started.
            page = DevicePage(device.manufacturer, device.model, device.sw_version)
        return page._replace(configuration_url=self._address(seen))

    def _page_of_no_phone(self) -> DevicePage:
        return DevicePage(MANUFACTURER, common_text(self._hass, "line"))

    def _address(self, seen: Collection[SeenPhone]) -> str | None:
        """Return where the web page of the only phone is, None where none is known."""
        hosts = {one.host for one in seen}
        if len(hosts) != 1 or not all(one.is_direct for one in seen):
            return None
        return _url_of(hosts.pop(), self._proxies)


@lru_cache(maxsize=1024)
def _url_of(host: str, proxies: tuple[Network, ...]) -> str | None:
    """Return where the web page of an address is, None for a proxy's.

    It is asked with each request of a phone.
    """
    address = ip_address(host)
    if any(address in network for network in proxies):
        return None
    if isinstance(address, IPv6Address):
        # A zone means something on this machine alone.
        return None if address.scope_id else f"http://[{address}]"
    return f"http://{address}"


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
