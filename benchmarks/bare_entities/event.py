"""Event entities that tell of the switches."""

from homeassistant.components.event import EventEntity
from homeassistant.core import Context

from . import set_up_of


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


async_setup_platform = set_up_of("event", Event)
