"""What a change is called, and who made it.

Home Assistant knows the author of a change by its context: who clicked, which automation
ran. A key on a phone has no such author, so its change comes with a context of its own,
and an event on the bus that carries it says which phone it was. Activity finds the event
by the context (see logbook.py).
"""

from collections.abc import Callable, Iterable
import re
from typing import Any, Final

from homeassistant.core import Context, HomeAssistant, callback

from .const import ATTR_FEATURE, ATTR_NAME, DOMAIN, FEATURE_KEYS
from .features.model import (
    ChangeRequest,
    Feature,
    FeatureChanged,
    FeatureState,
    Line,
    LineEvent,
    Origin,
)
from .phones.unknown import shown_user_agent
from .scripting.variables import FIELD_FORWARD_TO, FIELD_RING_COUNT, FIELDS

# Fired for a change whose author Home Assistant does not know by itself.
EVENT_FEATURE_CHANGED: Final = f"{DOMAIN}_feature_changed"

ATTR_AUTHOR: Final = "author"
ATTR_CHANGE: Final = "change"
ATTR_LINE: Final = "line"
ATTR_PHONE: Final = "phone"
ATTR_SOURCE: Final = "source"

# The authors that an event may name; each has its text under `common`.
AUTHOR_PHONE: Final = "phone"
AUTHOR_GET_SCRIPT: Final = "get_script"
AUTHOR_TIMER: Final = "timer"
AUTHOR_PBX: Final = "pbx"

_AUTHORS: Final = {
    Origin.PHONE: AUTHOR_PHONE,
    Origin.HOOK: AUTHOR_GET_SCRIPT,
    Origin.END: AUTHOR_TIMER,
    Origin.PBX: AUTHOR_PBX,
}

# Where the firmware's version begins, as in "Yealink SIP-T54W 96.86.0.70" or
# "snom320/8.7.5.35". What follows it is of no use as a name: a build, a MAC address.
_VERSION: Final = re.compile(r"[ /_-]+[vV]?\d+\.\d.*")


class Authors:
    """Fires the event that names the author of a change."""

    def __init__(
        self,
        hass: HomeAssistant,
        device_id: Callable[[Line], str | None],
        line_name: Callable[[Line], str],
    ) -> None:
        """Name lines by their devices, as the user does."""
        self._hass = hass
        self._device_id = device_id
        self._line_name = line_name

    @callback
    def handle_event(self, event: LineEvent) -> None:
        """Fire the event of a change; called before any entity writes its state.

        Activity takes the first event of a context for the cause of the others.
        """
        if not isinstance(event, FeatureChanged):
            return
        change = event.change
        author = _AUTHORS.get(change.origin)
        if author is None or not isinstance(change.context, Context):
            return
        feature = change.feature
        if shown(feature, event.old) == shown(feature, event.new):
            return
        self._hass.bus.async_fire(
            EVENT_FEATURE_CHANGED,
            {
                # Not as device_id: Activity of a device would show the change twice.
                ATTR_LINE: self._device_id(event.line),
                ATTR_NAME: self._line_name(event.line),
                ATTR_FEATURE: FEATURE_KEYS[feature],
                ATTR_CHANGE: event_type(feature, event.old, event.new),
                ATTR_AUTHOR: author,
                **_about_phone(change),
            },
            context=change.context,
        )


def _about_phone(change: ChangeRequest) -> dict[str, str | None]:
    if change.origin is not Origin.PHONE:
        return {}
    return {ATTR_PHONE: phone_name(change.agent), ATTR_SOURCE: change.source}


def phone_name(user_agent: str | None) -> str:
    """Return what a phone calls itself without its firmware; empty where it does not."""
    return _VERSION.sub("", shown_user_agent(user_agent)).strip()


def event_types(features: Iterable[Feature]) -> list[str]:
    """Return what can happen to some features."""
    return [
        f"{FEATURE_KEYS[feature]}_{what}"
        for feature in features
        for what in ("on", "off", *(("changed",) if FIELDS[feature] else ()))
    ]


def event_type(feature: Feature, old: FeatureState, new: FeatureState) -> str:
    """Return what has happened: on, off, or changed while it stayed on or off."""
    if old.status == new.status:
        what = "changed"
    else:
        what = "on" if new.status else "off"
    return f"{FEATURE_KEYS[feature]}_{what}"


def shown(feature: Feature, state: FeatureState) -> dict[str, Any]:
    """Return a state as attributes; only what the feature has."""
    attributes: dict[str, Any] = {"status": state.status}
    if FIELD_FORWARD_TO in FIELDS[feature]:
        attributes["forward_to"] = state.forward_to
    if FIELD_RING_COUNT in FIELDS[feature]:
        attributes["ring_count"] = state.ring_count
    return attributes
