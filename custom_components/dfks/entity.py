"""What the entities of a line share."""

from abc import abstractmethod
import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, override

from homeassistant.core import Context, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.entity import Entity, EntityDescription
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .const import (
    ATTR_CALLS,
    ATTR_FEATURE,
    ATTR_NAME,
    ATTR_NUMBER,
    FEATURE_KEYS,
    LineOption,
)
from .errors import refused
from .features.model import (
    AvailabilityChanged,
    ChangeRefused,
    ChangeRequest,
    ClaimsChanged,
    ConnectionChanged,
    Feature,
    FeatureChanged,
    FeatureState,
    Hold,
    Line,
    LineEvent,
    Origin,
)
from .features.seen import CallEvent
from .listener import DfksConfigEntry, LineParts
from .settings import line_unique_id

# Seconds in which Home Assistant's page draws a state before it hears of the next one.
BLANK: Final = 0.2


@dataclass(frozen=True, kw_only=True)
class DfksEntityDescription(EntityDescription):
    """Describes an entity of a line."""

    feature: Feature | None = None
    """The feature without which the entity does not exist."""

    option: LineOption | None = None
    """The option of the line without which it does not; neither: it always does."""

    @property
    def needs(self) -> Feature | LineOption | None:
        """What the line must have for the entity to exist; None: nothing."""
        return self.option or self.feature


@dataclass(frozen=True, kw_only=True)
class DfksFeatureEntityDescription(DfksEntityDescription):
    """Describes an entity of one feature of a line."""

    feature: Feature


class DfksEntity(Entity):
    """An entity of a line.

    Where Home Assistant owns the state it is always available, and phones follow it
    when they come. Of a line that only a PBX knows it is as long as the PBX tells it.
    """

    _attr_has_entity_name = True
    _attr_should_poll = False

    def __init__(
        self, entry: DfksConfigEntry, line: Line, description: DfksEntityDescription
    ) -> None:
        """Tie the entity to its line."""
        self.entity_description = description
        self._entry = entry
        self._line = line
        self._attr_unique_id = f"{line_unique_id(entry, line.id)}_{description.key}"
        self._attr_device_info = entry.runtime_data.devices.info(line)

    @property
    def _line_name(self) -> str:
        """The line as the user calls it, for messages."""
        return self._entry.runtime_data.line_name(self._line)

    @override
    async def async_added_to_hass(self) -> None:
        """Follow the line."""
        self.async_on_remove(self._line.subscribe(self._handle_event))

    @callback
    def _take_context(self, change: ChangeRequest) -> None:
        """Write the next state in the context of a change.

        Otherwise a key that is pressed just after a user's click would count as that
        user's, and a click that had to wait for a script as somebody else's.
        """
        if isinstance(change.context, Context):
            self.async_set_context(change.context)

    @callback
    @abstractmethod
    def _handle_event(self, event: LineEvent) -> None:
        """Write the state anew where an event of the line concerns the entity."""


class DfksStateEntity(DfksEntity):
    """An entity that shows what is available only while somebody tells it."""

    # What was shown after the last event.
    _written: object = None

    @property
    @override
    def available(self) -> bool:
        """Whether the state is ours, or its PBX tells it."""
        return self._line.available

    @property
    def _shown(self) -> object:
        """All that the state is made of; None: each event writes it anew."""
        return None

    @callback
    def _write(self, change: ChangeRequest | None = None) -> None:
        """Write the state, in the context of a change, unless it would be the same."""
        shown = self._shown
        if shown is not None and shown == self._written:
            return
        self._written = shown
        if change is not None:
            self._take_context(change)
        self.async_write_ha_state()

    @callback
    @override
    def _handle_event(self, event: LineEvent) -> None:
        if isinstance(event, AvailabilityChanged):
            self._write()


class DfksConnectionEntity(DfksEntity):
    """An entity that shows whether a line's phone is there."""

    @callback
    @override
    def _handle_event(self, event: LineEvent) -> None:
        if isinstance(event, ConnectionChanged):
            self.async_write_ha_state()


