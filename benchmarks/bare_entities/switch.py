"""Switches that remember what they were told."""

from homeassistant.components.switch import SwitchEntity
from homeassistant.core import Context

from . import set_up_of


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


async_setup_platform = set_up_of("switch", Switch)
