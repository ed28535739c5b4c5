"""Who changed a feature of a line, and from what to what."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, override

from homeassistant.components.event import EventEntity, EventEntityDescription
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .const import ATTR_FEATURE, FEATURE_KEYS
from .entity import DfksEntity, DfksEntityDescription, async_setup_line_entities
from .features.model import Feature, FeatureChanged, FeatureState, Line, LineEvent
from .listener import DfksConfigEntry
from .scripting.variables import (
    FIELD_FORWARD_TO,
    FIELD_RING_COUNT,
    FIELDS,
    shown_origin,
)

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


def event_types(features: Iterable[Feature]) -> list[str]:
    """Return what can happen to some features."""
    return [
        f"{FEATURE_KEYS[feature]}_{what}"
        for feature in features
        for what in ("on", "off", *(("changed",) if FIELDS[feature] else ()))
    ]


def event_type(feature: Feature, old: FeatureState, new: FeatureState) -> str:
    """Return what has happened: on, off, or changed while it stayed on or off."""
    if old.status == new.status:
        what = "changed"
    else:
        what = "on" if new.status else "off"
    return f"{FEATURE_KEYS[feature]}_{what}"


def shown(feature: Feature, state: FeatureState) -> dict[str, Any]:
    """Return a state as attributes; only what the feature has."""
    attributes: dict[str, Any] = {"status": state.status}
    if FIELD_FORWARD_TO in FIELDS[feature]:
        attributes["forward_to"] = state.forward_to
    if FIELD_RING_COUNT in FIELDS[feature]:
        attributes["ring_count"] = state.ring_count
    return attributes
