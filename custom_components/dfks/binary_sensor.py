"""Whether a phone of a line is there, and whether a PBX answers."""

from dataclasses import dataclass
from typing import Final, override

from homeassistant.components.binary_sensor import (
    BinarySensorDeviceClass,
    BinarySensorEntity,
    BinarySensorEntityDescription,
)
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .const import LineOption
from .devices import MANUFACTURER, DevicePage, device_info
from .entity import (
    DfksConnectionEntity,
    DfksEntityDescription,
    async_setup_line_entities,
)
from .listener import DfksConfigEntry
from .pbx.manager import Pbx
from .settings import line_unique_id

PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class DfksBinarySensorDescription(DfksEntityDescription, BinarySensorEntityDescription):
    """Describes a binary sensor of a line."""


DESCRIPTIONS: Final = (
    DfksBinarySensorDescription(
        key="phone_connected",
        translation_key="phone_connected",
        option=LineOption.PHONES,
        device_class=BinarySensorDeviceClass.CONNECTIVITY,
        entity_category=EntityCategory.DIAGNOSTIC,
    ),
)

PBX_REACHABLE: Final = BinarySensorEntityDescription(
    key="pbx_reachable",
    translation_key="pbx_reachable",
    device_class=BinarySensorDeviceClass.CONNECTIVITY,
    entity_category=EntityCategory.DIAGNOSTIC,
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: DfksConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the binary sensors of the lines, and of the PBXs."""
    async_setup_line_entities(entry, async_add_entities, DfksBinarySensor, DESCRIPTIONS)

    @callback
    def add_pbx(pbx: Pbx) -> None:
        async_add_entities([PbxReachable(entry, pbx)], config_subentry_id=pbx.id)

    entry.runtime_data.pbxs.async_add_platform(add_pbx)


class DfksBinarySensor(DfksConnectionEntity, BinarySensorEntity):
    """On while a phone holds a subscription that answers."""

    entity_description: DfksBinarySensorDescription

    @property
    @override
    def is_on(self) -> bool:
        """Whether a phone is there."""
        return self._line.connected


class PbxReachable(BinarySensorEntity):
    """On while a PBX answers what phones send to it through here."""

    _attr_has_entity_name = True
    _attr_should_poll = False

    def __init__(self, entry: DfksConfigEntry, pbx: Pbx) -> None:
        """Tie the entity to its PBX."""
        self.entity_description = PBX_REACHABLE
        self._pbx = pbx
        self._attr_unique_id = f"{line_unique_id(entry, pbx.id)}_{PBX_REACHABLE.key}"
        self._attr_device_info = device_info(
            entry, pbx.id, DevicePage(MANUFACTURER, "PBX")
        )

    @property
    @override
    def is_on(self) -> bool | None:
        """Whether the PBX answers; unknown before a phone has tried."""
        return self._pbx.reachable

    @override
    async def async_added_to_hass(self) -> None:
        """Follow the PBX."""
        self.async_on_remove(self._pbx.subscribe(self.async_write_ha_state))
