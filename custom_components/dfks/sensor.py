"""What becomes of a line's calls, and what is known of its phone."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, override

from homeassistant.components.sensor import (
    SensorDeviceClass,
    SensorEntity,
    SensorEntityDescription,
    SensorStateClass,
)
from homeassistant.const import MAX_LENGTH_STATE_STATE, EntityCategory
from homeassistant.core import Context, HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.restore_state import RestoreEntity

from .const import ATTR_CALLS, ATTR_NAME, ATTR_NUMBER, ATTR_TARGET, CALL_KEY, LineOption
from .entity import (
    DfksCallEntity,
    DfksEntity,
    DfksEntityDescription,
    DfksStateEntity,
    async_setup_line_entities,
)
from .features.model import Feature, FeatureChanged, Line, LineEvent
from .features.seen import CallEvent, CallState
from .listener import DfksConfigEntry
from .phones.monitor import LineContact, SyncStatus

PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class DfksSensorDescription(DfksEntityDescription, SensorEntityDescription):
    """Describes a sensor of a line."""


@dataclass(frozen=True, kw_only=True)
class DfksPhoneSensorDescription(DfksSensorDescription):
    """Describes a fact about the phone of a line."""

    value_fn: Callable[[Line, LineContact], datetime | int | str | None]


SYNC_STATUS_DESCRIPTIONS: Final = (
    DfksPhoneSensorDescription(
        key="sync_status",
        translation_key="sync_status",
        device_class=SensorDeviceClass.ENUM,
        entity_category=EntityCategory.DIAGNOSTIC,
        options=[status.value for status in SyncStatus],
        value_fn=lambda _, phone: phone.status,
    ),
)

PHONE_DESCRIPTIONS: Final = (
    DfksPhoneSensorDescription(
        key="user_agent",
        translation_key="user_agent",
        option=LineOption.PHONES,
        entity_category=EntityCategory.DIAGNOSTIC,
        value_fn=lambda _, phone: (
            phone.user_agent and phone.user_agent[:MAX_LENGTH_STATE_STATE]
        ),
    ),
    DfksPhoneSensorDescription(
        key="last_contact",
        translation_key="last_contact",
        device_class=SensorDeviceClass.TIMESTAMP,
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        value_fn=lambda _, phone: phone.last_contact,
    ),
    DfksPhoneSensorDescription(
        key="watchers",
        translation_key="watchers",
        option=LineOption.PHONES,
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        state_class=SensorStateClass.MEASUREMENT,
        value_fn=lambda line, _: line.watchers,
    ),
)


CALL_DESCRIPTIONS: Final = (
    DfksSensorDescription(
        key=CALL_KEY,
        translation_key=CALL_KEY,
        option=LineOption.CALLS,
        device_class=SensorDeviceClass.ENUM,
        options=[state.value for state in CallState],
    ),
)


class IncomingCalls(StrEnum):
    """What becomes of a call to a line before its phone rings."""

    RING = "ring"
    DO_NOT_DISTURB = "do_not_disturb"
    FORWARDED = "forwarded"


# No category: it is what dashboards by area show of a line, beside do not disturb.
INCOMING_CALLS_DESCRIPTIONS: Final = (
    DfksSensorDescription(
        key="incoming_calls",
        translation_key="incoming_calls",
        device_class=SensorDeviceClass.ENUM,
        options=[state.value for state in IncomingCalls],
    ),
)

DESCRIPTIONS: Final = (
    *SYNC_STATUS_DESCRIPTIONS,
    *PHONE_DESCRIPTIONS,
    *CALL_DESCRIPTIONS,
    *INCOMING_CALLS_DESCRIPTIONS,
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: DfksConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the sensors of the lines."""
    async_setup_line_entities(
        entry, async_add_entities, DfksSyncStatus, SYNC_STATUS_DESCRIPTIONS
    )
    async_setup_line_entities(entry, async_add_entities, DfksSensor, PHONE_DESCRIPTIONS)
    async_setup_line_entities(
        entry, async_add_entities, DfksCallSensor, CALL_DESCRIPTIONS
    )
    async_setup_line_entities(
        entry, async_add_entities, DfksIncomingCalls, INCOMING_CALLS_DESCRIPTIONS
    )


class DfksSensor(DfksEntity, SensorEntity):
    """One fact about the phone of a line."""

    entity_description: DfksPhoneSensorDescription

    def __init__(
        self,
        entry: DfksConfigEntry,
        line: Line,
        description: DfksPhoneSensorDescription,
    ) -> None:
        """Tie the sensor to what is seen of the line's phone, or of its PBX."""
        super().__init__(entry, line, description)
        self._phone = entry.runtime_data.contact(line)
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


class DfksSyncStatus(DfksSensor, RestoreEntity):
    """How far the phone has come.

    A phone with a wrong password says so seldom, and not again because Home Assistant
    has been restarted: that is remembered.
    """

    @override
    async def async_added_to_hass(self) -> None:
        """Recall a wrong password, and follow the line and its phone."""
        last = await self.async_get_last_state()
        if last is not None and last.state == SyncStatus.WRONG_PASSWORD:
            self._phone.recall_refusal()
        await super().async_added_to_hass()


class DfksIncomingCalls(DfksStateEntity, SensorEntity):
    """What becomes of a line's calls: the first that is on counts, as at a PBX."""

    entity_description: DfksSensorDescription
    # The history has it as the state of the text.
    _unrecorded_attributes = frozenset({ATTR_TARGET})

    @property
    def _target(self) -> str | None:
        """Where calls go, while all of them are forwarded."""
        forwarding = self._line.state(Feature.CALL_FORWARDING_ALWAYS)
        return forwarding.forward_to if forwarding.status else None

    @property
    @override
    def native_value(self) -> IncomingCalls | None:
        """Whether calls ring, are rejected or go elsewhere; None: a PBX has not said."""
        unknown = self._line.unknown
        if Feature.CALL_FORWARDING_ALWAYS in unknown:
            return None
        if self._target is not None:
            return IncomingCalls.FORWARDED
        if Feature.DO_NOT_DISTURB in unknown:
            return None
        if self._line.state(Feature.DO_NOT_DISTURB).status:
            return IncomingCalls.DO_NOT_DISTURB
        return IncomingCalls.RING

    @property
    @override
    def extra_state_attributes(self) -> dict[str, str | None]:
        """Where calls go."""
        return {ATTR_TARGET: self._target}

    @property
    @override
    def _shown(self) -> object:
        return self.available, self.native_value, self._target

    @callback
    @override
    def _handle_event(self, event: LineEvent) -> None:
        super()._handle_event(event)
        if isinstance(event, FeatureChanged):
            self._write(event.change)


class DfksCallSensor(DfksCallEntity, SensorEntity):
    """What the line is doing, and with whom."""

    entity_description: DfksSensorDescription

    @property
    @override
    def native_value(self) -> str:
        """The most urgent state of the line's calls."""
        return self._calls.seen.state

    @property
    @override
    def extra_state_attributes(self) -> dict[str, Any]:
        """The other side of the call that the state is of, and how many there are."""
        seen = self._calls.seen
        number, name = seen.party
        return {
            ATTR_NUMBER: number or None,
            ATTR_NAME: name or None,
            ATTR_CALLS: len(seen),
        }

    @callback
    @override
    def _handle_call(self, event: CallEvent | None, context: Context) -> None:
        self.async_set_context(context)
        self.async_write_ha_state()
