"""Event entities that tell of the switches."""

from typing import Any

from homeassistant.components.event import EventEntity
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
    """Add the event entities."""
    events = hass.data[DOMAIN]["event"] = [Event(number) for number in range(COUNT)]
    async_add_entities(events)
    discovery_info["ready"].set()


class Event(EventEntity):
    """One event entity."""

    _attr_should_poll = False
    _attr_event_types = ["on", "off"]  # noqa: RUF012

    def __init__(self, number: int) -> None:
        """Start with nothing to tell."""
        self._attr_unique_id = f"event_{number}"
        self._attr_name = f"Event {number}"

    def trigger(self, *, on: bool) -> None:
        """Tell that a switch was turned."""
        self.async_set_context(Context())
        self._trigger_event(
            "on" if on else "off",
            {
                "feature": "switch",
                "from": {"status": not on},
                "to": {"status": on},
                "who": "phone",
                "source": "127.0.0.1:5060",
            },
        )
        self.async_write_ha_state()
