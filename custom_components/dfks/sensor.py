"""What is known of a line's phone: what keeps it away, what it is, when it spoke."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, override

from homeassistant.components.sensor import (
    SensorDeviceClass,
    SensorEntity,
    SensorEntityDescription,
    SensorStateClass,
)
from homeassistant.const import MAX_LENGTH_STATE_STATE, EntityCategory
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .entity import DfksEntity, DfksEntityDescription, async_setup_line_entities
from .features.model import FeatureChanged, Line, LineEvent
from .listener import DfksConfigEntry
from .phones.monitor import LinePhone, SyncStatus

PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class DfksSensorDescription(DfksEntityDescription, SensorEntityDescription):
    """Describes a sensor of a line."""

    value_fn: Callable[[Line, LinePhone], datetime | int | str | None]


DESCRIPTIONS: Final = (
    DfksSensorDescription(
        key="sync_status",
        translation_key="sync_status",
        device_class=SensorDeviceClass.ENUM,
        entity_category=EntityCategory.DIAGNOSTIC,
        options=[status.value for status in SyncStatus],
        value_fn=lambda _, phone: phone.status,
    ),
    DfksSensorDescription(
        key="user_agent",
        translation_key="user_agent",
        entity_category=EntityCategory.DIAGNOSTIC,
        value_fn=lambda _, phone: (
            phone.user_agent and phone.user_agent[:MAX_LENGTH_STATE_STATE]
        ),
    ),
    DfksSensorDescription(
        key="last_contact",
        translation_key="last_contact",
        device_class=SensorDeviceClass.TIMESTAMP,
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        value_fn=lambda _, phone: phone.last_contact,
    ),
    DfksSensorDescription(
        key="watchers",
        translation_key="watchers",
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        state_class=SensorStateClass.MEASUREMENT,
        value_fn=lambda line, _: line.watchers,
    ),
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: DfksConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the sensors of the lines."""
    async_setup_line_entities(entry, async_add_entities, DfksSensor, DESCRIPTIONS)


class DfksSensor(DfksEntity, SensorEntity):
    """One fact about the phone of a line."""

    entity_description: DfksSensorDescription

    def __init__(
        self, entry: DfksConfigEntry, line: Line, description: DfksSensorDescription
    ) -> None:
        """Tie the sensor to what is seen of the line's phone."""
        super().__init__(entry, line, description)
        self._phone = entry.runtime_data.monitor.phone(line)
        self._attr_native_value = self._value

    @property
    def _value(self) -> datetime | int | str | None:
        return self.entity_description.value_fn(self._line, self._phone)

    @override
    async def async_added_to_hass(self) -> None:
        """Follow the line and its phone."""
        await super().async_added_to_hass()
        self.async_on_remove(self._phone.subscribe(self._handle_phone))
        self._attr_native_value = self._value

    @callback
    @override
    def _handle_event(self, event: LineEvent) -> None:
        if not isinstance(event, FeatureChanged):
            self._handle_phone()

    @callback
    def _handle_phone(self) -> None:
        """Write what has changed; a phone speaks far more often than that."""
        if (value := self._value) != self._attr_native_value:
            self._attr_native_value = value
            self.async_write_ha_state()
