"""How Activity names the author of a change that it does not know itself, and a call."""

from collections.abc import Callable, Mapping
from typing import Any

from homeassistant.components.logbook import (
    LOGBOOK_ENTRY_MESSAGE,
    LOGBOOK_ENTRY_NAME,
    LazyEventPartialState,
)
from homeassistant.core import HomeAssistant, callback

from .changes import (
    ATTR_AUTHOR,
    ATTR_CHANGE,
    ATTR_PHONE,
    AUTHOR_PHONE,
    EVENT_FEATURE_CHANGED,
)
from .const import ATTR_NAME, CALL_KEY, DOMAIN
from .phones.calls import ATTR_TYPE, EVENT_CALL
from .texts import common_text, text_of


@callback
def async_describe_events(
    hass: HomeAssistant,
    async_describe_event: Callable[
        [str, str, Callable[[LazyEventPartialState], dict[str, Any]]], None
    ],
) -> None:
    """Describe the event of a change, and that of a call."""

    def author(data: Mapping[str, Any]) -> str:
        key, phone = data[ATTR_AUTHOR], data.get(ATTR_PHONE)
        if key == AUTHOR_PHONE and not phone:
            key = "unnamed_phone"
        return common_text(hass, key, phone=phone or "")

    @callback
    def describe(event: LazyEventPartialState) -> dict[str, Any]:
        """Return who it was and what was changed, in Home Assistant's language."""
        data = event.data
        change = text_of(
            hass,
            "entity",
            f"event.feature_change.state_attributes.event_type.state.{data[ATTR_CHANGE]}",
        )
        return {
            LOGBOOK_ENTRY_NAME: author(data),
            LOGBOOK_ENTRY_MESSAGE: f"{data[ATTR_NAME]}: {change}",
        }

    @callback
    def describe_call(event: LazyEventPartialState) -> dict[str, Any]:
        """Return whose call it is and what has happened to it."""
        kind = event.data[ATTR_TYPE]
        return {
            LOGBOOK_ENTRY_NAME: event.data[ATTR_NAME],
            LOGBOOK_ENTRY_MESSAGE: text_of(
                hass,
                "entity",
                f"event.{CALL_KEY}.state_attributes.event_type.state.{kind}",
            ),
        }

    async_describe_event(DOMAIN, EVENT_FEATURE_CHANGED, describe)
    async_describe_event(DOMAIN, EVENT_CALL, describe_call)
