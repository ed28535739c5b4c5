"""Until when a feature is on."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, override

from homeassistant.components.datetime import DateTimeEntity, DateTimeEntityDescription
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.util import dt as dt_util

from .const import ATTR_UNTIL, FEATURE_KEYS
from .entity import (
    DfksFeatureEntityDescription,
    DfksFieldEntity,
    async_setup_line_entities,
)
from .errors import invalid
from .features.claims import MAX_END, last_end
from .features.model import ClaimsChanged, Feature, FeatureChanged, Hold
from .listener import DfksConfigEntry

PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class DfksDateTimeDescription(DfksFeatureEntityDescription, DateTimeEntityDescription):
    """Describes the end of a feature."""


# That of Do not disturb is what people use; four for each line would leave Home Assistant
# room for far fewer lines.
DESCRIPTIONS: Final = tuple(
    DfksDateTimeDescription(
        key=f"{FEATURE_KEYS[feature]}_until",
        translation_key=f"{FEATURE_KEYS[feature]}_until",
        feature=feature,
        entity_category=EntityCategory.CONFIG,
        entity_registry_enabled_default=feature is Feature.DO_NOT_DISTURB,
    )
    for feature in Feature
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: DfksConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the ends of the lines' features."""
    async_setup_line_entities(entry, async_add_entities, DfksDateTime, DESCRIPTIONS)


class DfksDateTime(DfksFieldEntity, DateTimeEntity):
    """When a feature that is on goes off by itself; unknown where it does not."""

    entity_description: DfksDateTimeDescription
    _events = (FeatureChanged, ClaimsChanged)

    @property
    @override
    def native_value(self) -> datetime | None:
        """The end of the last claim, None without one and where one has no end."""
        if self._is_blank:
            return None
        end = last_end(self._line.claims(self._feature))
        return None if end is None else dt_util.utc_from_timestamp(end)

    @override
    async def async_set_value(self, value: datetime) -> None:
        """Turn the feature on until a time; one that is over is refused."""
        end = value.timestamp()
        async with self._shown_again():
            if end <= dt_util.utcnow().timestamp():
                raise invalid("until_in_past", value=str(value))
            if end > MAX_END:
                raise invalid("value_invalid", field=ATTR_UNTIL, value=str(value))
            await self._async_change(status=True, hold=Hold("", end))
