"""Where the call forwardings send calls."""

from dataclasses import dataclass
from typing import Final, override

from homeassistant.components.text import TextEntity, TextEntityDescription
from homeassistant.const import MAX_LENGTH_STATE_STATE, EntityCategory
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .const import FEATURE_KEYS
from .entity import (
    DfksFeatureEntityDescription,
    DfksFieldEntity,
    async_setup_line_entities,
)
from .errors import invalid
from .features.model import FORWARDINGS
from .features.targets import dialable
from .listener import DfksConfigEntry

PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class DfksTextDescription(DfksFeatureEntityDescription, TextEntityDescription):
    """Describes a text of a feature."""


DESCRIPTIONS: Final = tuple(
    DfksTextDescription(
        key=f"{FEATURE_KEYS[feature]}_target",
        translation_key=f"{FEATURE_KEYS[feature]}_target",
        feature=feature,
        entity_category=EntityCategory.CONFIG,
        native_max=MAX_LENGTH_STATE_STATE,
    )
    for feature in FORWARDINGS
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: DfksConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the texts of the lines."""
    async_setup_line_entities(entry, async_add_entities, DfksText, DESCRIPTIONS)


class DfksText(DfksFieldEntity, TextEntity):
    """The number or SIP address that a forwarding sends calls to; empty until set."""

    entity_description: DfksTextDescription

    @property
    @override
    def native_value(self) -> str | None:
        """The target; of a longer one that a phone has set, what a state can hold."""
        if self._is_blank or not self._is_known:
            return None
        return self._state.forward_to[:MAX_LENGTH_STATE_STATE]

    @override
    async def async_set_value(self, value: str) -> None:
        """Set the target; the empty text clears it, which turns the forwarding off."""
        async with self._shown_again():
            if (target := dialable(value)) is None:
                shown = value if value.isprintable() else ascii(value)
                raise invalid("target_invalid", line=self._line_name, value=shown)
            await self._async_change(forward_to=target)
