"""The actions: OpenSIPS' management call, and the question that goes with it.

Both name lines by device or by presentity. Everything is checked for all lines before
anything is changed, so that a mistake changes nothing.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from homeassistant.auth.permissions.const import (
    CAT_ENTITIES,
    POLICY_CONTROL,
    POLICY_READ,
)
from homeassistant.const import ATTR_DEVICE_ID, Platform
from homeassistant.core import (
    HomeAssistant,
    ServiceCall,
    ServiceResponse,
    SupportsResponse,
    callback,
)
from homeassistant.exceptions import HomeAssistantError, Unauthorized, UnknownUser
from homeassistant.helpers import (
    config_validation as cv,
    device_registry as dr,
    entity_registry as er,
)
from homeassistant.util.json import JsonObjectType
import voluptuous as vol

from .const import ATTR_FEATURE, DOMAIN, FEATURE_KEYS
from .errors import invalid, refused
from .features.model import (
    ChangeRefused,
    Feature,
    FeatureChange,
    FeatureState,
    Line,
    Origin,
    Refusal,
)
from .listener import DfksConfigEntry, DfksListener
from .scripting.variables import (
    FIELD_FORWARD_TO,
    FIELD_RING_COUNT,
    FIELDS,
    read_feature,
    read_rings,
    read_status,
    read_target,
    shown_value,
)
from .settings import line_unique_id

if TYPE_CHECKING:
    from probatio import Schema

SERVICE_SET_FEATURE: Final = "set_feature"
SERVICE_GET_FEATURES: Final = "get_features"

ATTR_PRESENTITY: Final = "presentity"
ATTR_STATUS: Final = "status"
ATTR_ROUTE_PARAM: Final = "route_param"
ATTR_VALUES: Final = "values"

_LINES: Final[dict[vol.Marker, object]] = {
    vol.Optional(ATTR_DEVICE_ID): vol.All(cv.ensure_list, [cv.string]),
    vol.Optional(ATTR_PRESENTITY): vol.All(cv.ensure_list, [cv.string]),
}


def _schema(fields: dict[vol.Marker, object]) -> Schema:
    """Return the schema of an action, which needs a line in any case."""
    needs_line = cv.has_at_least_one_key(ATTR_DEVICE_ID, ATTR_PRESENTITY)
    # A type checker sees another schema here than Home Assistant does.
    return cast("Schema", vol.Schema(vol.All({**_LINES, **fields}, needs_line)))


GET_SCHEMA: Final = _schema({})

# What the values mean is checked where it can be told in the user's language.
SET_SCHEMA: Final = _schema(
    {
        vol.Required(ATTR_FEATURE): cv.string,
        vol.Optional(ATTR_STATUS): vol.Any(bool, str, int, float),
        vol.Optional(ATTR_ROUTE_PARAM): object,
        vol.Optional(ATTR_VALUES): vol.Any(dict, list, str),
    }
)


@dataclass(frozen=True, slots=True)
class _Target:
    """A line that an action is about, and the listener that it is of."""

    entry: DfksConfigEntry
    line: Line

    @property
    def listener(self) -> DfksListener:
        """The listener of the line."""
        return self.entry.runtime_data

    @property
    def name(self) -> str:
        """The line as the user calls it."""
        return self.listener.line_name(self.line)

    def as_json(self) -> JsonObjectType:
        """Return what tells the line from others in a response."""
        return {
            "line": self.listener.device_id(self.line),
            "presentity": self.line.presentity,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """What an action asks of each line; None keeps what is stored."""

    feature: Feature
    status: bool | None
    forward_to: str | None
    ring_count: int | None


@callback
def async_setup_services(hass: HomeAssistant) -> None:
    """Register the actions."""
    hass.services.async_register(
        DOMAIN,
        SERVICE_SET_FEATURE,
        _async_set_feature,
        schema=SET_SCHEMA,
        supports_response=SupportsResponse.OPTIONAL,
    )
    hass.services.async_register(
        DOMAIN,
        SERVICE_GET_FEATURES,
        _async_get_features,
        schema=GET_SCHEMA,
        supports_response=SupportsResponse.ONLY,
    )


async def _async_get_features(call: ServiceCall) -> ServiceResponse:
    """Return what is stored of all features of some lines."""
    targets = _find_targets(call)
    await _async_check_permission(
        call,
        POLICY_READ,
        ((target, feature) for target in targets for feature in target.line.assigned),
    )
    return {"lines": [_line_as_json(target) for target in targets]}


async def _async_set_feature(call: ServiceCall) -> ServiceResponse:
    """Change a feature of some lines and return what has become of it."""
    wish = _read_wish(call.data)
    targets = _find_targets(call)
    change = FeatureChange(
        feature=wish.feature,
        status=wish.status,
        forward_to=wish.forward_to,
        ring_count=wish.ring_count,
        origin=Origin.ACTION,
        param=call.data.get(ATTR_ROUTE_PARAM),
        context=call.context,
    )
    for target in targets:
        _check_change(target, change)
    await _async_check_permission(
        call, POLICY_CONTROL, ((target, wish.feature) for target in targets)
    )
    results: list[JsonObjectType] = []
    refusals: list[HomeAssistantError] = []
    for target in targets:
        try:
            outcome = await target.listener.sync.change(target.line.id, change)
        except ChangeRefused as err:
            # One line's refusal is no reason to leave out the others.
            refusals.append(_refused(err, target, wish.feature))
            continue
        results.append(
            {
                **target.as_json(),
                ATTR_FEATURE: wish.feature.value,
                **_state_as_json(wish.feature, outcome.state),
                "told": outcome.told,
            }
        )
    if refusals:
        raise refusals[0]
    return {"lines": [*results]}


def _find_targets(call: ServiceCall) -> list[_Target]:
    """Return the lines that an action names, each once."""
    entries: list[DfksConfigEntry] = call.hass.config_entries.async_loaded_entries(
        DOMAIN
    )
    if not entries:
        raise invalid("not_loaded")
    found: dict[Line, _Target] = {}
    for device_id in call.data.get(ATTR_DEVICE_ID, ()):
        target = _find_by_device(call.hass, entries, device_id)
        found[target.line] = target
    for presentity in call.data.get(ATTR_PRESENTITY, ()):
        target = _find_by_presentity(entries, presentity)
        found[target.line] = target
    return list(found.values())


def _find_by_device(
    hass: HomeAssistant, entries: Iterable[DfksConfigEntry], device_id: str
) -> _Target:
    device = dr.async_get(hass).async_get(device_id)
    for entry in entries:
        for line in entry.runtime_data.sync.lines.values():
            identifier = (DOMAIN, line_unique_id(entry, line.id))
            if device is not None and identifier in device.identifiers:
                return _Target(entry, line)
    raise invalid("line_not_found", line=device_id)


def _find_by_presentity(entries: Iterable[DfksConfigEntry], presentity: str) -> _Target:
    """Find a line by sip:user@realm; the host in any case, as in SIP."""
    wanted = _normalized(presentity.strip())
    for entry in entries:
        for line in entry.runtime_data.sync.lines.values():
            if _normalized(line.presentity) == wanted:
                return _Target(entry, line)
    raise invalid("line_not_found", line=presentity)


def _normalized(presentity: str) -> str:
    user, _, host = presentity.rpartition("@")
    scheme, colon, rest = user.partition(":")
    return f"{scheme.lower()}{colon}{rest}@{host.lower()}"


def _read_wish(data: Mapping[str, Any]) -> _Wish:
    """Understand what is asked for. Raises ServiceValidationError."""
    try:
        feature = read_feature(data[ATTR_FEATURE])
    except ValueError as err:
        raise invalid("feature_unknown", feature=data[ATTR_FEATURE]) from err
    fields = _read_fields(feature, data.get(ATTR_VALUES))
    return _Wish(
        feature=feature,
        status=_read(read_status, ATTR_STATUS, data.get(ATTR_STATUS)),
        forward_to=_read(read_target, FIELD_FORWARD_TO, fields.get(FIELD_FORWARD_TO)),
        ring_count=_read(read_rings, FIELD_RING_COUNT, fields.get(FIELD_RING_COUNT)),
    )


def _read[T](reader: Callable[[object], T], field: str, value: object) -> T | None:
    """Read what was given for a field; None where it is to be kept."""
    if value is None:
        return None
    try:
        return reader(value)
    except ValueError as err:
        raise invalid("value_invalid", field=field, value=str(value)) from err


def _read_fields(feature: Feature, values: object) -> Mapping[str, object]:
    """Return the values by field, from a mapping or from OpenSIPS' field/value."""
    if isinstance(values, dict):
        fields: dict[str, object] = values
    else:
        pairs: list[object] = cv.ensure_list(values)
        fields = dict(_read_pair(str(pair)) for pair in pairs)
    for field in fields:
        if field not in FIELDS[feature]:
            raise invalid("field_unknown", field=str(field), feature=feature.value)
    return fields


