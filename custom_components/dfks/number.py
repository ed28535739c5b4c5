"""How often a phone rings before the call goes elsewhere."""

from dataclasses import dataclass
from typing import Final, override

from homeassistant.components.number import (
    NumberEntity,
    NumberEntityDescription,
    NumberMode,
)
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .entity import (
    DfksFeatureEntityDescription,
    DfksFieldEntity,
    async_setup_line_entities,
)
from .errors import invalid
from .features.model import MAX_RING_COUNT, Feature
from .listener import DfksConfigEntry

PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class DfksNumberDescription(DfksFeatureEntityDescription, NumberEntityDescription):
    """Describes a number of a feature."""


DESCRIPTIONS: Final = (
    DfksNumberDescription(
        key="call_forwarding_no_answer_rings",
        translation_key="call_forwarding_no_answer_rings",
        feature=Feature.CALL_FORWARDING_NO_ANSWER,
        entity_category=EntityCategory.CONFIG,
        mode=NumberMode.BOX,
        native_min_value=0,
        native_max_value=MAX_RING_COUNT,
        native_step=1,
    ),
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: DfksConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the numbers of the lines."""
    async_setup_line_entities(entry, async_add_entities, DfksNumber, DESCRIPTIONS)


class DfksNumber(DfksFieldEntity, NumberEntity):
    """The rings before an unanswered call is forwarded."""

    entity_description: DfksNumberDescription

    @property
    @override
    def native_value(self) -> int | None:
        """The number of rings."""
        known = self._is_known and self._line.rings_known
        return self._state.ring_count if known and not self._is_blank else None

    @override
    async def async_set_native_value(self, value: float) -> None:
        """Set the number of rings; a fraction of a ring is refused."""
        async with self._shown_again():
            if value != int(value):
                raise invalid("rings_not_whole", value=str(value))
            await self._async_change(ring_count=int(value))