class DfksFeatureEntity(DfksStateEntity):
    """An entity of one feature of a line; it reads the model and keeps no copy.

    It says which feature it is of: neither name nor entity id tells a template that,
    both differ by language and area and may be changed by the user.
    """

    # It never changes: nothing for the history.
    _unrecorded_attributes = frozenset({ATTR_FEATURE})

    # The events after which the entity is another one.
    _events: tuple[type[FeatureChanged | ClaimsChanged], ...] = (FeatureChanged,)

    def __init__(
        self,
        entry: DfksConfigEntry,
        line: Line,
        description: DfksFeatureEntityDescription,
    ) -> None:
        """Tie the entity to its line and feature."""
        super().__init__(entry, line, description)
        self._feature = description.feature
        self._attr_extra_state_attributes = {
            ATTR_FEATURE: FEATURE_KEYS[description.feature]
        }

    @property
    def _state(self) -> FeatureState:
        return self._line.state(self._feature)

    @property
    def _is_known(self) -> bool:
        """Whether the state is ours, or its PBX has said it."""
        return self._feature not in self._line.unknown

    @callback
    @override
    def _handle_event(self, event: LineEvent) -> None:
        if not isinstance(event, self._events):
            super()._handle_event(event)
            return
        if event.change.feature is self._feature:
            self._write(event.change)

    async def _async_change(
        self,
        *,
        status: bool | None = None,
        forward_to: str | None = None,
        ring_count: int | None = None,
        hold: Hold | None = None,
    ) -> None:
        """Ask for a change; raises HomeAssistantError where it is refused."""
        change = ChangeRequest(
            feature=self._feature,
            status=status,
            forward_to=forward_to,
            ring_count=ring_count,
            hold=hold,
            origin=Origin.ENTITY,
            context=self._context,
        )
        if status is None and self._state.status:
            # A scene may turn the feature off beside it, in this turn of the loop. That
            # comes first: no call is to go to a target that is only to be kept.
            await asyncio.sleep(0)
        try:
            await self._entry.runtime_data.sync.change(self._line.id, change)
        except ChangeRefused as err:
            raise refused(err, self._line_name, str(self.name)) from err


class DfksCallEntity(DfksEntity):
    """An entity of the calls of a line."""

    # Who calls whom is nothing for the history.
    _unrecorded_attributes = frozenset({ATTR_NUMBER, ATTR_NAME, ATTR_CALLS})

    def __init__(
        self, entry: DfksConfigEntry, line: Line, description: DfksEntityDescription
    ) -> None:
        """Tie the entity to the calls of its line, which are seen by now."""
        super().__init__(entry, line, description)
        self._calls = entry.runtime_data.calls.of(line.id)

    @override
    async def async_added_to_hass(self) -> None:
        """Follow the calls."""
        self.async_on_remove(self._calls.subscribe(self._handle_call))

    @callback
    @override
    def _handle_event(self, event: LineEvent) -> None:
        """Leave the features of the line alone."""

    @callback
    @abstractmethod
    def _handle_call(self, event: CallEvent | None, context: Context) -> None:
        """Write the state anew, in a context, where what has happened concerns it."""


class DfksFieldEntity(DfksFeatureEntity):
    """An entity of a feature into which a user types its value."""

    # Whether the state is unknown for a moment, so that the stored value is shown anew.
    _is_blank = False

    @property
    @abstractmethod
    def native_value(self) -> Any:
        """The value, None where it is unknown."""

    @property
    @override
    def _shown(self) -> object:
        """Most changes of a feature leave its value as it is."""
        return None if self._is_blank else (self.available, self.native_value)

    @asynccontextmanager
    async def _shown_again(self) -> AsyncIterator[None]:
        """Show a user the stored value again where the new one is refused.

        Home Assistant's page keeps what was typed until it hears of another state.
        """
        try:
            yield
        except HomeAssistantError:
            if self._context is not None and self._context.user_id is not None:
                self._is_blank = True
                self.async_write_ha_state()
                try:
                    await asyncio.sleep(BLANK)
                finally:
                    self._is_blank = False
                    self.async_write_ha_state()
            raise


@callback
def async_setup_line_entities[DescriptionT: DfksEntityDescription](
    entry: DfksConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
    entity_class: Callable[[DfksConfigEntry, Line, DescriptionT], Entity],
    descriptions: Iterable[DescriptionT],
) -> None:
    """Add a platform's entities of every line, now and whenever one is added."""

    @callback
    def add_entities(line: Line, parts: LineParts) -> None:
        async_add_entities(
            [
                entity_class(entry, line, description)
                for description in descriptions
                if description.needs in parts
            ],
            config_subentry_id=line.id,
        )

    entry.runtime_data.async_add_platform(add_entities)
