"""Who changed a feature of a line, and from what to what."""

from dataclasses import dataclass
from typing import Final, override

from homeassistant.components.event import EventEntity, EventEntityDescription
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .changes import event_type, event_types, shown
from .const import ATTR_FEATURE, FEATURE_KEYS
from .entity import DfksEntity, DfksEntityDescription, async_setup_line_entities
from .features.model import FeatureChanged, Line, LineEvent
from .listener import DfksConfigEntry
from .scripting.variables import shown_origin

PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class DfksEventDescription(DfksEntityDescription, EventEntityDescription):
    """Describes an event entity of a line."""


DESCRIPTIONS: Final = (
    DfksEventDescription(key="feature_change", translation_key="feature_change"),
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: DfksConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the event entities of the lines."""
    async_setup_line_entities(entry, async_add_entities, DfksEvent, DESCRIPTIONS)


class DfksEvent(DfksEntity, EventEntity):
    """Fires when a feature of the line changes, whoever has changed it."""

    entity_description: DfksEventDescription

    def __init__(
        self, entry: DfksConfigEntry, line: Line, description: DfksEventDescription
    ) -> None:
        """Tie the entity to its line."""
        super().__init__(entry, line, description)
        self._attr_event_types = event_types(line.assigned)

    @callback
    @override
    def _handle_event(self, event: LineEvent) -> None:
        if not isinstance(event, FeatureChanged):
            return
        feature = event.change.feature
        # The line may have other features now than when the entity was made.
        self._attr_event_types = event_types(self._line.assigned)
        before, after = shown(feature, event.old), shown(feature, event.new)
        if feature not in self._line.assigned or before == after:
            return
        self._take_context(event.change)
        self._trigger_event(
            event_type(feature, event.old, event.new),
            {
                ATTR_FEATURE: FEATURE_KEYS[feature],
                "from": before,
                "to": after,
                "who": shown_origin(event.change.origin),
                "source": event.change.source,
            },
        )
        self.async_write_ha_state()
