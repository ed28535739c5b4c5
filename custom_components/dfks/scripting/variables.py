"""What scripts and actions say of a feature, in OpenSIPS' names.

People write it by hand or by template, and a template turns "2424" into a number. So
whatever can only mean one thing is taken, and everything else is a BadValueError.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, time, timedelta
import math
from typing import Any, Final

from homeassistant.helpers import config_validation as cv
from homeassistant.util import dt as dt_util
from homeassistant.util.json import JsonObjectType
import voluptuous as vol

from ..const import ATTR_CLAIMS, ATTR_UNTIL, FEATURE_KEYS
from ..features.claims import MAX_END, last_end, names
from ..features.hooks import Ruling
from ..features.model import MAX_RING_COUNT, Claims, Feature, FeatureState, Origin
from ..features.targets import dialable

FIELD_FORWARD_TO: Final = "forwardTo"
FIELD_RING_COUNT: Final = "ringCount"

# The fields that a feature has beside its status.
FIELDS: Final[Mapping[Feature, tuple[str, ...]]] = {
    Feature.DO_NOT_DISTURB: (),
    Feature.CALL_FORWARDING_ALWAYS: (FIELD_FORWARD_TO,),
    Feature.CALL_FORWARDING_BUSY: (FIELD_FORWARD_TO,),
    Feature.CALL_FORWARDING_NO_ANSWER: (FIELD_FORWARD_TO, FIELD_RING_COUNT),
}

_FEATURES: Final = {
    **{feature.value.lower(): feature for feature in Feature},
    **{key: feature for feature, key in FEATURE_KEYS.items()},
}

_WORDS: Final = {
    **dict.fromkeys(("true", "on", "yes"), True),
    **dict.fromkeys(("false", "off", "no"), False),
}

_ORIGINS: Final = {Origin.PHONE: "phone", Origin.END: "timer", Origin.PBX: "pbx"}

# Characters of the name of a claim, and the longest time that one may last by a duration.
MAX_CLAIM: Final = 64
MAX_DURATION: Final = timedelta(days=3660)

# Characters of a reason that a user is shown, at most.
MAX_REASON: Final = 255


class BadValueError(ValueError):
    """Something that makes no sense where it stands; the text says what."""


class BadAnswerError(ValueError):
    """Something in a script's answer that makes no sense; `field` names it."""

    def __init__(self, field: str, reason: str) -> None:
        """Say where, and what."""
        super().__init__(f"{field}: {reason}")
        self.field = field


def read_feature(name: str) -> Feature:
    """Return a feature by OpenSIPS' name or by its key in Home Assistant.

    Raises BadValueError for an unknown one.
    """
    feature = _FEATURES.get(name.strip().lower())
    if feature is None:
        raise BadValueError(f"{name} is not a feature")
    return feature


