"""Whether a phone of the line is there."""

from dataclasses import dataclass
from typing import Final, override

from homeassistant.components.binary_sensor import (
    BinarySensorDeviceClass,
    BinarySensorEntity,
    BinarySensorEntityDescription,
)
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .entity import (
    DfksConnectionEntity,
    DfksEntityDescription,
    async_setup_line_entities,
)
from .listener import DfksConfigEntry

PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class DfksBinarySensorDescription(DfksEntityDescription, BinarySensorEntityDescription):
    """Describes a binary sensor of a line."""


DESCRIPTIONS: Final = (
    DfksBinarySensorDescription(
        key="phone_connected",
        translation_key="phone_connected",
        device_class=BinarySensorDeviceClass.CONNECTIVITY,
        entity_category=EntityCategory.DIAGNOSTIC,
    ),
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: DfksConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the binary sensors of the lines."""
    async_setup_line_entities(entry, async_add_entities, DfksBinarySensor, DESCRIPTIONS)


class DfksBinarySensor(DfksConnectionEntity, BinarySensorEntity):
    """On while a phone holds a subscription that answers."""

    entity_description: DfksBinarySensorDescription

    @property
    @override
    def is_on(self) -> bool:
        """Whether a phone is there."""
        return self._line.connected
