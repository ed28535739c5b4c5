"""What has happened: who changed a feature of a line, and what became of its calls."""

from dataclasses import dataclass
from typing import Final, override

from homeassistant.components.event import EventEntity, EventEntityDescription
from homeassistant.core import Context, HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .changes import event_type, event_types, shown
from .const import (
    ATTR_DURATION,
    ATTR_FEATURE,
    ATTR_NAME,
    ATTR_NUMBER,
    ATTR_REASON,
    CALL_KEY,
    FEATURE_KEYS,
    LineOption,
)
from .entity import (
    DfksCallEntity,
    DfksEntityDescription,
    DfksStateEntity,
    async_setup_line_entities,
)
from .features.model import FeatureChanged, Line, LineEvent
from .features.seen import CallEvent, CallEventType
from .listener import DfksConfigEntry
from .scripting.variables import shown_origin

PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class DfksEventDescription(DfksEntityDescription, EventEntityDescription):
    """Describes an event entity of a line."""


CHANGE_DESCRIPTIONS: Final = (
    DfksEventDescription(key="feature_change", translation_key="feature_change"),
)
CALL_DESCRIPTIONS: Final = (
    DfksEventDescription(
        key=CALL_KEY,
        translation_key=CALL_KEY,
        option=LineOption.CALLS,
        event_types=[kind.value for kind in CallEventType],
    ),
)
DESCRIPTIONS: Final = (*CHANGE_DESCRIPTIONS, *CALL_DESCRIPTIONS)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: DfksConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the event entities of the lines."""
    async_setup_line_entities(entry, async_add_entities, DfksEvent, CHANGE_DESCRIPTIONS)
    async_setup_line_entities(
        entry, async_add_entities, DfksCallEvent, CALL_DESCRIPTIONS
    )


class DfksEvent(DfksStateEntity, EventEntity):
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
            super()._handle_event(event)
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


class DfksCallEvent(DfksCallEntity, EventEntity):
    """Fires when something happens to a call of the line."""

    entity_description: DfksEventDescription

    @callback
    @override
    def _handle_call(self, event: CallEvent | None, context: Context) -> None:
        if event is None:
            return
        self.async_set_context(context)
        self._trigger_event(
            event.type,
            {
                ATTR_NUMBER: event.party.number or None,
                ATTR_NAME: event.party.name or None,
                ATTR_REASON: event.reason and event.reason.value,
                ATTR_DURATION: event.duration,
            },
        )
        self.async_write_ha_state()