def read_status(value: object) -> bool:
    """Return whether a value means on: true, on, yes, or any number but 0.

    Raises BadValueError for what means neither on nor off.
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        word = _WORDS.get(value.strip().lower())
        if word is not None:
            return word
    number = _number(value)
    if number is None:
        raise BadValueError(f"{value!r} is neither on nor off")
    return number != 0


def read_target(value: object) -> str:
    """Return where calls go; the empty text for nowhere. Raises BadValueError."""
    if isinstance(value, str):
        text = value
    elif (number := _whole_number(value)) is not None:
        text = str(number)
    else:
        raise BadValueError(f"{value!r} is not a number to call")
    if (target := dialable(text)) is None:
        raise BadValueError(f"{text!r} is neither a number to call nor a SIP address")
    return target


def read_rings(value: object) -> int:
    """Return a number of rings. Raises BadValueError."""
    rings = _whole_number(value)
    if rings is None or not 0 <= rings <= MAX_RING_COUNT:
        raise BadValueError(
            f"{value!r} is not a whole number from 0 to {MAX_RING_COUNT}"
        )
    return rings


def read_claim(value: object) -> str:
    """Return the name of a claim. Raises BadValueError."""
    name = " ".join(str(value).split())
    if not 0 < len(name) <= MAX_CLAIM or not name.isprintable():
        raise BadValueError(f"a name has 1 to {MAX_CLAIM} characters")
    return name


def read_duration(value: object) -> float:
    """Return a length of time in seconds, as Home Assistant's actions take it.

    Raises BadValueError for what is none, and for one of no or of endless length.
    """
    if isinstance(value, bool):
        raise BadValueError(f"{value!r} is not a length of time")
    try:
        duration: timedelta = cv.positive_time_period(value)
    except (vol.Invalid, OverflowError, TypeError) as err:
        raise BadValueError(f"{value!r} is not a length of time") from err
    if not timedelta() < duration <= MAX_DURATION:
        raise BadValueError(f"{value!r} is no time that one can wait for")
    return duration.total_seconds()


def read_time(value: object) -> float:
    """Return a moment in seconds since the epoch.

    It may be a date and time, in Home Assistant's time zone where it names none, or a
    time of day, which stands for the next time that it comes. Raises BadValueError.
    """
    number = _number(value)
    seconds = _moment(value).timestamp() if number is None else number
    if not 0 <= seconds <= MAX_END:
        raise BadValueError(f"{value!r} is too far away")
    return float(seconds)


def _moment(value: object) -> datetime:
    moment = value if isinstance(value, datetime) else None
    if isinstance(value, str):
        text = value.strip()
        try:
            moment = dt_util.parse_datetime(text)
        except ValueError as err:
            raise BadValueError(f"{value!r} is not a date") from err
        if moment is None and (of_day := dt_util.parse_time(text)) is not None:
            moment = _next(of_day)
    if moment is None:
        raise BadValueError(f"{value!r} is not a time")
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt_util.get_default_time_zone())
    return moment


def _next(of_day: time) -> datetime:
    """Return the next moment at which the clock on the wall shows a time."""
    now = dt_util.now()
    # Where clocks are set back at night, a time comes twice (fold, PEP 495).
    moments = (
        datetime.combine(now.date() + timedelta(days=days), of_day, now.tzinfo).replace(
            fold=fold
        )
        for days in (0, 1)
        for fold in (0, 1)
    )
    return next(moment for moment in moments if moment.timestamp() > now.timestamp())


def shown_value(feature: Feature, state: FeatureState) -> dict[str, str | int]:
    """Return the values of a feature by their fields."""
    values: dict[str, str | int] = {
        FIELD_FORWARD_TO: state.forward_to,
        FIELD_RING_COUNT: state.ring_count,
    }
    return {field: values[field] for field in FIELDS[feature]}


def shown_time(seconds: float) -> str:
    """Return a time in ISO 8601, in the time zone of Home Assistant."""
    return dt_util.as_local(dt_util.utc_from_timestamp(seconds)).isoformat()


def shown_claims(claims: Claims | None) -> JsonObjectType:
    """Return until when a feature is on, and what claims it."""
    end = last_end(claims)
    return {
        ATTR_UNTIL: None if end is None else shown_time(end),
        ATTR_CLAIMS: [*names(claims)],
    }


def shown_origin(origin: Origin) -> str:
    """Return who asks for a change, in the word that scripts and events have for it."""
    return _ORIGINS.get(origin, "home_assistant")


def read_refusal(answer: Mapping[str, Any]) -> str | None:
    """Return why a script refuses, the empty text without a reason; None: it does not."""
    refuse = answer.get("refuse")
    if not refuse:
        return None
    if refuse is True:
        return ""
    return " ".join(str(refuse).split())[:MAX_REASON] or None


def read_ruling(answer: Mapping[str, Any], feature: Feature) -> Ruling:
    """Return what a script's answer changes of what it was offered.

    Keys that are not known are passed over, and so are fields that the feature does
    not have. Raises BadAnswerError for a known one that makes no sense.
    """
    values = answer.get("value")
    if values is None:
        values = {}
    if not isinstance(values, Mapping):
        raise BadAnswerError("value", "it is not a mapping")
    values = {
        field: value
        for field, value in values.items()
        if field in FIELDS[feature] and value is not None
    }
    return Ruling(
        status=_read_part(answer, "status", read_status),
        forward_to=_read_part(values, FIELD_FORWARD_TO, read_target),
        ring_count=_read_part(values, FIELD_RING_COUNT, read_rings),
        assigned=_read_part(answer, "assigned", read_status) is not False,
        notify=_read_part(answer, "notify", read_status) is not False,
    )


def _read_part[T](
    answer: Mapping[str, Any], field: str, reader: Callable[[object], T]
) -> T | None:
    """Return a part of an answer, None where it says nothing about it."""
    if (value := answer.get(field)) is None:
        return None
    try:
        return reader(value)
    except BadValueError as err:
        raise BadAnswerError(field, str(err)) from err


def _number(value: object) -> float | None:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, float) and math.isfinite(value):
        return value
    return value if isinstance(value, int) else None


def _whole_number(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        text = value.strip()
        return int(text) if text.isascii() and text.isdigit() else None
    number = _number(value)
    return int(number) if number is not None and number == int(number) else None
