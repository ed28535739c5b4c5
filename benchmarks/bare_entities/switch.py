"""Switches that remember what they were told."""

from typing import Any

from homeassistant.components.switch import SwitchEntity
from homeassistant.core import Context, HomeAssistant
from homeassistant.helpers.entity_platform import AddEntitiesCallback
from homeassistant.helpers.typing import ConfigType

from . import COUNT, DOMAIN


async def async_setup_platform(
    hass: HomeAssistant,
    config: ConfigType,
    async_add_entities: AddEntitiesCallback,
    discovery_info: dict[str, Any],
) -> None:
    """Add the switches."""
    switches = hass.data[DOMAIN]["switch"] = [Switch(number) for number in range(COUNT)]
    async_add_entities(switches)
    discovery_info["ready"].set()


class Switch(SwitchEntity):
    """One switch."""

    _attr_should_poll = False

    def __init__(self, number: int) -> None:
        """Start off."""
        self._attr_unique_id = f"switch_{number}"
        self._attr_name = f"Switch {number}"
        self._attr_is_on = False

    def turn(self) -> None:
        """Turn it on or off."""
        self._attr_is_on = not self._attr_is_on
        self.async_set_context(Context())
        self.async_write_ha_state()
