"""Do not disturb and the call forwardings, on or off."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, override

from homeassistant.components.switch import SwitchEntity, SwitchEntityDescription
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .const import ATTR_FEATURE, ATTR_FORWARD_TO, FEATURE_KEYS
from .entity import (
    DfksFeatureEntity,
    DfksFeatureEntityDescription,
    async_setup_line_entities,
)
from .features.model import (
    FORWARDINGS,
    ClaimsChanged,
    Feature,
    FeatureChanged,
    LineEvent,
)
from .listener import DfksConfigEntry
from .scripting.variables import shown_claims

PARALLEL_UPDATES = 0

# Seconds that a forwarding waits for its target: a scene sets both at the same time,
# in no particular order.
TARGET_WAIT: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class DfksSwitchDescription(DfksFeatureEntityDescription, SwitchEntityDescription):
    """Describes a switch of a feature."""

    needs_target: bool
    """Whether the feature means nothing until it is known where calls go."""


# The forwardings are configuration: turning on everything in a room must not send
# its calls away.
DESCRIPTIONS: Final = (
    DfksSwitchDescription(
        key=FEATURE_KEYS[Feature.DO_NOT_DISTURB],
        translation_key=FEATURE_KEYS[Feature.DO_NOT_DISTURB],
        feature=Feature.DO_NOT_DISTURB,
        needs_target=False,
    ),
    *(
        DfksSwitchDescription(
            key=FEATURE_KEYS[feature],
            translation_key=FEATURE_KEYS[feature],
            feature=feature,
            entity_category=EntityCategory.CONFIG,
            needs_target=True,
        )
        for feature in FORWARDINGS
    ),
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: DfksConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the switches of the lines."""
    async_setup_line_entities(entry, async_add_entities, DfksSwitch, DESCRIPTIONS)


class DfksSwitch(DfksFeatureEntity, SwitchEntity):
    """A feature of a line, on or off."""

    entity_description: DfksSwitchDescription
    _events = (FeatureChanged, ClaimsChanged)
    # The history has it as the state of the text.
    _unrecorded_attributes = frozenset({ATTR_FEATURE, ATTR_FORWARD_TO})

    @property
    @override
    def is_on(self) -> bool | None:
        """Whether the feature is on, None where its PBX has not said it."""
        return self._state.status if self._is_known else None

    @property
    @override
    def extra_state_attributes(self) -> dict[str, Any]:
        """Which feature it is, where calls go, until when it is on, what claims it."""
        return {
            **self._attr_extra_state_attributes,
            **self._target,
            **shown_claims(self._line.claims(self._feature)),
        }

    @property
    def _target(self) -> dict[str, str | None]:
        """Where a forwarding sends calls, for tiles that show an attribute."""
        if not self.entity_description.needs_target:
            return {}
        return {ATTR_FORWARD_TO: self._state.forward_to or None}

    @override
    async def async_turn_on(self, **kwargs: Any) -> None:
        """Turn the feature on; a forwarding that has no target by then is refused."""
        if self.entity_description.needs_target and not self._state.status:
            await self._async_let_target_come_first()
        await self._async_change(status=True)

    @override
    async def async_turn_off(self, **kwargs: Any) -> None:
        """Turn the feature off; a forwarding keeps its target."""
        await self._async_change(status=False)

    async def _async_let_target_come_first(self) -> None:
        # What a scene sets beside the switch is done in this turn of the loop. Calls
        # must not go to the old target meanwhile, nor a script judge by it.
        await asyncio.sleep(0)
        if not self._state.forward_to:
            await self._async_wait_for_target()

    async def _async_wait_for_target(self) -> None:
        target_known = asyncio.Event()

        @callback
        def look(_event: LineEvent) -> None:
            if self._state.forward_to:
                target_known.set()

        unsubscribe = self._line.subscribe(look)
        try:
            # Where none comes, the set script may still supply one.
            with suppress(TimeoutError):
                async with asyncio.timeout(TARGET_WAIT):
                    await target_known.wait()
        finally:
            unsubscribe()
