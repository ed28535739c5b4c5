"""The section of a line's form that is about what becomes of its calls."""

from collections.abc import Mapping
from typing import Any, Final

from homeassistant.helpers.selector import (
    BooleanSelector,
    TextSelector,
    TextSelectorConfig,
)
import voluptuous as vol

from ..const import (
    CONF_ALWAYS_RING,
    CONF_BUSY_STATUS,
    CONF_EMERGENCY,
    CONF_REJECT_RINGING,
    CONF_RING_SECONDS,
    CONF_TREAT_CALLS,
)
from ..features.calls import BUSY, EMERGENCY_NUMBERS, NOT_THERE, RING_SECONDS
from ..features.targets import dialable
from ..forms import Errors, choice
from ..phones.identifiers import is_user

# Numbers of one list.
MAX_NUMBERS: Final = 100

# What is there before anybody has chosen something.
TREATMENT_DEFAULTS: Final[Mapping[str, Any]] = {
    CONF_TREAT_CALLS: False,
    CONF_BUSY_STATUS: str(BUSY),
    CONF_RING_SECONDS: str(RING_SECONDS),
    CONF_REJECT_RINGING: False,
    CONF_ALWAYS_RING: [],
    CONF_EMERGENCY: list(EMERGENCY_NUMBERS),
}


def treatment_fields() -> dict[vol.Marker, Any]:
    """Return the fields of the section."""
    numbers = TextSelector(TextSelectorConfig(multiple=True))
    fields = {
        CONF_TREAT_CALLS: BooleanSelector(),
        CONF_BUSY_STATUS: choice(CONF_BUSY_STATUS, [str(BUSY), str(NOT_THERE)]),
        CONF_RING_SECONDS: choice(CONF_RING_SECONDS, [str(RING_SECONDS), "5"]),
        CONF_REJECT_RINGING: BooleanSelector(),
    }
    return {
        **{
            vol.Required(name, default=TREATMENT_DEFAULTS[name]): selector
            for name, selector in fields.items()
        },
        # A list that is emptied is not sent at all.
        vol.Optional(CONF_ALWAYS_RING): numbers,
        vol.Optional(CONF_EMERGENCY): numbers,
    }


def treatment_shown(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the section opens with, given what is stored of the line."""
    return {
        name: stored.get(name, default) for name, default in TREATMENT_DEFAULTS.items()
    }


def check_treatment(values: Mapping[str, Any]) -> tuple[dict[str, Any], Errors]:
    """Return what to store of the section, and what is wrong with it."""
    errors: Errors = {}
    data: dict[str, Any] = {}
    for name, default in TREATMENT_DEFAULTS.items():
        value = values.get(name, [] if isinstance(default, list) else default)
        if isinstance(default, list):
            value = list(dict.fromkeys(filter(None, map(str.strip, value))))
            if len(value) > MAX_NUMBERS:
                errors[name] = "too_many_numbers"
            elif not all(map(_is_caller, value)):
                errors[name] = "invalid_number"
        if value != default:
            data[name] = value
    return data, errors


def _is_caller(text: str) -> bool:
    """Whether somebody may call by this, or be called."""
    return dialable(text) is not None or is_user(text)