def _read_pair(pair: str) -> tuple[str, str]:
    field, slash, value = pair.partition("/")
    if not slash:
        raise invalid("value_without_field", value=pair)
    return field.strip(), value.strip()


def _check_change(target: _Target, change: FeatureChange) -> None:
    """Raise ServiceValidationError for what the line cannot do."""
    feature = change.feature
    if feature not in target.line.assigned:
        raise invalid("feature_not_assigned", feature=feature.value, line=target.name)
    try:
        target.listener.sync.check(target.line, change)
    except ChangeRefused as err:
        raise _refused(err, target, feature) from err


def _refused(
    err: ChangeRefused, target: _Target, feature: Feature
) -> HomeAssistantError:
    """Return the error to raise for a change of a line that was refused."""
    if err.refusal is Refusal.TARGET_MISSING:
        return invalid("target_needed", feature=feature.value, line=target.name)
    return refused(err, target.name, feature.value)


async def _async_check_permission(
    call: ServiceCall, policy: str, concerned: Iterable[tuple[_Target, Feature]]
) -> None:
    """Let a user do with a feature what the user may do with its switch."""
    if call.context.user_id is None:
        return
    user = await call.hass.auth.async_get_user(call.context.user_id)
    if user is None:
        raise UnknownUser(context=call.context, permission=policy)
    if user.permissions.access_all_entities(policy):
        return
    registry = er.async_get(call.hass)
    for target, feature in concerned:
        unique_id = (
            f"{line_unique_id(target.entry, target.line.id)}_{FEATURE_KEYS[feature]}"
        )
        entity_id = registry.async_get_entity_id(Platform.SWITCH, DOMAIN, unique_id)
        if entity_id is None or not user.permissions.check_entity(entity_id, policy):
            raise Unauthorized(
                context=call.context,
                entity_id=entity_id,
                permission=policy,
                perm_category=CAT_ENTITIES,
            )


def _line_as_json(target: _Target) -> JsonObjectType:
    line = target.line
    return {
        **target.as_json(),
        "name": target.name,
        "connected": line.connected,
        "watchers": line.watchers,
        "features": {
            feature.value: _state_as_json(feature, line.state(feature))
            for feature in line.assigned
        },
    }


def _state_as_json(feature: Feature, state: FeatureState) -> JsonObjectType:
    return {"status": state.status, "value": {**shown_value(feature, state)}}
